"""OpenEXR in and out, and Photoshop files in."""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest
import pyvips
import torch

from impasto import images
from impasto.cli import main
from impasto.errors import ImageError, OutputError
from impasto.images.exr import compress, expand
from impasto.images.primaries import REC709, matrix_to_rec709
from impasto.run import read_recipe


def write_exr(path: Path, channels: dict[str, np.ndarray], **header: Any) -> Path:
    usual = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(usual | header, channels).write(str(path))
    return path


def read_header(path: Path) -> dict[str, Any]:
    header: dict[str, Any] = OpenEXR.File(str(path), header_only=True).header()
    return header


def read_light(path: Path) -> np.ndarray:
    part = OpenEXR.File(str(path)).parts[0]
    return np.asarray(next(iter(part.channels.values())).pixels, np.float32)


LIGHT = np.random.default_rng(0).gamma(0.6, 1.2, (40, 50, 3)).astype(np.float16)


@pytest.mark.parametrize("peak", [1.0, 4.0, 1000.0])
def test_tone_curve_is_monotonic_and_inverted(peak: float) -> None:
    light = np.linspace(0, peak, 5000).astype(np.float32)
    pixels = compress(light, peak)
    assert (np.diff(pixels) >= 0).all()
    assert (pixels[0], pixels[-1]) == (0, pytest.approx(1, abs=1e-6))
    assert np.allclose(expand(pixels, peak), light, rtol=2e-3, atol=1e-6)
    assert float(compress(np.array([0.5], np.float32), 1.0)[0]) == pytest.approx(0.7354, abs=1e-4)  # plain sRGB


def test_light_survives_the_way_in_and_out(tmp_path: Path) -> None:
    source = write_exr(tmp_path / "a.exr", {"RGB": LIGHT})
    picture = images.load(source)
    assert picture.peak == float(LIGHT.max()) > 3
    assert float(picture.pixels.max()) == pytest.approx(1)
    images.save(tmp_path / "b.exr", picture.pixels, peak=picture.peak, note="{}", dpi=150)
    light = read_light(tmp_path / "b.exr")
    assert np.allclose(light, LIGHT, rtol=0.02, atol=2e-3)
    assert images.read_note(tmp_path / "b.exr") == "{}"
    header = read_header(tmp_path / "b.exr")
    assert header["xDensity"] == 150
    assert header["chromaticities"] == pytest.approx(REC709)


ACESCG = (0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.32168, 0.33767)
REC2020 = (0.708, 0.292, 0.17, 0.797, 0.131, 0.046, 0.3127, 0.329)
XYZ = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1 / 3, 1 / 3)


