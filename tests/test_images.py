"""Reading and writing images.

Pillow, which shares no code with libvips, writes the inputs and reads the outputs.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders.systems import LINUX_ONLY
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from impasto import images
from impasto.core.image import fit, resize
from impasto.engine.disk_store import DiskStore
from impasto.errors import ImageError, OutputError
from impasto.images import read, write

Bytes = NDArray[np.uint8]
Options = dict[str, Any]
LOSSLESS: dict[str, Options] = {"png": {}, "tif": {}, "webp": {"lossless": True}}
LOSSY: dict[str, Options] = {
    "jpg": {"quality": 100, "subsampling": 0},
    "avif": {"quality": 100, "subsampling": "4:4:4"},
}
READABLE: dict[str, Options] = {**LOSSLESS, **LOSSY}
WRITABLE = ("png", "jpg", "jpeg", "webp", "tif", "tiff")
ORIENTATION, GPS_IFD = 0x0112, 0x8825


def flat_squares(height: int = 5, width: int = 7, channels: int = 3, side: int = 8) -> Bytes:
    """Return random flat squares, which lossy formats keep closely."""
    squares = np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return np.kron(squares, np.ones((side, side, 1), np.uint8))


def levels(pixels: torch.Tensor, top: int = 255) -> NDArray[np.int64]:
    """Convert a tensor (1, C, H, W) to integers (H, W, C)."""
    return (pixels[0].permute(1, 2, 0) * top).round().long().numpy()


def open_with_pillow(path: Path) -> Any:
    """Open a copy of a file with Pillow."""
    return Image.open(io.BytesIO(path.read_bytes()))


def read_with_pillow(path: Path, mode: str) -> NDArray[np.int64]:
    return np.asarray(open_with_pillow(path).convert(mode)).astype(np.int64)


def icc_profile(red: tuple[float, ...], green: tuple[float, ...], blue: tuple[float, ...], gamma: float) -> bytes:
    """Build a minimal matrix profile (ICC.1:2001): three primaries as XYZ under D50, one gamma."""

    def xyz(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    curve = b"curv" + struct.pack(">IIHxx", 0, 1, round(gamma * 256))
    described = b"desc" + struct.pack(">II", 0, 5) + b"hand\0" + bytes(4 + 4 + 2 + 1 + 67)
    tags = {b"desc": described, b"cprt": b"text\0\0\0\0none\0", b"wtpt": b"XYZ \0\0\0\0" + xyz(0.9642, 1, 0.8249)}
    tags |= {name: b"XYZ \0\0\0\0" + xyz(*color) for name, color in ((b"rXYZ", red), (b"gXYZ", green), (b"bXYZ", blue))}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    start = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        table += name + struct.pack(">II", start + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    head = struct.pack(">I4xI", start + len(body), 0x02400000) + b"mntrRGB XYZ "
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + xyz(0.9642, 1, 0.8249)
    return head + bytes(128 - len(head)) + table + body


RED, GREEN, BLUE = (0.4360, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)  # sRGB's, D50
LINEAR = icc_profile(RED, GREEN, BLUE, 1.0)
SWAPPED = icc_profile(BLUE, GREEN, RED, 2.2)


def gamma_encoded(linear: float) -> float:
    """Apply the sRGB transfer function (IEC 61966-2-1)."""
    return 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055


# Reading.


@pytest.mark.parametrize("extension", LOSSLESS)
def test_reads_lossless_files_exactly(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"picture.{extension}"
    Image.fromarray(flat_squares()).save(path, **LOSSLESS[extension])
    picture = images.load(path)
    assert picture.pixels.dtype == torch.float32
    assert picture.alpha is None
    assert (levels(picture.pixels) == flat_squares()).all()


@pytest.mark.parametrize("extension", LOSSY)
def test_reads_lossy_files_like_pillow(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"picture.{extension}"
    Image.fromarray(flat_squares()).save(path, **LOSSY[extension])
    assert np.abs(levels(images.load(path).pixels) - read_with_pillow(path, "RGB")).max() <= 2


def test_reads_the_first_frame_of_a_gif(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    picture = images.load(tmp_path / "a.gif")
    assert picture.pixels.shape == (1, 3, 8, 8)
    assert picture.pixels[0, :, 0, 0].tolist() == [1, 0, 0]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("extension", READABLE)
def test_applies_exif_orientation(tmp_path: Path, extension: str, orientation: int) -> None:
    path, exif = tmp_path / f"picture.{extension}", Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(flat_squares(3, 4)).save(path, exif=exif, **READABLE[extension])
    upright = np.asarray(ImageOps.exif_transpose(open_with_pillow(path)).convert("RGB")).astype(int)
    assert upright.shape[:2] == ((24, 32) if orientation < 5 else (32, 24))
    result = levels(images.load(path).pixels)
    assert result.shape == upright.shape
    assert np.abs(result - upright).max() <= 2
    assert (levels(images.load(open_with_pillow(path)).pixels) == upright).all()


@pytest.mark.parametrize("extension", READABLE)
def test_converts_a_linear_profile_to_srgb(tmp_path: Path, extension: str) -> None:
    path, color = tmp_path / f"picture.{extension}", (55, 128, 200)
    Image.new("RGB", (16, 16), color).save(path, icc_profile=LINEAR, **READABLE[extension])
    expected = [round(gamma_encoded(value / 255) * 255) for value in color]
    assert np.abs(levels(images.load(path).pixels)[8, 8] - expected).max() <= 2
    assert np.abs(levels(images.load(open_with_pillow(path)).pixels)[8, 8] - expected).max() <= 2


def test_converts_other_primaries_to_srgb(tmp_path: Path) -> None:
    path, picture = tmp_path / "picture.png", Image.fromarray(flat_squares())
    picture.save(path, icc_profile=SWAPPED)
    profile = ImageCms.ImageCmsProfile(io.BytesIO(SWAPPED))
    converted = ImageCms.profileToProfile(
        picture, profile, ImageCms.createProfile("sRGB"), renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC
    )
    assert np.abs(levels(images.load(path).pixels) - np.asarray(converted).astype(int)).max() <= 1


def test_applies_profiles_at_16_bits_except_to_alpha(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (55, 128, 200, 77)).save(tmp_path / "a.png", icc_profile=LINEAR)
    picture = images.load(tmp_path / "a.png")
    assert picture.alpha is not None
    assert (levels(picture.alpha) == 77).all()
    assert (levels(picture.pixels)[0, 0] == [round(gamma_encoded(value / 255) * 255) for value in (55, 128, 200)]).all()


@pytest.mark.parametrize("profile", [b"no profile" * 20, LINEAR[:200], b"\0"], ids=["text", "cut", "nul"])
@pytest.mark.parametrize("extension", ["png", "tif", "webp", "jpg"])
def test_ignores_a_broken_profile(tmp_path: Path, extension: str, profile: bytes) -> None:
    path = tmp_path / f"picture.{extension}"
    Image.new("RGB", (16, 16), (200, 60, 20)).save(path, icc_profile=profile, **READABLE[extension])
    assert np.abs(levels(images.load(path).pixels) - [200, 60, 20]).max() <= 1


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA"])
@pytest.mark.parametrize("extension", ["png", "tif"])
def test_reads_gray_palette_and_one_bit_files(tmp_path: Path, mode: str, extension: str) -> None:
    path, transparent = tmp_path / f"picture.{extension}", mode in ("RGBA", "LA")
    image = Image.fromarray(flat_squares(channels=4 if transparent else 3)).convert(mode)
    image.save(path)
    picture, expected = images.load(path), np.asarray(image.convert("RGBA")).astype(int)
    assert (picture.alpha is not None) == transparent
    if picture.alpha is None:
        assert (levels(picture.pixels) == expected[..., :3]).all()
    else:
        assert (levels(picture.alpha)[..., 0] == expected[..., 3]).all()
        assert (
            levels(picture.pixels * picture.alpha)[expected[..., 3] == 255] == expected[expected[..., 3] == 255, :3]
        ).all()
    assert torch.equal(images.load(image).pixels, picture.pixels)


def test_keeps_palette_transparency(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    Image.fromarray(flat_squares()).quantize(8).save(path, transparency=3)
    expected = read_with_pillow(path, "RGBA")[..., 3]
    assert 0 < (expected == 0).sum() < expected.size
    for source in (path, open_with_pillow(path)):
        alpha = images.load(source).alpha
        assert alpha is not None
        assert (levels(alpha)[..., 0] == expected).all()


@pytest.mark.parametrize("extension", ["jpg", "tif", "PIL"])
def test_converts_cmyk_to_rgb(tmp_path: Path, extension: str) -> None:
    inks = np.zeros((16, 48, 4), np.uint8)  # paper, cyan, black
    inks[:, 16:32, 0] = inks[:, 32:, 3] = 255
    source: Any = Image.fromarray(inks, "CMYK") if extension == "PIL" else tmp_path / f"inks.{extension}"
    if isinstance(source, Path):
        Image.fromarray(inks, "CMYK").save(source, quality=100)
    paper, cyan, black = levels(images.load(source).pixels)[8, [8, 24, 40]]
    assert paper.min() > 250
    assert black.max() < 70
    assert cyan[0] < 60 < 130 < cyan[1:].min()


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_rotates_cmyk_once(tmp_path: Path, kind: str) -> None:
    path, exif = tmp_path / "inks", Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(flat_squares(3, 4)).convert("CMYK").save(path, kind, exif=exif)
    from_file = images.load(path).pixels
    assert from_file.shape == (1, 3, 32, 24)
    assert torch.equal(images.load(open_with_pillow(path)).pixels, from_file)


@pytest.mark.parametrize("extension", ["png", "tif"])
def test_reads_16_bit_gray_exactly(tmp_path: Path, extension: str) -> None:
    values = np.random.default_rng(1).integers(0, 65536, (9, 11), dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / f"grey.{extension}")
    result = levels(images.load(tmp_path / f"grey.{extension}").pixels, 65535)
    assert (result == values[..., None]).all()


def test_float_tiff_is_linear_and_must_be_finite(tmp_path: Path) -> None:
    path, values = tmp_path / "light.tif", np.array([[0, 0.001, 0.2], [0.5, 0.9, 1]], np.float32)
    Image.fromarray(values).save(path)
    expected = np.vectorize(gamma_encoded)(values)
    assert np.abs(images.load(path).pixels.numpy() - expected).max() < 1e-3
    values[0, 1] = np.nan
    Image.fromarray(values).save(path)
    with pytest.raises(ImageError, match="NaN"):
        images.load(path)


def five_band_tiff(bands: Bytes) -> bytes:
    """Build an uncompressed TIFF (6.0) of RGB, alpha and a mask, which Pillow cannot write."""
    height, width, count = bands.shape
    entries = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, count, 200), (259, 3, 1, 1), (262, 3, 1, 2)]
    entries += [(273, 4, 1, 300), (277, 3, 1, count), (278, 3, 1, height), (279, 4, 1, bands.size)]
    entries += [(284, 3, 1, 1), (338, 3, 2, 2)]  # extra samples: unassociated alpha (2), unspecified (0)
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    head = b"II*\0" + struct.pack("<I", 8) + directory
    return (head + bytes(200 - len(head)) + struct.pack(f"<{count}H", *[8] * count)).ljust(300, b"\0") + bands.tobytes()


def test_ignores_extra_tiff_channels(tmp_path: Path) -> None:
    bands = flat_squares(channels=5)
    bands[..., 3] |= 1
    (tmp_path / "masked.tif").write_bytes(five_band_tiff(bands))
    picture = images.load(tmp_path / "masked.tif")
    assert picture.pixels.shape == (1, 3, 40, 56)
    assert picture.alpha is not None
    assert (levels(picture.alpha)[..., 0] == bands[..., 3]).all()


def test_hidden_colors_do_not_bleed(tmp_path: Path) -> None:
    half = np.zeros((64, 64, 4), np.uint8)
    half[:, :32], half[:, 32:] = (255, 0, 0, 255), (0, 255, 0, 0)  # red, and invisible green
    Image.fromarray(half).save(tmp_path / "half.png")
    for long_side_px in (None, 16, 50):
        picture = images.load(tmp_path / "half.png", long_side_px=long_side_px)
        assert picture.pixels[0, 1:].max() == 0
        assert picture.pixels[0, 0].min() > 0.9  # hidden pixels take the mean of the visible ones
        assert picture.alpha is not None
        assert picture.alpha[0, 0, :, 0].min() == 1
        assert picture.alpha[0, 0, :, -1].max() == 0


# Size.


def test_checkerboard_shrinks_to_flat_gray(tmp_path: Path) -> None:
    checkers = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)
    Image.fromarray(checkers).save(tmp_path / "checkers.png")
    small = images.load(tmp_path / "checkers.png", long_side_px=32).pixels
    assert small.shape == (1, 3, 32, 32)
    assert (small - 0.5).abs().max() < 0.01
    full = images.load(tmp_path / "checkers.png").pixels
    assert (resize(full, 32, 32)[..., 2:-2, 2:-2] - 0.5).abs().max() < 0.01


def test_enlarges_small_images_only_on_request() -> None:
    picture = flat_squares()  # 40 x 56
    assert images.load(picture, long_side_px=500).pixels.shape == (1, 3, 40, 56)
    assert images.load(picture, long_side_px=112, enlarge=True).pixels.shape == (1, 3, 80, 112)


sides = st.integers(1, 20_000)


@given(sides, sides, sides, st.booleans())
def test_fit_sets_the_long_side_and_keeps_the_aspect(height: int, width: int, long: int, enlarge: bool) -> None:
    result = fit(height, width, long, enlarge=enlarge)
    if long >= max(height, width) and not enlarge:
        assert result == (height, width)
        return
    assert max(result) == long
    assert min(result) >= 1
    for side, before in zip(result, (height, width), strict=True):
        exact = before * long / max(height, width)
        assert abs(side - exact) <= 0.5 + 1e-9 or side == 1 > exact


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 120))
def test_loaded_size_matches_fit(height: int, width: int, long: int) -> None:
    grey = np.full((height, width), 0.25, np.float32)
    pixels = images.load(grey, long_side_px=long, enlarge=True).pixels
    assert pixels.shape[2:] == fit(height, width, long, enlarge=True)
    assert (pixels - 0.25).abs().max() < 1e-5


# Arrays, tensors, PIL images.


def test_all_input_types_give_the_same_tensor(tmp_path: Path) -> None:
    pixels = flat_squares()
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    expected = torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None]
    planes = torch.from_numpy(pixels).permute(2, 0, 1)
    sources: dict[str, Any] = {
        "path": tmp_path / "picture.png",
        "string": str(tmp_path / "picture.png"),
        "PIL": Image.fromarray(pixels),
        "uint8 (H, W, C)": pixels,
        "uint8 (C, H, W)": planes,
        "(1, C, H, W)": planes[None],
        "fortran order": np.asfortranarray(pixels),
        "uint16": pixels.astype(np.uint16) * 257,
        "float32 with a gradient": (planes.float() / 255).requires_grad_(),
        "float64": pixels / 255,
        "named": images.NamedImage("swirl", pixels),
    }
    for kind, source in sources.items():
        result = images.load(source)
        assert result.alpha is None, kind
        assert (result.pixels - expected).abs().max() < 1e-6, kind
    halves = (planes.float() / 255).round()  # 0 and 1 are exact in every float
    for dtype in (torch.float16, torch.bfloat16, torch.bool):
        assert torch.equal(images.load(halves.to(dtype)).pixels, halves[None])


def test_arrays_may_be_gray_rgb_or_have_alpha() -> None:
    grey = flat_squares(channels=1)
    assert (levels(images.load(grey[..., 0]).pixels) == grey).all()
    assert (levels(images.load(grey).pixels) == grey).all()
    for channels in (2, 4):
        picture = images.load(flat_squares(channels=channels))
        assert picture.alpha is not None
        assert (levels(picture.alpha)[..., 0] == flat_squares(channels=channels)[..., -1]).all()


def test_name_is_the_base_name_and_hash_is_of_bytes(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    Image.fromarray(flat_squares()).save(path)
    picture = images.load(path)
    assert (picture.name, picture.sha256) == ("picture.png", hashlib.sha256(path.read_bytes()).hexdigest())
    array = images.load(flat_squares())
    assert array.name is None
    assert array.sha256 == images.load(flat_squares().copy()).sha256 != images.load(255 - flat_squares()).sha256
    assert images.load(images.NamedImage("swirl", flat_squares())).name == "swirl"


def test_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    for color in ([1, 0, 0], [0, 1, 0]):
        Image.new("RGB", (8, 8), tuple(255 * part for part in color)).save(path)
        assert images.load(path).pixels[0, :, 0, 0].tolist() == color
        images.save(path, images.load(path).pixels, note=str(color))
        assert images.read_note(path) == str(color)


@pytest.mark.parametrize(
    "name", [b"cat[1]", b"cat.png[shrink=2]", b"a b;'$.png", b"\xe9t\xe9.png", "世界.png".encode()]
)
def test_accepts_any_file_name(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    try:
        path.write_bytes(b"")
    except OSError:
        pytest.skip("this file system refuses the name")
    Image.fromarray(flat_squares()).save(path, "PNG")
    assert (levels(images.load(path).pixels) == flat_squares()).all()
    if path.suffix == ".png":
        images.save(path, torch.zeros(1, 3, 4, 4), note="here")
        assert images.read_note(path) == "here"


# Refusals.


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@LINUX_ONLY
def test_refuses_huge_dimensions_before_decoding(tmp_path: Path) -> None:
    import resource

    (tmp_path / "bomb.png").write_bytes(png_that_claims(100_000, 100_000))
    images.load(flat_squares())
    before_kib, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(ImageError, match=r"has 100000x100000 px \(10000 megapixels\), and the limit is 250"):
        images.load(tmp_path / "bomb.png")
    assert time.monotonic() - started < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 50_000


def test_pixel_limit_is_configurable(tmp_path: Path) -> None:
    Image.new("RGB", (200, 100)).save(tmp_path / "picture.png")
    for source in (tmp_path / "picture.png", open_with_pillow(tmp_path / "picture.png")):
        assert images.load(source, max_megapixels=0.02).pixels.shape == (1, 3, 100, 200)
        with pytest.raises(ImageError, match="has 200x100 px"):
            images.load(source, max_megapixels=0.019)


@pytest.mark.parametrize("fraction", [0.0, 0.5, 0.95])
@pytest.mark.parametrize("extension", [*READABLE, "gif"])
def test_refuses_truncated_files(tmp_path: Path, extension: str, fraction: float) -> None:
    path = tmp_path / f"picture.{extension}"
    Image.fromarray(flat_squares(16, 16)).save(path, **READABLE.get(extension, {}))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * fraction)])
    with pytest.raises(ImageError, match=rf"picture\.{extension}.*Is it a complete "):
        images.load(path)


@LINUX_ONLY
def test_non_image_is_a_one_line_error(tmp_path: Path) -> None:
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>'
    files = {"text.png": b"hello", "nothing.jpg": b"", "picture.svg": svg.encode(), "svg.png": svg.encode()}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    cut = Image.open(io.BytesIO(encoded("JPEG")[:-400]))
    refused: dict[str, Any] = {
        **{f"{name} cannot be read as an image": tmp_path / name for name in ("text.png", "nothing.jpg")},
        **{f"{name} is in an unsupported format, SVG": tmp_path / name for name in ("picture.svg", "svg.png")},
        "no such file": tmp_path / "missing.png",
        "is a directory": tmp_path,
        "File name too long": "x" * 5000,
        "Input/output error": "/proc/self/mem",
        r"PIL image \(RGB\) cannot be read": cut,
        r"PIL image \(HSV\) cannot be read": Image.new("HSV", (4, 4)),
        "NoneType .* is not a picture": None,
        "The picture cannot be read as an image": b"\x89PNG",
        "complex128": np.zeros((4, 4), complex),
        "datetime64": np.zeros((4, 4), "M8[s]"),
        "list is not a picture": [[0.5, 0.5], [0.5]],
        "Sparse": torch.zeros(3, 4, 4).to_sparse(),
        r"shape \(2, 3, 9, 9\)": np.zeros((2, 3, 9, 9)),
        r"shape \(9,\)": np.zeros(9),
        r"shape \(9, 0, 3\)": np.zeros((9, 0, 3)),
        r"shape \(7, 9, 5\)": np.zeros((7, 9, 5)),
    }
    for number in (np.nan, np.inf, -np.inf, -0.01, 200.0):
        with pytest.raises(ImageError, match="finite and in"):
            images.load(np.full((8, 8, 3), number))
    for message, source in refused.items():
        with pytest.raises(ImageError, match=message) as caught:
            images.load(source)
        assert "\n" not in str(caught.value).strip()


def encoded(kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(flat_squares(16, 16)).save(buffer, kind, **options)
    return buffer.getvalue()


# Writing.


@pytest.mark.parametrize("extension", ["png", "tif", "tiff"])
def test_lossless_files_hold_all_levels_and_alpha(tmp_path: Path, extension: str) -> None:
    path, pixels = tmp_path / f"out.{extension}", flat_squares(channels=4)
    planes = torch.from_numpy(pixels / np.float32(255)).permute(2, 0, 1)[None]
    images.save(path, planes[:, :3])
    assert (read_with_pillow(path, "RGB") == pixels[..., :3]).all()
    assert open_with_pillow(path).mode == "RGB"
    images.save(path, planes[:, :3], planes[:, 3:])
    assert (read_with_pillow(path, "RGBA") == pixels).all()


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("extension", ["png", "tif"])
def test_16_bit_files_hold_all_levels(tmp_path: Path, extension: str, alpha: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    ramp = torch.arange(65536).view(1, 1, 256, 256)
    values = torch.cat([ramp, ramp.flip(2), torch.randint(0, 65536, (1, 2, 256, 256), generator=generator)], dim=1)
    pixels = values.float() / 65535
    path = tmp_path / f"deep.{extension}"
    images.save(path, pixels[:, :3], pixels[:, 3:] if alpha else None, bits=16)
    picture = images.load(path)
    if not alpha:
        assert (levels(picture.pixels, 65535) == levels(pixels[:, :3], 65535)).all()
    else:
        assert picture.alpha is not None
        assert (levels(picture.alpha, 65535) == values[0, 3, :, :, None].numpy()).all()
    # Pillow reads the upper byte of each level.
    assert (read_with_pillow(path, "RGB") == levels(values[:, :3] >> 8, 1)).all()
    if extension == "png":  # bit depth and color type have fixed positions in the header
        assert tuple(path.read_bytes()[24:26]) == (16, 6 if alpha else 2)
    else:
        assert open_with_pillow(path).tag_v2[258] == (16,) * (4 if alpha else 3)


def test_jpeg_is_flattened_and_webp_keeps_alpha(tmp_path: Path) -> None:
    color, alpha = torch.tensor([0.8, 0.4, 0.2]).view(1, 3, 1, 1).expand(1, 3, 32, 32), torch.full((1, 1, 32, 32), 0.25)
    images.save(tmp_path / "flat.jpg", color, alpha)
    over_white = [round(255 * (0.25 * part + 0.75)) for part in (0.8, 0.4, 0.2)]
    assert np.abs(read_with_pillow(tmp_path / "flat.jpg", "RGB") - over_white).max() <= 2
    images.save(tmp_path / "flat.webp", color, alpha)
    result = read_with_pillow(tmp_path / "flat.webp", "RGBA")
    assert (result[..., 3] == 64).all()
    assert np.abs(result[..., :3] - [204, 102, 51]).max() <= 3


def test_jpeg_quality_defaults_to_95(tmp_path: Path) -> None:
    pixels = images.load(flat_squares()).pixels
    for quality in (95, 60):
        if quality == 95:
            images.save(tmp_path / "a.jpg", pixels)
        else:
            images.save(tmp_path / "a.jpg", pixels, quality=quality)
        expected: Any = Image.open(io.BytesIO(encoded("JPEG", quality=quality)))
        assert open_with_pillow(tmp_path / "a.jpg").quantization == expected.quantization
    sizes = []
    for quality in (30, 95):
        images.save(tmp_path / "a.webp", images.load(flat_squares()).pixels, quality=quality)
        sizes.append((tmp_path / "a.webp").stat().st_size)
    assert sizes[0] < sizes[1]


def test_clamps_out_of_range_colors(tmp_path: Path) -> None:
    images.save(tmp_path / "a.png", torch.tensor([-0.5, 0.5, 1.5]).view(1, 3, 1, 1).requires_grad_())
    assert read_with_pillow(tmp_path / "a.png", "RGB").tolist() == [[[0, 128, 255]]]


@pytest.mark.parametrize("extension", WRITABLE)
def test_output_has_no_gps_location(tmp_path: Path, extension: str) -> None:
    exif = Image.Exif()
    exif[0x010E] = "secret description"
    exif.get_ifd(GPS_IFD).update({1: "N", 2: (51.0, 28.0, 40.0), 3: "E", 4: (0.0, 0.0, 5.0), 29: "2026:01:01"})
    source, path = tmp_path / "photograph.jpg", tmp_path / f"out.{extension}"
    Image.fromarray(flat_squares()).save(source, exif=exif, comment=b"secret comment")
    assert open_with_pillow(source).getexif().get_ifd(GPS_IFD)[1] == "N"
    for reopened in (source, open_with_pillow(source)):
        images.save(path, images.load(reopened).pixels, note="recipe")
        assert not open_with_pillow(path).getexif().get_ifd(GPS_IFD)
        for private in (b"secret", b"2026:01:01", b"photograph"):
            assert private not in path.read_bytes()


NOTE = '{"names":"<a> & \\"b\\" \'c\' ]]> &lt; &amp;amp;"}' + "0123456789" * 1000


@pytest.mark.parametrize("extension", WRITABLE)
def test_note_round_trips(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"out.{extension}"
    images.save(path, torch.rand(1, 3, 9, 9), note=NOTE)
    assert images.read_note(path) == NOTE
    if extension == "png":
        assert open_with_pillow(path).text["impasto"] == NOTE
    images.save(path, torch.rand(1, 3, 9, 9))
    assert images.read_note(path) is None


@pytest.mark.parametrize("extension", [*READABLE, "gif"])
def test_image_without_a_note_has_none(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"picture.{extension}"
    xmp: Options = (
        {} if extension in ("png", "tif", "gif") else {"xmp": b"<x:xmpmeta><rdf:RDF>Somebody</rdf:RDF></x:xmpmeta>"}
    )
    Image.fromarray(flat_squares()).save(path, **READABLE.get(extension, {}), **xmp)
    assert images.read_note(path) is None


def test_refuses_to_read_a_note_from_a_non_image(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("hello")
    for name in ("text.png", "missing.png", "."):
        with pytest.raises(ImageError):
            images.read_note(tmp_path / name)


@LINUX_ONLY
@pytest.mark.parametrize(
    ("name", "size", "bits", "message"),
    [
        ("out.gif", (4, 4), 8, r"\.gif is not supported. Use \.png, \.jpg, \.webp, \.tif or \.exr"),
        ("out", (4, 4), 8, "a name without an extension"),
        ("missing/out.png", (4, 4), 8, "no directory .*missing"),
        ("folder.png", (4, 4), 8, "is a directory"),
        ("out.jpg", (4, 4), 16, r"\.jpg holds 8 bits, not 16"),
        ("out.webp", (4, 4), 16, r"\.webp holds 8 bits, not 16"),
        ("out.webp", (1, 16_384), 8, r"\.webp holds at most 16383 px a side, not 16384x1"),
        ("out.jpg", (65_501, 1), 8, r"\.jpg holds at most 65500 px a side, not 1x65501"),
        ("x" * 300 + ".png", (4, 4), 8, "File name too long"),
        ("/proc/self/out.png", (4, 4), 8, "cannot be written"),
    ],
)
def test_unwritable_path_is_refused_in_advance(
    tmp_path: Path, name: str, size: tuple[int, int], bits: int, message: str
) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OutputError, match=message) as caught:
        images.require_output(tmp_path / name, bits=bits, height=size[0], width=size[1])
    assert "\n" not in str(caught.value)
    with pytest.raises(OutputError, match=message):
        images.save(tmp_path / name, torch.zeros(1, 3, *size), bits=bits)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


@pytest.mark.parametrize(("extension", "side"), [("webp", 16_383), ("jpg", 65_500)])
def test_longest_side_of_each_format_is_exact(tmp_path: Path, extension: str, side: int) -> None:
    images.save(tmp_path / f"long.{extension}", torch.zeros(1, 3, 1, side))
    assert open_with_pillow(tmp_path / f"long.{extension}").size == (side, 1)


def test_writes_a_name_of_255_bytes(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 251 + ".png")
    images.save(path, torch.zeros(1, 3, 4, 4))
    assert images.load(path).pixels.shape == (1, 3, 4, 4)


@LINUX_ONLY
def test_files_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        images.save(tmp_path / "a.png", torch.zeros(1, 3, 4, 4))
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    assert (tmp_path / "a.png").stat().st_mode & 0o777 == 0o640


ON_A_FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import torch
from impasto import images
from impasto.errors import OutputError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
pixels = torch.rand(1, 3, 200, 300)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
for path in map(Path, sys.argv[1:]):
    try:
        images.save(path, pixels, note="x" * 500)
    except OutputError as error:
        assert path.name in str(error) and "\\n" not in str(error).strip(), error
    else:
        sys.exit(f"{path} was written")
"""


