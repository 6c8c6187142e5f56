"""Prints: sizes in pixels, the fit of the photo, the files' resolution, and the note beforehand."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from builders.pixels import read_pixels
from builders.runs import build_run
from PIL import Image
from torch import Tensor

from impasto import images
from impasto.cli import main
from impasto.config import Config
from impasto.config.print_size import parse_millimeters, parse_paper
from impasto.core.encoder import Encoder
from impasto.core.framing import frame_content
from impasto.core.tensor_store import RamStore
from impasto.errors import ConfigError, ImageError, OutputError
from impasto.insight.report import build_picture_report, build_run_report
from impasto.metrics.score import load_score_inputs
from impasto.run import Run, drive, prepare_run
from impasto.run.recorded import reproduce


@pytest.mark.parametrize(
    ("options", "height", "width"),
    [
        ({"print": "40x30cm"}, 3543, 4724),
        ({"print": "40 cm x 300mm"}, 3543, 4724),
        ({"print": "8x10in"}, 3000, 2400),
        ({"print": "A4"}, 2480, 3508),
        ({"print": "a4 portrait"}, 3508, 2480),
        ({"print": "A3 landscape", "dpi": 150}, 1754, 2480),
        ({"print": "letter"}, 2550, 3300),
        ({"print": "A6", "bleed": "3mm"}, 1311, 1819),
    ],
)
def test_print_size_sets_the_pixels_exactly(options: dict[str, Any], height: int, width: int) -> None:
    config = Config(**options)
    frame = frame_content((600, 900), config)
    assert frame.canvas == frame.size == (height, width)
    assert config.longest_px == max(height, width)
    assert Config(**config.model_dump(mode="json")) == config


def test_named_paper_lies_as_the_photo_does() -> None:
    for source, expected in (((600, 900), (2480, 3508)), ((900, 600), (3508, 2480)), ((600, 600), (3508, 2480))):
        assert frame_content(source, Config(print="A4")).canvas == expected


def test_crop_is_the_center_in_the_aspect_of_paper_and_bleed() -> None:
    frame = frame_content((1000, 2000), Config(print="10x10cm", bleed="5mm"))
    assert frame.crop == (1000, 1000)
    assert frame.crop_of(1000, 2000) == (0, 500, 1000, 1000)
    assert frame.crop_of(100, 200) == (0, 50, 100, 100)  # a smaller mask of the same photo


def test_pad_and_inside_keep_the_whole_photo() -> None:
    pad = frame_content((1000, 2000), Config(print="254x254mm", fit="pad", dpi=100, bleed="0.1in"))
    assert (pad.size, pad.canvas, pad.offset) == ((500, 1000), (1020, 1020), (260, 10))
    inside = frame_content((1000, 2000), Config(print="254x254mm", fit="inside", dpi=100))
    assert inside.size == inside.canvas == (500, 1000)
    assert pad.crop == inside.crop == (1000, 2000)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"print": "A9"}, "no print size"),
        ({"print": "40x30"}, "has no unit. Write 40x30cm"),
        ({"print": "0x3cm"}, "no area"),
        ({"print": "A4", "size": 300}, "leave one of them out"),
        ({"print": "A4", "fit": "inside", "bleed": 3}, "no paper to bleed into"),
        ({"print": "100x100m"}, "1181102x1181102 px"),
        ({"print": "1x1mm", "dpi": 5}, "0x0 px"),
        ({"print": "A4", "dpi": 0}, "dpi = 0"),
        ({"bleed": "three"}, "no length"),
        ({"bleed": "-1"}, "no length"),
        ({"bleed": -1}, "bleed = -1"),
    ],
)
def test_invalid_print_is_a_one_line_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Config(**options)
    assert "\n" not in str(caught.value)


def test_crop_that_leaves_nothing_and_paper_without_a_print_are_refused() -> None:
    with pytest.raises(ConfigError, match="leaves nothing"):
        frame_content((1000, 1), Config(print="40x30cm"))
    for options in ({"bleed": 3}, {"fit": "pad"}):
        with pytest.raises(ConfigError, match="belong to a print"):
            frame_content((64, 64), Config(**options))
    with pytest.raises(ConfigError, match="leave one of them out"):
        prepare_run("photo.jpg", "painting.jpg", print="A4", size=512)


def test_lengths_have_units() -> None:
    assert [parse_millimeters(text) for text in ("3mm", "0.5 cm", "1in", "2", 2)] == [3, 5, 25.4, 2, 2]
    assert parse_paper('4x6"')[:2] == (4 * 25.4, 6 * 25.4)


# ---- Pictures ------------------------------------------------------------------------------------


def halves(height: int = 40, width: int = 80) -> Tensor:
    """Return a picture that is black, with the middle half of its width in white."""
    pixels = torch.zeros(1, 3, height, width)
    pixels[:, :, :, width // 4 : width * 3 // 4] = 1
    return pixels


def test_photo_masks_and_alpha_are_cropped_alike(tmp_path: Path) -> None:
    frame = frame_content((40, 80), Config(print="20x20mm", dpi=50.8))
    assert frame.size == (40, 40)
    content = images.load(torch.cat([halves(), halves()[:, :1]], dim=1), frame=frame)
    assert content.alpha is not None
    assert float(content.pixels.min()) == float(content.alpha.min()) == 1
    mask = images.load_mask(halves(20, 40)[0, :1], 40, 40, what="photo", store=RamStore(), frame=frame)
    assert float(mask.areas[""].mean()) > 0.95
    colors = halves(20, 40) * torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1) + torch.tensor([0, 0, 0.5]).view(1, 3, 1, 1)
    labels = images.load_mask(colors, 40, 40, what="photo", store=RamStore(), frame=frame)
    assert list(labels.areas) == ["#ff0080"]
    with pytest.raises(ImageError, match="aspect ratio"):  # a mask is that of the whole photo
        images.load_mask(torch.ones(1, 1, 40, 40), 40, 40, what="photo", store=RamStore(), frame=frame)
    edges = torch.cat([halves(), 1 - halves()[:, :1]], dim=1)
    with pytest.raises(ImageError, match="in the part that the print shows"):
        images.load(edges, frame=frame)


def tiny_print(tiny: Encoder, **options: Any) -> Run:
    layers = {"content_layers": "relu1_1", "style_layers": "relu1_1"}
    return build_run(tiny, Config(**layers, iterations=2, scales=1, **options), content=halves())


def test_pad_leaves_white_paper_around_the_painting(tiny: Encoder) -> None:
    run = tiny_print(tiny, print="20x20mm", dpi=50.8, fit="pad", bleed="1mm")
    result = drive(run)
    assert result.image.shape == (1, 3, 44, 44)
    assert run.sizes.frame.size == (20, 40)
    assert bool((result.image[:, :, :12] == 1).all() and (result.image[:, :, :, :2] == 1).all())
    assert float(result.image[:, :, 12:32, 2:42].mean()) < 0.9
    report = build_run_report(run, result, name="picture.png")
    assert report.content is not None
    assert report.content.shape == result.image.shape
    assert bool((report.content[:, :, :12] == 1).all())
    assert float(report.content[:, :, 14:30, 4:10].max()) < 0.1  # the photo's black edge lies on the paper


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_files_hold_resolution_and_srgb(suffix: str, tiny: Encoder, tmp_path: Path) -> None:
    path = drive(tiny_print(tiny, print="20x20mm", dpi=72)).save(tmp_path / f"print{suffix}")
    with Image.open(path) as image:
        assert image.size == (57, 57)
        assert image.info["dpi"] == pytest.approx((72, 72), abs=0.02)
        assert image.info["icc_profile"]
    again = images.load(path).pixels
    assert float((again - images.load(read_pixels(path)).pixels).abs().max()) < 1e-6  # its profile changes nothing


def test_webp_holds_srgb(tmp_path: Path) -> None:
    images.save(tmp_path / "a.webp", halves())
    with Image.open(tmp_path / "a.webp") as image:
        assert image.info["icc_profile"]


def test_note_tells_the_resolution_and_warns_below_half(tiny: Encoder, caplog: pytest.LogCaptureFixture) -> None:
    good = tiny_print(tiny, print="20x10mm", dpi=102)
    with caplog.at_level(logging.INFO, logger="impasto"):
        for _ in good.steps():
            break
    assert good.print_note is not None
    assert "photo: 80 px for 1.99 cm: 102 dpi, painting: 56 px: 71 dpi" in good.print_note.text
    assert [record.levelname for record in caplog.records if "dpi" in record.message] == ["INFO"]
    low = tiny_print(tiny, print="20x10mm", dpi=300).print_note
    assert low is not None
    assert low.is_low
    assert "Under 150 dpi the photo's small details are lost and strokes are finer than in a proof" in low.text
    photo_only = tiny_print(tiny, print="20x10mm", dpi=300, style_scale=0.1).print_note
    assert photo_only is not None
    assert "Under 150 dpi the photo's small details are lost: print smaller" in photo_only.text
    assert tiny_print(tiny).print_note is None
    assert good.estimate().note == good.print_note.text


def test_too_large_a_print_is_refused_before_painting(tiny: Encoder, tmp_path: Path) -> None:
    run = prepare_run(halves(), halves(), print="3x3m", dpi=300, memory="1GB", device="cpu")
    with pytest.raises(ConfigError, match="does not fit"):
        run.plan  # noqa: B018
    with pytest.raises(OutputError, match="at most 16383"):
        images.require_output(tmp_path / "a.webp", height=20_000, width=20_000)


# ---- With the real network -----------------------------------------------------------------------


@pytest.mark.weights
def test_command_paints_reproduces_and_scores_a_print(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(desk)
    options = ["--print", "20x20mm", "--dpi", "90", "--fit", "crop", "--bleed", "1mm", "--iterations", "2"]
    assert main(["stylize", "photo.jpg", "painting.png", "-o", "a.tif", "--bits", "16", *options]) == 0
    assert "dpi" in capsys.readouterr().err
    assert read_pixels(desk / "a.tif").shape == (78, 78, 3)
    again = reproduce(desk / "a.tif")
    assert (again.to_numpy() == images.quantize(images.load(desk / "a.tif").pixels, None, 8, RamStore())).all()
    content = load_score_inputs(desk / "photo.jpg", desk / "painting.png", desk / "a.tif").content
    cropped = images.load(desk / "photo.jpg", frame=frame_content((300, 451), again.recipe.config))
    assert float((content - cropped.pixels).abs().mean()) < 0.01
    report = build_picture_report(desk / "a.tif").content
    assert report is not None
    assert float((report - cropped.pixels).abs().mean()) < 0.01
    assert main(["stylize", "photo.jpg", "painting.png", "--print", "A4", "--size", "512"]) == 2
    assert "leave one of them out" in capsys.readouterr().err