def test_published_matrices_are_reproduced() -> None:
    # ACES 1.3 (Academy TB-2014-004, Bradford), and ITU-R BT.2087.
    aces = [[1.70505, -0.62179, -0.08326], [-0.13026, 1.14080, -0.01055], [-0.02400, -0.12897, 1.15297]]
    wide = [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
    for chromaticities, expected in ((ACESCG, aces), (REC2020, wide)):
        matrix = matrix_to_rec709(chromaticities, "")
        assert matrix is not None
        assert np.allclose(matrix, expected, atol=1e-4)
    assert matrix_to_rec709([round(value, 3) for value in REC709], "") is None


@pytest.mark.parametrize("chromaticities", [ACESCG, REC2020, XYZ], ids=["ACEScg", "Rec. 2020", "XYZ"])
def test_other_primaries_are_converted_before_the_tone_curve(chromaticities: tuple[float, ...], tmp_path: Path) -> None:
    matrix = matrix_to_rec709(chromaticities, "")
    assert matrix is not None
    wide = (LIGHT.astype(np.float64) @ np.linalg.inv(matrix).T).astype(np.float32)
    picture = images.load(write_exr(tmp_path / "a.exr", {"RGB": wide}, chromaticities=chromaticities))
    plain = images.load(write_exr(tmp_path / "b.exr", {"RGB": LIGHT}))
    assert picture.peak == pytest.approx(plain.peak, rel=1e-4)
    assert torch.allclose(picture.pixels, plain.pixels, atol=1e-4)
    images.save(tmp_path / "c.exr", picture.pixels, peak=picture.peak)
    assert np.allclose(read_light(tmp_path / "c.exr"), LIGHT, rtol=0.02, atol=2e-3)
    gray = np.full((4, 4, 3), 0.25, np.float32)  # white is white, whatever its point
    pixels = images.load(write_exr(tmp_path / "d.exr", {"RGB": gray}, chromaticities=chromaticities)).pixels
    assert float((pixels - 0.5371).abs().max()) < 1e-3


def test_photo_becomes_linear_light(tmp_path: Path) -> None:
    images.save(tmp_path / "a.exr", torch.full((1, 3, 8, 8), 0.7354))
    assert read_light(tmp_path / "a.exr").mean() == pytest.approx(0.5, abs=1e-3)


def test_alpha_and_gray_are_read(tmp_path: Path) -> None:
    alpha = np.full((8, 8), 0.5, np.float32)
    colors = {name: np.full((8, 8), 0.25, np.float32) for name in "RGB"}
    picture = images.load(write_exr(tmp_path / "a.exr", colors | {"A": alpha}))
    assert picture.alpha is not None
    assert float(picture.alpha.mean()) == pytest.approx(0.5, abs=1e-4)
    assert float(picture.pixels.mean()) == pytest.approx(0.7354, abs=2e-3)  # 0.25 was multiplied by alpha
    images.save(tmp_path / "b.exr", picture.pixels, picture.alpha)
    assert read_light(tmp_path / "b.exr")[:, :, 0].mean() == pytest.approx(0.25, abs=2e-3)
    gray = images.load(write_exr(tmp_path / "y.exr", {"Y": colors["R"]}))
    assert float(gray.pixels.std()) < 1e-6


def test_bad_exr_is_a_one_line_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = write_exr(tmp_path / "a.exr", {"RGB": LIGHT})
    (tmp_path / "cut.exr").write_bytes(good.read_bytes()[:2000])
    write_exr(tmp_path / "z.exr", {"Z": LIGHT[:, :, 0]})
    write_exr(tmp_path / "nan.exr", {"RGB": np.full((4, 4, 3), np.nan, np.float32)})
    write_exr(tmp_path / "alpha.exr", {"RGBA": np.dstack([LIGHT, LIGHT[:, :, :1] * np.float16("nan")])})
    write_exr(tmp_path / "primaries.exr", {"RGB": LIGHT}, chromaticities=(0.3,) * 8)
    cases = {"cut": "no complete OpenEXR", "z": "channels Z", "nan": "NaN", "alpha": "NaN", "primaries": "no colors"}
    for name, message in cases.items():
        with pytest.raises(ImageError, match=message) as caught:
            images.load(tmp_path / f"{name}.exr")
        assert "\n" not in str(caught.value)
    with pytest.raises(ImageError, match="max-megapixels"):
        images.load(good, max_megapixels=0.001)
    with pytest.raises(OutputError, match="no profile"):
        images.require_output(tmp_path / "b.exr", profile=images.load_profile("p3"))
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(ImageError, match=r"impasto\[exr\]"):
        images.load(good)
    with pytest.raises(OutputError, match=r"impasto\[exr\]"):
        images.require_output(tmp_path / "b.exr")


@pytest.mark.weights
def test_command_paints_light(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    options = ["--size", "64", "--iterations", "2", "--init", "content", "--alpha", "0.01", "--color", "style"]
    write_exr(desk / "photo.exr", {"RGB": np.repeat(np.repeat(LIGHT[:8, :12], 8, 0), 8, 1)})
    assert main(["stylize", "photo.exr", "painting.png", "-o", "a.exr", *options]) == 0
    assert read_light(desk / "a.exr").max() > 1
    assert read_recipe(desk / "a.exr").inputs["content"].name == "photo.exr"
    assert main(["reproduce", "a.exr", "-o", "b.exr"]) == 0
    assert np.array_equal(read_light(desk / "a.exr"), read_light(desk / "b.exr"))


# ---- Photoshop -----------------------------------------------------------------------------------


def pack_bits(row: bytes) -> bytes:
    """Encode a row as PackBits, in literal runs."""
    return b"".join(bytes([len(row[at : at + 128]) - 1]) + row[at : at + 128] for at in range(0, len(row), 128))


def build_psd(planes: Any, *, mode: int, packed: bool = False, layers: int = 0, icc: bytes = b"") -> bytes:
    """Build a Photoshop file from channels (C, H, W) of uint8 or uint16."""
    planes = np.asarray(planes)
    count, height, width = planes.shape
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, count, height, width, 8 * planes.itemsize, mode)
    resource = b"8BIM" + struct.pack(">HHI", 1039, 0, len(icc)) + icc + b"\0" * (len(icc) % 2) if icc else b""
    info = struct.pack(">Ih", 2, layers)
    rest = struct.pack(">I", 0) + struct.pack(">I", len(resource)) + resource + struct.pack(">I", len(info)) + info
    rows = [row.astype(f">u{planes.itemsize}").tobytes() for plane in planes for row in plane]
    if not packed:
        return head + rest + struct.pack(">H", 0) + b"".join(rows)
    lines = [pack_bits(row) for row in rows]
    sizes = b"".join(struct.pack(">H", len(line)) for line in lines)
    return head + rest + struct.pack(">H", 1) + sizes + b"".join(lines)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_psd_is_read_with_all_its_bits(kind: str, packed: bool) -> None:
    planes = np.random.default_rng(1).integers(0, np.iinfo(kind).max, (3, 9, 14)).astype(kind)
    for source in (build_psd(planes, mode=3, packed=packed), io.BytesIO(build_psd(planes, mode=3, packed=packed))):
        pixels = images.load(source).pixels
        assert np.allclose(pixels[0].numpy(), planes / np.iinfo(kind).max, atol=1e-6)


@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_psd_alpha_is_transparency_only_where_layers_say_so(kind: str) -> None:
    top = np.iinfo(kind).max
    planes = np.full((4, 8, 8), top // 2).astype(kind)
    transparent = images.load(build_psd(planes, mode=3, layers=-1))
    assert transparent.alpha is not None
    assert float(transparent.alpha.mean()) == pytest.approx(0.5, abs=0.01)
    assert images.load(build_psd(planes, mode=3, layers=1)).alpha is None


@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_psd_in_cmyk_uses_its_profile(kind: str, tmp_path: Path) -> None:
    pixels = torch.full((1, 3, 8, 8), 0.6)
    profile = images.load_profile("cmyk")
    images.save(tmp_path / "a.tif", pixels, bits=8 * np.dtype(kind).itemsize, profile=profile)
    inks = pyvips.Image.new_from_file(str(tmp_path / "a.tif")).numpy().transpose(2, 0, 1)
    source = build_psd(np.iinfo(kind).max - inks, mode=4, icc=profile.data)  # Photoshop stores no ink as the maximum
    assert torch.allclose(images.load(source).pixels, images.load(tmp_path / "a.tif").pixels, atol=1e-4)


def test_bad_psd_is_a_one_line_error(tmp_path: Path) -> None:
    planes = np.zeros((3, 8, 8), np.uint16)
    good = build_psd(planes, mode=3)
    cases = {
        "cut": (good[:120], "truncated|complete"),
        "head": (good[:20], "truncated"),
        "large": (good[:5] + b"\2" + good[6:], "PSB"),
        "float": (build_psd(np.zeros((3, 8, 8), np.uint32), mode=3), "32 bits"),
        "many": (good[:14] + struct.pack(">II", 30000, 30000) + good[22:], "max-megapixels"),
    }
    for name, (data, message) in cases.items():
        path = tmp_path / f"{name}.psd"
        path.write_bytes(data)
        with pytest.raises(ImageError, match=message) as caught:
            images.load(path)
        assert "\n" not in str(caught.value)