@LINUX_ONLY
def test_full_disk_leaves_only_the_old_file(tmp_path: Path) -> None:
    paths = [tmp_path / f"out.{extension}" for extension in WRITABLE]
    for path in paths:
        path.write_bytes(b"what was there before")
    process = subprocess.run(
        [sys.executable, "-c", ON_A_FULL_DISK, *paths], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    assert {path.read_bytes() for path in paths} == {b"what was there before"}
    assert sorted(tmp_path.iterdir()) == sorted(paths)


def test_writing_leaves_no_other_file(tmp_path: Path) -> None:
    for extension in WRITABLE:
        images.save(tmp_path / f"out.{extension}", torch.rand(1, 3, 4, 4))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"out.{extension}" for extension in WRITABLE)


@pytest.mark.parametrize("kind", ["png", "tif"])
@pytest.mark.parametrize("bands", [3, 4])
def test_row_blocks_change_nothing(kind: str, bands: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in many blocks of rows, downscaled while reading and stored on disk."""
    pattern = np.random.default_rng(0).integers(0, 256, (90, 70, bands), dtype=np.uint8)
    Image.fromarray(pattern).save(tmp_path / f"in.{kind}")
    whole = images.load(tmp_path / f"in.{kind}", long_side_px=45)
    images.save(tmp_path / f"whole.{kind}", whole.pixels, whole.alpha)
    for module in (read, write):
        monkeypatch.setattr(module, "BLOCK_PX", 40 * 7)
    store = DiskStore(tmp_path / "scratch")
    parts = images.load(tmp_path / f"in.{kind}", long_side_px=45, store=store)
    torch.testing.assert_close(parts.pixels, whole.pixels, rtol=0, atol=1e-5)
    images.save(tmp_path / f"parts.{kind}", parts.pixels, parts.alpha, store=store)
    with Image.open(tmp_path / f"whole.{kind}") as expected, Image.open(tmp_path / f"parts.{kind}") as result:
        difference = np.asarray(expected).astype(int) - np.asarray(result)
        assert result.mode == ("RGB" if bands == 3 else "RGBA")
    assert abs(difference).max() <= 1


@pytest.mark.parametrize("bits", [8, 16])
def test_large_tiff_is_tiled_or_bigtiff(bits: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "TILED_TIFF_BYTES", 1000)
    monkeypatch.setattr(write, "BIGTIFF_BYTES", 2000)
    pixels = torch.rand(1, 3, 300, 280, generator=torch.Generator().manual_seed(0))
    images.save(tmp_path / "big.tif", pixels, bits=bits, note="kept")
    assert (tmp_path / "big.tif").read_bytes()[2] == 43  # 42 is TIFF
    with Image.open(tmp_path / "big.tif") as tiff:
        assert tiff.tag_v2[322] == 256  # type: ignore[attr-defined]
    again = images.load(tmp_path / "big.tif").pixels
    assert (again - pixels).abs().max() <= 0.5 / (2**bits - 1) + 1e-6
    assert images.read_note(tmp_path / "big.tif") == "kept"


def test_opened_image_size_matches_load(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "turned.jpg", exif=exif)
    assert images.open_image(tmp_path / "turned.jpg").size == (30, 20)
    assert images.load(tmp_path / "turned.jpg").pixels.shape[2:] == (30, 20)
    assert images.open_image(torch.rand(1, 3, 7, 9)).size == (7, 9)
    assert images.open_image(Image.new("L", (5, 4))).size == (4, 5)
    with pytest.raises(ImageError, match="has 20x30"):
        images.open_image(tmp_path / "turned.jpg", max_megapixels=1e-4)
