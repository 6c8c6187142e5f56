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
from impasto.run import read_recipe


def write_exr(path: Path, channels: dict[str, np.ndarray]) -> Path:
    OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}, channels).write(str(path))
    return path


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
    assert OpenEXR.File(str(tmp_path / "b.exr"), header_only=True).header()["xDensity"] == 150


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
    for name, message in (("cut", "no complete OpenEXR"), ("z", "channels Z"), ("nan", "NaN")):
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
