"""Loss traces, films and HTML reports of a run."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import shutil
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from builders.pages import WatchedPage
from builders.pixels import read_pixels
from PIL import Image

import impasto
from impasto.cli import main
from impasto.config import Config
from impasto.config.networks import VGG19
from impasto.errors import OutputError
from impasto.insight.command import stylize_command
from impasto.insight.loss_charts import step_numbers
from impasto.insight.report import Report
from impasto.render.chart import draw_chart
from impasto.render.film import Film
from impasto.render.film_formats import require_film
from impasto.render.film_frame import Frame
from impasto.run import drive, prepare_run, read_recipe
from impasto.run.checkpoint import read_checkpoint
from impasto.run.loss_trace import MAX_ROWS, LossTrace
from impasto.run.recipe import Trace

pytestmark = pytest.mark.usefixtures("shared_models")

SHALLOW: dict[str, Any] = {"size": 32, "scales": 1, "style_layers": "relu1_1", "content_layers": "relu1_1"}
"""Options that make a step take milliseconds."""

SMALL = ["--size", "64", "--iterations", "8", "--quiet"]
ALPHA = f"{Config().alpha:g}"


@pytest.fixture(scope="module")
def painted_once(tmp_path_factory: pytest.TempPathFactory, photo: Path, painting: Path) -> Path:
    """Make a folder with a painted picture, its report and its film."""
    folder = tmp_path_factory.mktemp("painted")
    shutil.copy(photo, folder / "photo.jpg")
    shutil.copy(painting, folder / "painting.png")
    options = ["--report", "--timelapse", "film.webp", "--timelapse-seconds", "1"]
    with contextlib.chdir(folder):
        assert main(["stylize", "photo.jpg", "painting.png", "-o", "out.png", *SMALL, *options]) == 0
    return folder


@pytest.fixture
def painted(painted_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a picture with its report and its film, in a folder of its own."""
    folder = shutil.copytree(painted_once, tmp_path / "painted")
    monkeypatch.chdir(folder)
    return folder / "out.png"


# ---- The trace -----------------------------------------------------------------------------------


@pytest.mark.weights
def test_trace_records_each_step(photo: Path, painting: Path) -> None:
    run = prepare_run(photo, painting, size=64, iterations=5, scales=2)
    rows = []
    for progress in run.steps():
        rows.append((progress.scale, progress.iteration, progress.losses.as_floats(), progress.gradient_rms))
    trace = run.result().recipe.trace
    assert trace is not None
    assert list(zip(trace.scale, trace.iteration, strict=True)) == [row[:2] for row in rows]
    for index, (_, _, losses, gradient) in enumerate(rows):
        assert trace.numbers["gradient"][index] == pytest.approx(gradient, rel=1e-3)
        for name, value in losses.items():
            assert trace.numbers[name][index] == pytest.approx(value, rel=1e-3)
    assert trace.numbers["total"][-1] < trace.numbers["total"][0]


@pytest.mark.weights
def test_long_trace_is_thinned_and_keeps_the_last_step(photo: Path, painting: Path) -> None:
    run = prepare_run(photo, painting, iterations=MAX_ROWS * 2 + 7, **SHALLOW)
    trace = drive(run).recipe.trace
    assert trace is not None
    assert MAX_ROWS / 2 <= len(trace.scale) <= MAX_ROWS + 1
    assert trace.iteration[0] == 1
    assert trace.iteration[-1] == MAX_ROWS * 2 + 7
    assert len(set(np.diff(trace.iteration[:-1]))) == 1


@pytest.mark.weights
def test_long_trace_of_all_layers_fits_in_a_jpeg(photo: Path, painting: Path, tmp_path: Path) -> None:
    run, recorder = prepare_run(photo, painting, iterations=2, **SHALLOW), LossTrace()
    *_, progress = run.steps()
    layers = {name: torch.tensor(1e-5 / 3) for name in VGG19.names if name.startswith(("relu", "conv"))}
    losses = replace(progress.losses, style_layers=layers, content_layers=layers)
    for number in range(600):
        recorder.record(replace(progress, state=replace(progress.state, iteration=number), losses=losses))
    result = run.result()
    recipe = result.recipe.model_copy(update={"trace": recorder.columns()})
    replace(result, recipe=recipe).save(tmp_path / "long.jpg")
    trace = read_recipe(tmp_path / "long.jpg").trace
    assert trace == recorder.columns()
    assert trace is not None
    assert len(trace.numbers) > 60


