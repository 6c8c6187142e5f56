"""Image formats: detected from bytes, read by one loader each, or refused by name."""

from __future__ import annotations

import io
import itertools
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from PIL import Image, ImageCms, TiffImagePlugin

from impasto import images
from impasto.errors import ImageError
from impasto.images.formats import FORMATS, HEAD_BYTES, detect_format
from impasto.jobs.batch_plan import expand

COLOR = (200, 100, 50)
SIZE = (40, 24)
EXIF_ORIENTATION = 0x0112


@pytest.fixture
def picture() -> Image.Image:
    return Image.new("RGB", SIZE, COLOR)


def load_color(path: Path) -> list[float]:
    """Return the color of a flat picture, from 0 to 255."""
    loaded = images.load(path)
    low, high = loaded.pixels.amin((0, 2, 3)), loaded.pixels.amax((0, 2, 3))
    assert (high - low).max() < 0.02
    return [float(value) for value in 255 * (low + high) / 2]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF", "BMP", "HEIF"])
@pytest.mark.parametrize("name", ["photo", "photo.jfif", "photo.svg"])
def test_format_is_detected_from_bytes(tmp_path: Path, picture: Image.Image, kind: str, name: str) -> None:
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    path = tmp_path / name
    picture.save(path, kind)
    expected = "heic" if kind == "HEIF" else kind.lower()
    assert detect_format(path.read_bytes()[:HEAD_BYTES]) == expected
    assert load_color(path) == pytest.approx(COLOR, abs=5)
    assert images.open_image(path).size == SIZE[::-1]


def list_loaders() -> set[str]:
    found = set()

    def add(gtype: Any, *_: Any) -> Any:
        found.add(pyvips.nickname_find(gtype))
        pyvips.type_map(gtype, add)
        return pyvips.ffi.NULL

    pyvips.type_map(pyvips.type_from_name("VipsForeignLoad"), add)
    return found


def test_unused_libvips_loaders_are_blocked(tmp_path: Path, picture: Image.Image) -> None:
    loaders = {name.removesuffix("_source") for name in list_loaders() if name.endswith("load_source")}
    assert {name.removesuffix("_source") for name in FORMATS.values()} <= loaders
    for kind in ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF"):
        path = tmp_path / "picture"
        picture.save(path, kind)
        assert images.open_image(path).header().get("vips-loader") == FORMATS[kind.lower()]


def save_with_gain_map(path: Path, orientation: int) -> None:
    """Write a JPEG with a gain map, a profile and an orientation, as phones do."""
    color = pyvips.Image.new_from_array(np.full((24, 40, 3), COLOR, np.uint8)).copy(interpretation="srgb")
    light = color.colourspace("scrgb").copy()
    light.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    light.uhdrsave(str(path))


@pytest.mark.skipif("uhdrload_source" not in list_loaders(), reason="this libvips has no loader for gain maps")
@pytest.mark.parametrize("orientation", [1, 6])
def test_reads_jpegs_with_a_gain_map(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "phone.jpg"
    save_with_gain_map(path, orientation)
    assert str(pyvips.Image.new_from_file(str(path)).get("vips-loader")).startswith("uhdr")
    assert images.open_image(path).size == ((24, 40) if orientation == 1 else (40, 24))
    with Image.open(path) as plain:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(plain.info["icc_profile"]))
        to_srgb = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), "RGB", "RGB")
        expected = to_srgb.apply(plain).getpixel((20, 12))
    assert load_color(path) == pytest.approx(expected, abs=4)


def test_heic_is_upright_and_in_srgb(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = Image.new("RGB", (64, 32), (255, 0, 0))
    picture.paste((0, 0, 255), (32, 0, 64, 32))
    exif = picture.getexif()
    exif[EXIF_ORIENTATION] = 6
    path = tmp_path / "phone.heic"
    picture.save(path, "HEIF", exif=exif.tobytes(), icc_profile=profile, quality=95)
    loaded = images.load(path)
    assert loaded.pixels.shape == (1, 3, 64, 32)
    top, bottom = loaded.pixels[0, :, 8, 16], loaded.pixels[0, :, 56, 16]
    assert top[0] > 0.9 > 0.1 > top[2]
    assert bottom[2] > 0.9 > 0.1 > bottom[0]


def test_heic_without_the_extra_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "phone.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"HEIC is not read here\. Export it as JPEG, or install impasto\[heic\]"):
        images.load(path)


@pytest.mark.parametrize("kind", ["bmp", "heic"])
def test_huge_sizes_are_refused_before_decoding_by_pillow(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "picture"
    if kind == "heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    Image.new("RGB", (200, 100)).save(path, "HEIF" if kind == "heic" else "BMP")
    with pytest.raises(ImageError, match="200x100 px"):
        images.open_image(path, max_megapixels=0.01)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"%PDF-1.7", "PDF"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "camera raw"),
        (b"II*\0\x10\0\0\0CR\2\0", "camera raw"),
        (b"\0\0\0\x18ftypisom\0\0\2\0isomiso2", "video"),
        (b"\xff\x0a\xfa\x7f", "JPEG XL"),
        (b"\n<?xml version='1.0'?>\n<svg/>", "SVG"),
    ],
)
def test_other_formats_are_refused_by_name(tmp_path: Path, head: bytes, name: str) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(head + bytes(100))
    with pytest.raises(ImageError, match=f"unsupported format, {name}"):
        images.load(path)


