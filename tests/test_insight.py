"""Views of features, Gram matrices and sweeps, and the images that show them."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders.pixels import read_pixels
from builders.processes import Program
from PIL import Image
from torch import Tensor

from impasto import images, insight, samples
from impasto.cli import main
from impasto.config import Config
from impasto.config.model import example_of
from impasto.config.wrap import Dims
from impasto.core.encoder import Encoder
from impasto.core.evaluate import AutogradEngine
from impasto.core.image import thumbnail
from impasto.errors import ConfigError, ImageError, LayerError
from impasto.insight import gram as gram_view
from impasto.insight.gram import gram_distance
from impasto.insight.inputs import display_names
from impasto.insight.view_options import UNUSED_OPTIONS
from impasto.render.colorbar import draw_colorbar
from impasto.render.grid import Cell, draw_grid
from impasto.render.heatmap import ANCHORS, heatmap
from impasto.render.text import load_font, replace_missing_glyphs, text_width_px, truncate_middle
from impasto.run import drive, prepare_run
from impasto.run.model_cache import CachingEngine, ModelCache

SMALL: dict[str, Any] = {"size": 64, "iterations": 6}


def gray(value: float, height: int = 20, width: int = 30) -> Tensor:
    return torch.full((1, 3, height, width), value)


def find_image(sheet: Tensor, image: Tensor) -> tuple[int, int] | None:
    """Return the position of an image in a grid, to one level of 8 bits, or None."""
    whole, part = ((t[0] * 255).round().int().permute(1, 2, 0).numpy() for t in (sheet, image))
    high, wide = part.shape[:2]
    for y, x in zip(*np.nonzero((abs(whole - part[0, 0]) <= 1).all(axis=2)), strict=True):
        window = whole[y : y + high, x : x + wide]
        if window.shape == part.shape and abs(window - part).max() <= 1:
            return int(y), int(x)
    return None


# ---- Grids and labels ----------------------------------------------------------------------------


def test_grid_shows_each_image_unchanged() -> None:
    images_ = [torch.rand(1, 3, 10 + 7 * i, 40 - 3 * i, generator=torch.Generator().manual_seed(i)) for i in range(5)]
    sheet = draw_grid(
        [[images_[0], images_[1], images_[2]], [images_[3], None, images_[4]]], column_labels=["a", "b", "c"]
    )
    places = [find_image(sheet, image) for image in images_]
    assert None not in places
    tops = [place[0] for place in places if place]
    assert max(tops[:3]) < min(tops[3:])
    lefts = [place[1] for place in places if place]
    assert lefts[0] + 40 <= lefts[1]


def test_grid_spacing_is_even() -> None:
    cells = [[gray(0.1 * (3 * row + column)) for column in range(3)] for row in range(3)]
    sheet = draw_grid(
        cells, column_labels=["a", "b", "c"], row_labels=["one", "two", "three"], title="Title", note="note"
    )
    places = [[find_image(sheet, cell) for cell in row] for row in cells]
    lefts = [place[1] for place in places[0] if place]
    tops = [row[0][0] for row in places if row[0]]
    assert lefts[1] - lefts[0] == lefts[2] - lefts[1] > 30
    assert tops[1] - tops[0] == tops[2] - tops[1] > 20


def test_captions_are_never_truncated() -> None:
    texts = ["content 0.560  style 0.637", "content 0.560  style 0.638"]
    sheets = [draw_grid([[Cell(gray(0.5, 60, 64), text), Cell(gray(0.5, 60, 64))]]) for text in texts]
    assert not torch.equal(*sheets)
    room = text_width_px(texts[0], load_font(12))
    assert sheets[0].shape[3] >= room + 64


@pytest.mark.parametrize("label", ["column_labels", "row_labels", "title", "note", "caption"])
def test_labels_are_drawn(label: str) -> None:
    cell = Cell(gray(1.0, 60, 120), "words" if label == "caption" else "")
    texts: dict[str, Any] = {"column_labels": ["words"], "row_labels": ["words"], "title": "words", "note": "words"}
    plain = draw_grid([[Cell(gray(1.0, 60, 120))]])
    labelled = draw_grid([[cell]], **({label: texts[label]} if label in texts else {}))
    assert labelled.numel() > plain.numel()
    assert int((labelled < 0.6).sum()) > 30  # text is dark; the background and the picture are not
    assert not int((plain < 0.6).sum())


def test_font_has_scientific_symbols() -> None:
    letters = load_font(20)
    nothing = letters.getmask("\U0001f9ff").getbbox(), bytes(letters.getmask("\U0001f9ff"))
    for sign in "αβΣ×−→≤½²éüßñЖ…·":
        drawn = letters.getmask(sign)
        assert (drawn.getbbox(), bytes(drawn)) != nothing, sign


def test_missing_glyphs_are_replaced() -> None:
    for name in ("絵.jpg", "絵", "\u202e\N{CAT FACE}"):
        blank, labelled = (draw_grid([[gray(1.0, 60, 120)]], row_labels=[text]) for text in ("", name))
        assert int((labelled < 0.6).sum()) > int((blank < 0.6).sum()) + 10, name
    assert replace_missing_glyphs("絵.jpg") == "?.jpg"
    assert replace_missing_glyphs("a b, Жük × α…") == "a b, Жük × α…"
    assert replace_missing_glyphs("u\u0308ber") == "über"  # decomposed, as in file names on macOS


def test_long_label_is_truncated_in_the_middle() -> None:
    letters = load_font(14)
    short = truncate_middle("style_layers = relu1_1,relu2_1,relu3_1", letters, 140)
    assert text_width_px(short, letters) <= 140
    assert short.startswith("style")
    assert short.endswith("3_1")
    assert truncate_middle("short", letters, 140) == "short"
    assert truncate_middle("anything", letters, 2) == ""


def test_heatmap_goes_from_dark_to_bright() -> None:
    image = heatmap(torch.tensor([[0.0, 1.0], [2.0, 4.0]]), 40)
    assert image.shape == (1, 3, 40, 40)
    ends = [torch.tensor([int(a[i : i + 2], 16) / 255 for i in (0, 2, 4)]) for a in (ANCHORS[0], ANCHORS[-1])]
    assert torch.allclose(image[0, :, 0, 0], ends[0])
    assert torch.allclose(image[0, :, 39, 39], ends[1])
    assert torch.unique(image[0].flatten(1), dim=1).shape[1] == 4
    brightness = [float(image[0, :, y, x].sum()) for y, x in ((0, 0), (0, 39), (39, 0), (39, 39))]
    assert brightness == sorted(brightness)
    assert torch.allclose(heatmap(torch.zeros(3, 3), 9)[0, :, 0, 0], ends[0])


def test_colorbar_goes_from_dark_to_bright() -> None:
    bar = draw_colorbar(250.0, 120)
    colors = bar[0, :, 0]
    for index, value in ((0, 0.0), (-1, 1.0)):
        assert torch.allclose(
            colors[:, index], heatmap(torch.tensor([[value]]), 1, highest=1.0)[0, :, 0, 0], atol=1 / 255
        )
    assert bool((colors.sum(dim=0).diff() >= -0.02).all())
    ends = [bar[0, :, -8:, part].min() for part in (slice(0, 20), slice(50, 70), slice(100, 120))]
    assert max(ends) < 0.75  # a number at each end and in the middle
    assert not torch.equal(bar, draw_colorbar(300.0, 120))


def test_equal_file_names_get_their_folder() -> None:
    assert display_names(["a/x.jpg", Path("b/x.jpg"), "y.png"]) == ["a/x.jpg", "b/x.jpg", "y.png"]
    assert display_names(["/p/a/x.jpg", "/q/a/x.jpg", "x.jpg"]) == ["p/a/x.jpg", "q/a/x.jpg", "x.jpg"]
    assert display_names(["/p/a/x.jpg", "/p/a/x.jpg"]) == ["x.jpg", "x.jpg"]  # the same file twice
    assert display_names([np.zeros((2, 2)), "x.jpg", "x.jpg"]) == ["picture 1", "x.jpg", "x.jpg"]


@pytest.mark.weights
def test_grids_distinguish_equal_file_names(desk: Path) -> None:
    for folder in ("a", "b"):
        (desk / folder).mkdir()
        shutil.copy(desk / "photo.jpg", desk / folder / "x.jpg")
    files = [desk / "a" / "x.jpg", desk / "b" / "x.jpg"]
    grid = insight.recombine(files[:1], [files[1], desk / "painting.png"], **SMALL)
    assert (grid.row_labels[1:], grid.column_labels[1:]) == (["a/x.jpg"], ["b/x.jpg", "painting.png"])
    assert [cell.name for cell in grid.cells] == ["a/x.jpg × b/x.jpg", "a/x.jpg × painting.png"]
    assert gram_view(files, size=64, layers="relu1_1").names == ("a/x.jpg", "b/x.jpg")


# ---- Caches --------------------------------------------------------------------------------------


def test_cache_returns_measurements_and_misses_changes(tiny: Encoder, noise_image: Tensor) -> None:
    measured_layers: list[str] = []

    class Counting(AutogradEngine):
        def features(self, image: Tensor, layers: Iterable[str], wrap: Dims = ()) -> dict[str, Tensor]:
            measured_layers.extend(layers)
            return super().features(image, list(layers), wrap)

    engine = CachingEngine(Counting(tiny))
    first = engine.features(noise_image, ["relu1_1"])
    again = engine.features(noise_image.clone(), ["relu1_1", "relu2_1"])
    assert measured_layers == ["relu1_1", "relu2_1"]
    assert torch.equal(first["relu1_1"], again["relu1_1"])
    changed = noise_image.clone()
    changed[0, 0, 0, 0] += 0.5
    assert not torch.equal(engine.features(changed, ["relu1_1"])["relu1_1"], first["relu1_1"])
    plain = AutogradEngine(tiny).moments(noise_image, ["relu1_1"])["relu1_1"][0]
    for _ in range(2):
        assert torch.equal(engine.moments(noise_image, ["relu1_1"])["relu1_1"][0].outer, plain.outer)


def test_cache_size_is_bounded(tiny: Encoder) -> None:
    engine = CachingEngine(AutogradEngine(tiny), limit_bytes=100_000)
    for seed in range(40):
        image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
        engine.features(image, ["relu1_1"])  # 6 × 32 × 32 × 4 bytes
        assert sum(size for _, size in engine._values.values()) <= 100_000
    assert len(engine._values) == 100_000 // (6 * 32 * 32 * 4)


@pytest.mark.weights
def test_shared_cache_changes_no_picture(photo: Path, painting: Path) -> None:
    cache = ModelCache(cache_measurements=True)
    shared = [drive(prepare_run(photo, painting, **SMALL, alpha=alpha, cache=cache)) for alpha in (1, 20)]
    for alpha, result in zip((1, 20), shared, strict=True):
        expected = drive(prepare_run(photo, painting, **SMALL, alpha=alpha))
        assert torch.equal(result.image, expected.image)
    assert len(cache._encoders) == 1
    drive(prepare_run(photo, painting, **SMALL, padding="zero", cache=cache))
    assert len(cache._encoders) == 2


# ---- Features ------------------------------------------------------------------------------------


@pytest.mark.weights
def test_feature_maps_are_sorted_by_strength(photo: Path, vgg19: Encoder) -> None:
    sheet = insight.features(photo, layers="relu2_1,relu1_1", strongest=3, size=96)
    picture = images.load(photo, long_side_px=96).pixels
    replicated = prepare_run(photo, photo, size=96).encoder
    maps = replicated(picture, ["relu1_1"])["relu1_1"][0]
    order = maps.square().sum(dim=(1, 2)).argsort(descending=True)[:3]
    places = []
    for channel in order:
        highest = float(torch.quantile(maps[channel].flatten(), 0.999))
        places.append(find_image(sheet, heatmap(maps[channel], 160, highest=highest)))
    assert None not in places
    assert [place[1] for place in places if place] == sorted(place[1] for place in places if place)
    assert torch.equal(sheet, insight.features(photo, layers=["relu1_1", "relu2_1"], strongest=3, size=96))
    assert find_image(sheet, thumbnail(picture, 160, enlarge=True)) is not None  # as large as the maps


# ---- Gram ----------------------------------------------------------------------------------------


def test_gram_distance_by_hand() -> None:
    one, other = torch.diag(torch.tensor([3.0, 0.0])), torch.diag(torch.tensor([0.0, 4.0]))
    assert gram_distance(one, one) == 0
    assert gram_distance(one, other) == 1  # no overlap
    assert gram_distance(one, 2 * one) == pytest.approx((9 / 1) * 1 / (9 + 36))
    assert gram_distance(one, other) == gram_distance(other, one)


@pytest.mark.weights
def test_gram_distance_recognizes_textures(tmp_path: Path) -> None:
    paintings = {}
    for name in ("swirl", "mosaic"):
        paintings[name] = tmp_path / f"{name}.png"
        Image.fromarray(samples.paint(name, size_px=256)).save(paintings[name])
    view = gram_view([*paintings.values()], halves=True, size=192)
    assert view.names == ("swirl.png, left", "swirl.png, right", "mosaic.png, left", "mosaic.png, right")
    d = view.distances
    assert torch.equal(d.diagonal(), torch.zeros(4))
    assert torch.allclose(d, d.T)
    assert max(d[0, 1], d[2, 3]) < 0.5 * d[:2, 2:].min()
    assert 0 <= view.shuffle_error < 1e-4
    assert set(view.matrices) == {"relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"}
    assert view.matrices["relu1_1"][0].shape == (64, 64)


@pytest.mark.weights
def test_gram_view_splits_one_image_or_compares_sizes(photo: Path, painting: Path) -> None:
    assert len(gram_view(photo, size=96).names) == 2
    view = gram_view([photo, painting], size=96, layers="relu1_1,relu2_1")
    assert view.distances.shape == (2, 2)
    with pytest.raises(ConfigError, match="no picture"):
        gram_view([])


# ---- Content alone, style alone ------------------------------------------------------------------


@pytest.mark.weights
def test_shallow_layers_reconstruct_better(photo: Path) -> None:
    grid = insight.reconstruct(photo, layers="relu1_2,relu3_2,relu5_2", size=64, iterations=40)
    sheet = grid.paint()
    picture = images.load(photo, long_side_px=64).pixels
    errors = []
    for cell in grid.cells:
        assert cell.result is not None
        assert cell.result.recipe.config.alpha == 0
        assert find_image(sheet, cell.result.image) is not None
        errors.append(float((cell.result.image - picture).square().mean()))
    assert errors[0] < 0.5 * errors[1] < 0.5 * errors[2]
    assert find_image(sheet, picture) is not None


@pytest.mark.weights
def test_texture_uses_layers_up_to_each(painting: Path) -> None:
    grid = insight.texture(painting, layers="relu1_1,relu2_1,relu3_1", **SMALL)
    layers = [[layer.name for layer in cell.run.resolved.style_layers] for cell in grid.cells]
    assert layers == [["relu1_1"], ["relu1_1", "relu2_1"], ["relu1_1", "relu2_1", "relu3_1"]]
    grid.paint()
    for cell in grid.cells:
        assert cell.result is not None
        assert cell.result.losses["total"] == pytest.approx(Config().alpha * cell.result.losses["style"])


@pytest.mark.weights
def test_reconstruct_layers_default_and_validation(photo: Path) -> None:
    grid = insight.reconstruct(photo, size=64, iterations=1)
    assert [cell.name for cell in grid.cells] == ["relu1_2", "relu2_2", "relu3_4", "relu4_4", "relu5_4"]
    assert [p.name for p in insight.reconstruct(photo, size=96, iterations=1, network="alexnet").cells]
    with pytest.raises(LayerError, match="twice"):
        insight.reconstruct(photo, layers="relu1_2,relu1_2")
    with pytest.raises(LayerError, match="relu9_9"):
        insight.reconstruct(photo, layers="relu9_9")


# ---- Grids ---------------------------------------------------------------------------------------


@pytest.mark.weights
def test_recombine_places_each_pair(photo: Path, painting: Path, tmp_path: Path) -> None:
    other = tmp_path / "mosaic.png"
    Image.fromarray(samples.paint("mosaic", size_px=160)).save(other)
    grid = insight.recombine([photo, painting], [painting, other], **SMALL)
    sheet = grid.paint()
    places = []
    for cell in grid.cells:
        assert cell.result is not None
        places.append(find_image(sheet, cell.result.image))
    assert None not in places
    first, second, third, fourth = (place for place in places if place)
    assert first[0] == second[0] < third[0] == fourth[0]
    assert first[1] < second[1]
    names = [cell.run.inputs.content for cell in grid.cells]
    assert names == [photo, photo, painting, painting]
    assert torch.equal(sheet, insight.recombine([photo, painting], [painting, other], **SMALL).paint())


@pytest.mark.weights
def test_sweep_has_a_cell_per_setting(photo: Path, painting: Path) -> None:
    sweep = insight.sweep(photo, painting, {"alpha": [0.5, 50], "padding": ["zero", "replicate"]}, **SMALL)
    assert sweep.table() == []
    sweep.grid.paint()
    table = sweep.table()
    assert [(row["padding"], row["alpha"]) for row in table] == [
        ("zero", 0.5), ("zero", 50), ("replicate", 0.5), ("replicate", 50)
    ]  # fmt: skip
    assert table[1]["style"] < table[0]["style"]
    assert table[1]["content"] > table[0]["content"]
    assert sweep.grid.column_labels == ["alpha = 0.5", "alpha = 50"]
    grid = insight.sweep(photo, painting, {"style_scale": ["0.5"], "content_layers": ["relu4_2"]}).grid
    assert (grid.column_labels, grid.row_labels) == (["style scale = 0.5"], ["content layers = relu4_2"])
    assert sweep.grid.row_labels == ["padding = zero", "padding = replicate"]


def test_sweep_options_are_parsed_and_validated() -> None:
    assert insight.parse_sweep(["alpha=1, 5", "style-layers=relu1_1;relu1_1,relu2_1"]) == {
        "alpha": ["1", "5"],
        "style_layers": ["relu1_1", "relu1_1,relu2_1"],
    }
    for specs in (["alpha"], ["=1"], ["alpha=1", "alpha=2"]):
        with pytest.raises(ConfigError):
            insight.parse_sweep(specs)
    invalid: list[dict[str, Any]] = [
        {},
        {"alpha": []},
        {"alpha": [1], "seed": [1], "size": [64]},
        {"threads": [1, 2]},
        {"alpa": [1]},
    ]
    assert insight.sweep("photo.jpg", "painting.jpg", {"network": "alexnet", "alpha": (1, 2)}).settings[1] == {
        "network": "alexnet", "alpha": 2
    }  # fmt: skip
    for over in invalid:
        with pytest.raises(ConfigError):
            insight.sweep("photo.jpg", "painting.jpg", over)
    with pytest.raises(ConfigError, match="at most"):
        insight.sweep("photo.jpg", "painting.jpg", {"seed": list(range(200))})
    with pytest.raises(ConfigError):
        insight.recombine([], ["painting.jpg"])


# ---- Options of each view ------------------------------------------------------------------------

COMPANIONS: dict[str, dict[str, Any]] = {
    "enlarge": {"size": 176},
    "enlarge_style": {"style_scale": 8},
    "clamp": {"noise_std": 0.8},
    "lbfgs_history": {"iterations": 20},
    "scales": {"size": 64},
    "detail_transfer": {"size": 64, "scales": 2},
    "color_transfer": {"color": "match"},
    "tv_norm": {"tv_weight": 100},
    "learning_rate": {"optimizer": "adam"},
    "effort": {"iterations": None},
    **{name: {"print": "12x12mm"} for name in ("dpi", "fit", "bleed")},
    "content_seam": {"wrap": "both"},
}
"""Other options that an option needs to have an effect."""

VIEWS: dict[str, Any] = {
    "features": lambda photo, painting, **options: insight.features(photo, layers="relu2_1", **options),
    "gram": lambda photo, painting, **options: gram_view(painting, layers="relu2_1", **options).sheet,
    "reconstruct": lambda photo, painting, **options: insight.reconstruct(photo, layers="relu2_1", **options),
    "texture": lambda photo, painting, **options: insight.texture(painting, layers="relu2_1", **options),
    "recombine": lambda photo, painting, **options: insight.recombine(photo, painting, **options),
}


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.usefixtures("shared_models")
@pytest.mark.parametrize("view", VIEWS)
def test_option_changes_the_picture_or_is_refused(view: str, photo: Path, painting: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.png"
    images.save(small, images.load(photo, long_side_px=96).pixels)

    def draw(**options: Any) -> Tensor:
        steps = {} if view in ("features", "gram") else {"iterations": 5}
        shallow = {"style_layers": "relu2_1", "content_layers": "relu2_1"} if view == "recombine" else {}
        size = {} if "print" in options else {"size": 48}
        view_result = VIEWS[view](small, painting, **(size | steps | shallow | options))
        return view_result if isinstance(view_result, Tensor) else view_result.paint()

    plain: dict[str, Tensor] = {}
    for name, field in Config.model_fields.items():
        if name == "network":
            continue
        value = example_of(field)
        companions = COMPANIONS.get(name, {})
        if name in UNUSED_OPTIONS[view]:
            with pytest.raises(ConfigError, match=f"no use for {name}"):
                draw(**{name: value})
        elif not companions.keys() & UNUSED_OPTIONS[view]:
            if str(companions) not in plain:
                plain[str(companions)] = draw(**companions)
            before, after = plain[str(companions)], draw(**companions, **{name: value})
            assert before.shape != after.shape or float((before - after).abs().max()) > 2 / 255, name


# ---- The command line ----------------------------------------------------------------------------


@pytest.mark.weights
@pytest.mark.parametrize(
    "command",
    [
        ["features", "photo.jpg", "--layers", "relu1_1,relu3_1"],
        ["gram", "painting.png", "photo.jpg"],
        ["reconstruct", "photo.jpg", "--layers", "relu1_2,relu3_2", "--iterations", "3"],
        ["texture", "painting.png", "--layers", "relu1_1,relu2_1", "--iterations", "3"],
        ["recombine", "photo.jpg", "sample:cat", "--styles", "painting.png", "--iterations", "3"],
        ["sweep", "photo.jpg", "painting.png", "--over", "alpha=1,9", "--over", "pooling=max,avg", "--iterations", "3"],
    ],
    ids=lambda command: command[0],
)
def test_insight_commands_write_their_image(
    command: list[str], desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(desk)
    assert main(["insight", *command, "--size", "64", "-o", "sheet.png", "--quiet"]) == 0
    first = read_pixels(desk / "sheet.png")
    assert min(first.shape[:2]) > 60
    assert capsys.readouterr().out == ""
    assert main(["insight", *command, "--size", "64"]) == 0
    printed = capsys.readouterr().out.splitlines()
    again = [Path(line) for line in printed if line.endswith(".png")]
    assert len(again) == 1
    assert np.array_equal(read_pixels(again[0]), first)


@pytest.mark.weights
def test_tables_are_printed_as_json(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(desk)
    small = ["--size", "64", "--iterations", "2", "--json", "-o", "sheet.png"]
    assert main(["insight", "sweep", "photo.jpg", "painting.png", "--over", "alpha=1,9", *small]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["stopped"] is None
    cells = report["cells"]
    assert [cell["alpha"] for cell in cells] == ["1", "9"]
    assert all(cell["total"] > 0 for cell in cells)
    assert main(["insight", "gram", "photo.jpg", "painting.png", "--size", "64", "--json", "-o", "gram.png"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["distances"][0][1] == report["distances"][1][0] > 0
    assert report["shuffle_error"] < 1e-4


@pytest.mark.weights
def test_generated_names_are_never_too_long(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    names = ["a" * 78 + ".jpg", "漢" * 70 + ".jpg", "b" * 78 + ".jpg"]
    for name in names:
        (desk / name).write_bytes((desk / "photo.jpg").read_bytes())
    assert main(["insight", "gram", *names, "--size", "64", "--layers", "relu1_1"]) == 0
    assert len(list(desk.glob("a*_gram.png"))) == 1


@pytest.mark.weights
def test_minimum_size_depends_on_used_layers_only(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    Image.new("RGB", (9, 5), "teal").save("tiny.png")
    for view in ("gram", "features"):
        assert main(["insight", view, "tiny.png", "--layers", "relu1_1", "-o", "sheet.png", "--quiet"]) == 0


@pytest.mark.weights
def test_interrupted_grid_shows_finished_cells(desk: Path) -> None:
    command = [
        "sweep",
        "photo.jpg",
        "painting.png",
        "--over",
        "iterations=2,200000,2",
        "--size",
        "64",
        "-o",
        "sheet.png",
    ]
    with Program(
        [sys.executable, "-u", "-m", "impasto", "insight", *command, "--json"],
        cwd=desk,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        line = ""
        while "2/3" not in line:
            line = process.stderr.readline()
            assert line, "the grid ended before it was interrupted"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=300) == 130
        report = json.loads(process.stdout.read())
    assert [cell["iterations"] for cell in report["cells"]] == ["2", "200000"]
    assert (report["stopped"]["cell"], report["stopped"]["scale"]) == (2, 1)
    assert 1 <= report["stopped"]["iteration"] < 200000
    sheet = read_pixels(desk / "sheet.png").astype(int)
    empty = (abs(sheet - 230) <= 1).all(axis=2)
    assert 64 * 42 <= empty.sum() < 1.1 * 64 * 42  # the last cell was not started: its place is empty
    row = sheet[60:90]
    deviations = [
        cell_pixels.std() for cell_pixels in np.array_split(row[:, : np.flatnonzero(empty.any(axis=0))[0]], 2, axis=1)
    ]
    assert min(deviations) > 20  # one cell is finished, one shows its last step


@pytest.mark.weights
def test_refuses_an_image_too_small_for_a_layer(photo: Path) -> None:
    with pytest.raises((LayerError, ImageError), match="too small"):
        insight.reconstruct(photo, size=8)