@pytest.mark.weights
def test_trace_gradient_is_per_pixel(photo: Path, painting: Path) -> None:
    run = prepare_run(photo, painting, size=64, iterations=3, scales=1, clamp=False)
    for progress in run.steps():
        image = progress.image.clone()
    evaluation = run.engine.evaluator(progress.objective, progress.alpha)(image)
    expected = float((evaluation.gradient * image.numel()).square().mean().sqrt())
    assert progress.gradient_rms == pytest.approx(expected, rel=1e-3)


# ---- The film ------------------------------------------------------------------------------------


def frames_with(changes: list[float]) -> list[Frame]:
    losses = {"total": 3.0, "content": 2.0, "style": 1.0}
    return [
        Frame(np.full((8, 10, 3), index, np.uint8), losses, str(index), change) for index, change in enumerate(changes)
    ]


def test_frames_are_spaced_by_visual_change() -> None:
    film = Film()
    film.frames = frames_with([0.0, 8.0, 9.0, 9.5, 10.0])
    levels = [float(view.pixels.mean()) for _, view in film.interpolate(11)]
    # The first step makes four fifths of the change, so four fifths of the frames fade from 0 to 1.
    assert levels == sorted(levels)
    assert sum(level <= 1 for level in levels) == 9
    assert levels[0] == 0
    assert levels[-1] == 4


def test_thinned_frames_keep_both_ends() -> None:
    film = Film()
    film.frames = frames_with([float(number**0.5) for number in range(200)])
    kept = film.select(10)
    assert 8 <= len(kept) <= 12
    assert (kept[0].label, kept[-1].label) == ("0", "199")
    gaps = np.diff([view.change for view in kept])
    assert gaps.max() < 2.5 * np.median(gaps)


@pytest.mark.weights
def test_film_starts_with_noise_and_ends_with_the_picture(photo: Path, painting: Path) -> None:
    run, film = prepare_run(photo, painting, size=64, iterations=6, scales=2), Film()
    for progress in run.steps():
        film.observe(run, progress)
    result = run.result()
    # Films enlarge small pictures by an integer factor.
    first, last = film.frames[0].pixels[::5, ::5].astype(float), film.frames[-1].pixels[::5, ::5]
    assert abs(first.mean() - 127.5) < 4
    assert first.std() < 15  # noise of 0.02 around gray
    expected = (result.image[0] * 255).round().permute(1, 2, 0).numpy()
    assert abs(last - expected).max() <= 1
    assert film.frames[0].losses == {}  # the start is not measured
    assert [view.change for view in film.frames] == sorted(view.change for view in film.frames)


@pytest.mark.weights
def test_frame_memory_is_bounded(photo: Path, painting: Path) -> None:
    run, film = prepare_run(photo, painting, iterations=150, **SHALLOW), Film(max_bytes=1)
    for progress in run.steps():
        film.observe(run, progress)
        assert len(film.frames) <= 65
    assert film.frames[0].label == "the start"
    assert film.frames[-1].label.startswith("32×21, step 150")


