"""The sample pictures: deterministic, textured and small."""

from __future__ import annotations

import hashlib
import io
import runpy
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from impasto import samples
from impasto.errors import InputError

SIZE_PX = 160

DRAW_THUMBNAILS = runpy.run_path(str(Path(__file__).parent.parent / "scripts" / "draw_thumbnails.py"))

FEW_COLORS = ("poster", "stone", "fire")

every_painting = pytest.mark.parametrize("name", samples.PAINTINGS)
every_photo = pytest.mark.parametrize("name", samples.PHOTOS)


@cache
def painted(name: str, size_px: int = SIZE_PX, seed: int = 0) -> NDArray[np.uint8]:
    picture = samples.paint(name, size_px=size_px, seed=seed)
    picture.setflags(write=False)
    return picture


def digest(picture: NDArray[np.uint8]) -> str:
    return hashlib.sha256(picture.tobytes()).hexdigest()


def energy(picture: NDArray[np.uint8], block_px: int) -> float:
    """Return the mean difference, 0 … 255, of luma between neighboring blocks."""
    luma = picture.astype(np.float64) @ (0.299, 0.587, 0.114)
    height, width = (side // block_px for side in luma.shape)
    blocks = luma[: height * block_px, : width * block_px]
    blocks = blocks.reshape(height, block_px, width, block_px).mean(axis=(1, 3))
    return float(np.abs(np.diff(blocks, axis=0)).mean() + np.abs(np.diff(blocks, axis=1)).mean()) / 2


def test_ships_seven_styles_and_a_photo() -> None:
    assert samples.PAINTINGS == ("swirl", "dots", "mosaic", "ink", "poster", "stone", "fire")
    assert samples.PHOTOS == ("cat",)


def test_another_process_renders_the_same_bytes() -> None:
    code = (
        "import hashlib; from impasto import samples\n"
        "for name in samples.PAINTINGS:\n"
        "    print(hashlib.sha256(samples.paint(name, size_px=64).tobytes()).hexdigest())"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.split() == [digest(painted(name, 64)) for name in samples.PAINTINGS]


@every_painting
def test_seed_changes_the_composition(name: str) -> None:
    other = painted(name, seed=1)
    assert other.shape == painted(name).shape
    assert np.abs(other.astype(int) - painted(name)).mean() > 4


@every_painting
@pytest.mark.parametrize("size_px", [64, 75])
def test_long_side_equals_the_size(name: str, size_px: int) -> None:
    picture = painted(name, size_px)
    assert picture.shape == (round(size_px / 1.25), size_px, 3)
    assert picture.dtype == np.uint8


@every_painting
def test_size_scales_the_same_picture(name: str) -> None:
    small, large = (Image.fromarray(painted(name, size_px)) for size_px in (64, SIZE_PX))
    box = Image.Resampling.BOX
    thumbs = [np.asarray(image.resize((20, 16), box), dtype=float) for image in (small, large)]
    assert np.abs(thumbs[0] - thumbs[1]).mean() < 8


@every_painting
def test_colors_have_a_wide_range(name: str) -> None:
    picture = painted(name).reshape(-1, 3).astype(float)
    low, high = np.percentile(picture.mean(axis=1), (2, 98))
    assert high - low > 90
    assert len(np.unique(picture // 32, axis=0)) > (15 if name in FEW_COLORS else 30)
    if name not in ("ink", "stone"):
        assert np.ptp(picture, axis=1).mean() > 50


@every_painting
def test_has_texture_at_fine_and_coarse_scales(name: str) -> None:
    picture = painted(name)
    assert energy(picture, 1) > (2 if name == "poster" else 4)
    assert energy(picture, 4) > 3
    assert energy(picture, 16) > 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "monet"}, r"monet.*swirl, dots, mosaic, ink, poster"),
        ({"name": "swirl", "size_px": 63}, r"63 px.*64 to 2048"),
        ({"name": "swirl", "size_px": 2049}, r"2049 px.*64 to 2048"),
        ({"name": "swirl", "seed": -1}, "seed -1"),
    ],
)
def test_invalid_sample_error_says_why(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        samples.paint(**arguments)  # type: ignore[arg-type]


@every_photo
def test_photo_is_small_and_opens(name: str) -> None:
    path = samples.photo_path(name)
    assert path.stat().st_size < 80_000
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("JPEG", "RGB")
        assert 256 <= max(image.size) <= 512
        assert not image.getexif()
        assert np.asarray(image).std() > 30


@every_painting
def test_thumbnail_matches_the_painting(name: str) -> None:
    """The file that ships is what the script draws, whatever version of libjpeg encoded it."""
    path = samples.thumbnail_path(name)
    assert path.stat().st_size < 16_000
    with Image.open(path) as shipped, Image.open(io.BytesIO(DRAW_THUMBNAILS["draw_thumbnail"](name))) as drawn:
        assert (shipped.format, max(shipped.size)) == ("JPEG", samples.THUMBNAIL_PX)
        assert np.abs(np.asarray(shipped, float) - np.asarray(drawn, float)).mean() < 1


def test_credits_name_author_and_license() -> None:
    assert "Stefan van der Walt" in samples.credit("cat")
    assert "CC0" in samples.credit("cat")
    assert "Impasto" in samples.credit("swirl")


def test_unknown_photo_error_lists_the_photos() -> None:
    for look_up in (samples.photo_path, samples.credit):
        with pytest.raises(InputError, match=r"dog.*cat"):
            look_up("dog")


def test_imports_nothing_heavy() -> None:
    code = "import sys, impasto.samples; print({'torch', 'pyvips', 'PIL'} & set(sys.modules))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "set()"