def test_lab_tiffs_are_converted(tmp_path: Path, picture: Image.Image) -> None:
    path = tmp_path / "lab.tif"
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    ImageCms.buildTransform(srgb, lab, "RGB", "LAB").apply(picture).save(path)
    assert load_color(path) == pytest.approx(COLOR, abs=5)
    exact = pyvips.Image.new_from_array(np.full((24, 40, 3), COLOR, np.uint8)).copy(interpretation="srgb")
    for space in ("lab", "labs"):
        exact.colourspace(space).tiffsave(str(path))
        assert load_color(path) == pytest.approx(COLOR, abs=1)


MAXIMA = {"uchar": 255, "ushort": 65535, "float": 1}
NUMBERS = ("uchar", "char", "ushort", "short", "uint", "int", "float", "double", "complex", "dpcomplex")
SPACES = ("b-w", "grey16", "srgb", "rgb16", "cmyk", "lab", "labs", "xyz", "scrgb", "multiband", "hsv")


@pytest.mark.parametrize(("numbers", "space"), list(itertools.product(NUMBERS, SPACES)))
def test_tiff_is_read_exactly_or_refused_by_name(tmp_path: Path, numbers: str, space: str) -> None:
    for bands in range(1, 7):
        path = tmp_path / f"{bands}.tif"
        value = MAXIMA.get(numbers, 100) / 2
        (pyvips.Image.black(8, 8, bands=bands) + value).cast(numbers).copy(interpretation=space).tiffsave(str(path))
        try:
            color = load_color(path)
        except ImageError as error:
            color, message = None, str(error)
            assert message.startswith(str(path))
            assert "\n" not in message
        if space in ("lab", "labs", "cmyk", "xyz"):
            continue  # other tests check these colors
        if numbers in MAXIMA:
            linear = numbers == "float"
            assert color == pytest.approx([187.5 if linear else 127.5] * 3, abs=1)
        else:
            assert color is None


def test_batch_detects_images_in_a_folder_by_content(
    tmp_path: Path, picture: Image.Image, caplog: pytest.LogCaptureFixture
) -> None:
    for name, kind in (("a.jfif", "JPEG"), ("b", "PNG"), ("c.bmp", "BMP"), (".hidden.png", "PNG")):
        picture.save(tmp_path / name, kind)
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "drawing.png").write_text("<svg/>")
    (tmp_path / "folder").mkdir()
    with caplog.at_level(logging.WARNING, logger="impasto"):
        assert [Path(path).name for path in expand([str(tmp_path)], "contents")] == ["a.jfif", "b", "c.bmp"]
    (message,) = (record.getMessage() for record in caplog.records)
    assert "drawing.png is in an unsupported format, SVG" in message
    assert "notes.txt cannot be read as an image" in message
    assert ".hidden" not in message


def test_libvips_warnings_may_hold_any_bytes(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    domain, message = (pyvips.ffi.new("char[]", text) for text in (b"VIPS", b"bad tag \xff\xfe"))
    with caplog.at_level(logging.WARNING, logger="pyvips"):
        pyvips._log_handler_cb(domain, pyvips.GLogLevelFlags.LEVEL_WARNING, message, pyvips.ffi.NULL)
    assert capfd.readouterr().err == ""
    assert "bad tag \\xff\\xfe" in caplog.text


@pytest.mark.parametrize(
    "tags", [{50706: b"\1\4\0\0"}, {254: 1}, {262: 34892}], ids=["DNG", "NEF or ARW", "linear raw"]
)
@pytest.mark.parametrize("big", [False, True])
def test_camera_raw_in_a_tiff_is_refused_by_name(
    tmp_path: Path, picture: Image.Image, tags: dict[int, Any], big: bool, caplog: pytest.LogCaptureFixture
) -> None:
    path, plain = tmp_path / "shot.nef", tmp_path / "plain.tif"
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        directory[tag] = value
    picture.save(path, "TIFF", tiffinfo=directory, big_tiff=big)
    if 262 in tags:  # Pillow writes its own value there
        data, marker = bytearray(path.read_bytes()), b"\x06\x01\x03\x00"
        start = data.index(marker) + (12 if big else 8)
        data[start : start + 2] = (34892).to_bytes(2, "little")
        path.write_bytes(data)
    picture.save(plain, "TIFF", big_tiff=big)
    for source in (path, path.read_bytes()):
        with pytest.raises(ImageError, match=r"is a camera raw file.*Export it as TIFF or JPEG"):
            images.load(source)
    assert expand([str(tmp_path)], "contents") == [str(plain)]
    assert "shot.nef is a camera raw file" in caplog.text


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF"])
def test_first_of_several_pictures_is_read_with_a_warning(
    tmp_path: Path, picture: Image.Image, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "several"
    other = Image.new("RGB", SIZE, (0, 0, 255))
    picture.save(path, kind, save_all=True, append_images=[other, other.rotate(180), picture])
    assert load_color(path) == pytest.approx(COLOR, abs=5)
    assert "pictures or pages. Only the first is used." in caplog.text
    caplog.clear()
    picture.save(path, kind)
    images.load(path)
    assert not caplog.records