@pytest.mark.weights
def test_all_film_formats_play(painted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = painted.parent
    with Image.open(folder / "film.webp") as film:
        assert film.n_frames >= 18  # type: ignore[attr-defined]
        assert film.size[0] == 5 * 64
        assert film.size[1] > 5 * read_pixels(painted).shape[0] + 40  # room for the losses below
    small = [*SMALL, "--timelapse-seconds", "1"]
    for name in ("film.gif", "film.mp4"):
        assert main(["stylize", "photo.jpg", "painting.png", "-o", "again.png", *small, "--timelapse", name]) == 0
    with Image.open(folder / "film.gif") as film:
        assert film.n_frames >= 10  # type: ignore[attr-defined]
    with av.open(str(folder / "film.mp4")) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(frames) == 25 + round(1.5 * 25)
    last = frames[-1][: 5 * read_pixels(painted).shape[0]][2::5, 2::5].astype(float)
    assert abs(last - read_pixels(painted)).mean() < 12  # video stores color at half resolution
    assert abs(frames[0].astype(float) - frames[-1]).mean() > 15


@pytest.mark.parametrize(
    ("name", "message"), [("film.avi", ".mp4"), ("nowhere/film.gif", "no directory"), ("film", "unknown film format")]
)
def test_refuses_an_unwritable_film(name: str, message: str, desk: Path) -> None:
    with pytest.raises(OutputError, match=message):
        require_film(desk / name)


def test_missing_pyav_error_says_what_to_install(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("impasto.render.film_formats.find_spec", lambda name: None)
    with pytest.raises(OutputError, match=r"impasto\[video\]"):
        require_film(desk / "film.mp4")
    require_film(desk / "film.webp")


# ---- Curves --------------------------------------------------------------------------------------


def test_curves_follow_their_values() -> None:
    svg = draw_chart({"a": [100.0, 10.0, 1.0], "b": [1.0, 0.0, 1.0]}, label="Two", marks=[(2, "there")])
    lines = [part.split('points="')[1].split('"')[0].split() for part in svg.split("<polyline")[1:]]
    a, b = ([tuple(map(float, point.split(","))) for point in line] for line in lines)
    assert len(a) == 3
    assert len(b) == 2  # a logarithmic axis has no zero
    assert a[1][1] - a[0][1] == pytest.approx(a[2][1] - a[1][1], abs=0.2)  # equal factors, equal distances
    assert a[1][0] - a[0][0] == pytest.approx(a[2][0] - a[1][0], abs=0.2)
    assert a[2] == b[1]
    assert ">there<" in svg
    assert ">10<" in svg
    assert draw_chart({"nothing": [0.0]}, label="") == ""
    assert draw_chart({"overflow": [float("inf"), float("nan")]}, label="") == ""


def ticks(svg: str) -> list[float]:
    """Return the numbers beside the value axis."""
    return [float(text) for text in re.findall(r'text-anchor="end">([^<a-z]+)<', svg)]


@pytest.mark.parametrize(
    ("low", "high"),
    [(0.45, 0.6), (1.0, 1.0), (0.99, 1.01), (1e-9, 1e9), (0.02, 1), (3, 80), (9e3, 2e4), (2, 3)],
)
def test_axis_has_a_readable_number_of_ticks(low: float, high: float) -> None:
    numbers = ticks(draw_chart({"a": [high, low]}, label=""))
    assert 3 <= len(numbers) <= 9
    assert numbers == sorted(set(numbers))
    assert low * 0.3 < numbers[0] <= numbers[-1] < high * 3


def test_curves_align_with_their_step_numbers() -> None:
    svg = draw_chart(
        {"a": [3.0, 2.0, 1.0]}, label="", steps=[1, 11, 21], marks=[(1, "32×21"), (2, "40×30"), (11, "64×43")]
    )
    points = [float(point.split(",")[0]) for point in svg.split('points="')[1].split('"')[0].split()]
    tick_x = {text: float(x) for x, text in re.findall(r'x="([\d.]+)" y="[\d.]+" text-anchor="middle">(\d+)<', svg)}
    assert {"5", "10", "15", "20"} == set(tick_x)
    assert tick_x["10"] == pytest.approx(points[1] - (points[1] - points[0]) / 10, abs=0.2)
    assert ">step<" in svg
    assert ">64×43<" in svg
    assert ">40×30<" in svg or ">32×21<" in svg
    assert not (">40×30<" in svg and ">32×21<" in svg)  # the labels would overlap


# ---- The report ----------------------------------------------------------------------------------


@pytest.mark.weights
def test_report_makes_no_network_requests(painted: Path, watched: WatchedPage) -> None:
    page = watched.page
    page.goto((painted.parent / "out.html").as_uri())
    assert page.title() == "out.png"
    assert page.locator("main h2").all_inner_texts() == [
        "Three images", "Before and after", "Losses over the run", "From noise to picture", "Paint it again"
    ]  # fmt: skip
    assert page.locator(".pictures img").count() == 3
    assert 5 <= page.locator(".frames img").count() <= 14
    assert page.locator(".curves svg").count() == 4  # total, style and content by layer, gradient
    loaded = page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
    assert loaded
    slider = page.locator(".compare input")
    slider.fill("80")
    assert page.locator(".compare").evaluate("(node) => node.style.getPropertyValue('--at')") == "80%"
    keys = page.locator(".curves").first.locator(".keys b")
    before = keys.all_inner_texts()
    page.locator(".curves svg").first.hover(position={"x": 70, "y": 50})
    assert keys.all_inner_texts() != before
    assert [url for url in watched.requests if not url.startswith(("file:", "data:"))] == []
    assert watched.complaints == []


@pytest.mark.weights
def test_images_share_a_height_and_stay_legible(
    desk: Path, monkeypatch: pytest.MonkeyPatch, watched: WatchedPage
) -> None:
    monkeypatch.chdir(desk)
    with Image.open("painting.png") as whole:
        whole.crop((0, 0, 50, whole.height)).save("tall.png")
    for number, pair in enumerate((["photo.jpg", "tall.png"], ["tall.png", "photo.jpg"])):
        name = f"out{number}"
        assert main(["stylize", *pair, "-o", f"{name}.png", *SMALL, "--report"]) == 0
        for width in (1200, 390):
            watched.page.set_viewport_size({"width": width, "height": 900})
            watched.page.goto((desk / f"{name}.html").as_uri())
            boxes = [image.bounding_box() for image in watched.page.locator(".pictures img").all()]
            if width == 1200:
                assert max(box["height"] for box in boxes if box) - min(box["height"] for box in boxes if box) < 2
                assert len({box["y"] for box in boxes if box}) == 1
            slider = watched.page.locator(".compare").bounding_box()
            height, picture_width = read_pixels(desk / f"{name}.png").shape[:2]
            assert slider
            assert slider["width"] / slider["height"] == pytest.approx(picture_width / height, rel=0.02)
            assert slider["height"] >= 200
            assert slider["height"] <= 0.81 * 900
            for caption in watched.page.locator(".frames span").all():
                assert caption.evaluate("(line) => line.getClientRects().length") == 1
                assert caption.evaluate("(line) => line.scrollWidth <= line.clientWidth")


@pytest.mark.weights
@pytest.mark.parametrize(
    ("options", "formula"),
    [
        ([], f"Total = content + {ALPHA} × style"),
        (["--content-weight", "2", "--alpha", "1"], "Total = 2 × content + style"),
        (["--content-weight", "0", "--tv-weight", "10"], f"Total = {ALPHA} × style + 10 × tv"),
        (["--units", "absolute", "--alpha", "0", "--laplacian-weight", "100"], "Total = content + 100 × laplacian"),
    ],
)
def test_report_shows_the_formula_of_the_run(
    options: list[str], formula: str, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk)
    shallow = ["--style-layers", "relu1_1", "--content-layers", "relu1_1", "--report"]
    assert main(["stylize", "photo.jpg", "painting.png", "-o", "out.png", *SMALL, *shallow, *options]) == 0
    page = (desk / "out.html").read_text()
    assert f"<h3>{formula}</h3>" in page
    curves = json.loads(unescape(page.split('data-curves="')[1].split('"')[0]))
    assert list(curves) == ["total", *formula.removeprefix("Total = ").split(" + ")]
    total, *terms = curves.values()
    assert np.allclose(np.sum(terms, axis=0), total, rtol=2e-3)


def test_thinned_trace_keeps_step_numbers() -> None:
    all_steps = [(scale, step) for scale, last in ((1, 10), (2, 13)) for step in range(1, last + 1)]
    kept = [*all_steps[::4], all_steps[-1]]
    numbers = {"total": tuple(1.0 for _ in kept)}
    trace = Trace(scale=tuple(s for s, _ in kept), iteration=tuple(i for _, i in kept), numbers=numbers)
    assert step_numbers(trace) == [1, 5, 9, 13, 17, 21, 23]


@pytest.mark.weights
def test_report_is_readable_on_a_phone_in_dark_mode(painted: Path, watched: WatchedPage) -> None:
    page = watched.page
    page.set_viewport_size({"width": 380, "height": 800})
    page.emulate_media(color_scheme="dark")
    page.goto((painted.parent / "out.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
    text, background = (
        page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("color", "backgroundColor")
    )
    brightness = [sum(int(part) for part in color[4:-1].split(",")[:3]) for color in (text, background)]
    assert brightness[0] > 600 > 150 > brightness[1]


@pytest.mark.weights
def test_report_from_recipe_matches_the_run_minus_film_strip(painted: Path, watched: WatchedPage) -> None:
    assert main(["insight", "report", "out.png", "-o", "later.html", "--quiet"]) == 0
    curves = []
    for name in ("out.html", "later.html"):
        watched.page.goto((painted.parent / name).as_uri())
        curves.append([node.get_attribute("data-curves") for node in watched.page.locator(".curves").all()])
    assert curves[0] == curves[1]
    assert not watched.page.locator(".frames").is_visible()
    before = painted.read_bytes()
    assert main(["insight", "report", "out.png", "-o", "rerun.html", "--rerun", "--quiet"]) == 0
    watched.page.goto((painted.parent / "rerun.html").as_uri())
    assert watched.page.locator(".frames img").count() >= 5
    assert painted.read_bytes() == before


@pytest.mark.weights
def test_report_without_inputs_says_so(painted: Path, watched: WatchedPage) -> None:
    for name in ("photo.jpg", "painting.png"):
        (painted.parent / name).unlink()
    assert main(["insight", "report", "out.png", "--quiet"]) == 0
    watched.page.goto((painted.parent / "out_2.html").as_uri())
    assert watched.page.locator(".missing").count() == 2
    assert watched.page.locator("img.large").count() == 1
    assert watched.page.locator(".curves svg").count() == 4


@pytest.mark.weights
@pytest.mark.parametrize("output", ["out.png", "photo.jpg", "page.txt"])
def test_report_never_overwrites_a_picture(output: str, painted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in painted.parent.iterdir()}
    assert main(["insight", "report", "out.png", "-o", output]) == 2
    assert ".html" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in painted.parent.iterdir()} == before


@pytest.mark.weights
def test_film_of_a_resumed_run_skips_the_noise(photo: Path, painting: Path, tmp_path: Path) -> None:
    run, film = prepare_run(photo, painting, size=64, iterations=6, scales=2), Film()
    for number, _ in enumerate(run.steps()):
        if number == 4:
            run.save_checkpoint(tmp_path / "run.impasto")
            break
    for progress in run.steps(read_checkpoint(tmp_path / "run.impasto")):
        film.observe(run, progress)
    assert film.frames[0].label.endswith("step 6 of 6")


@pytest.mark.weights
def test_charts_show_the_scale_sizes_of_the_run(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    Image.new("RGB", (200, 43), "teal").save("wide.png")
    shallow = ["--style-layers", "relu1_1", "--content-layers", "relu1_1", "--scales", "2", "--iterations", "2"]
    arguments = ["wide.png", "painting.png", "-o", "out.png", "--size", "200", *shallow, "--report", "--quiet"]
    assert main(["stylize", *arguments]) == 0
    assert ">100×21<" in (desk / "out.html").read_text()


@pytest.mark.weights
def test_report_command_reproduces_the_picture(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk)
    options = ["--alpha", "2", "--style-layers", "relu1_1:2,relu3_1", "--no-clamp", "--style-scale", "0.5"]
    assert main(["stylize", "photo.jpg", "painting.png", "-o", "out.png", *SMALL, *options]) == 0
    command = shlex.split(stylize_command(read_recipe(desk / "out.png")))
    assert command[:2] == ["impasto", "stylize"]
    assert main([*command[1:], "-o", "again.png", "--quiet"]) == 0
    assert np.array_equal(read_pixels(desk / "again.png"), read_pixels(desk / "out.png"))
    assert "--network" not in command


def test_report_escapes_file_names() -> None:
    recipe = impasto.Recipe(
        version="0",
        config=Config(),
        resolved=Config().resolve(64, 64),
        run=impasto.RunOptions(),
        plan={"device": "cpu", "threads": 1, "torch": "2"},
        inputs={
            "content": {"name": "<script>alert(1)</script>.png", "sha256": "0"},
            "style": {"name": 'a\' "b"$name.png', "sha256": "0"},
        },
        weights_name=None,
        weights_sha256="0",
    )
    page = Report("<b>.png", recipe, torch.rand(1, 3, 8, 8), (8, 8), None, [("style", None)]).html()
    assert "<script>alert" not in page
    assert "<b>.png" not in page
    assert "&lt;b&gt;.png" in page


@pytest.mark.weights
def test_json_lists_additional_files(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(desk)
    small: list[Any] = ["--size", "64", "--iterations", "2"]
    assert main(["stylize", "photo.jpg", "painting.png", "-o", "out.png", *small, "--report", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["others"] == ["out.html"]
