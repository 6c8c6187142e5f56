"""Panoramas: the atlas of a sphere, its margins, and pictures without a seam or streaks at the poles."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from builders.commands import run_command
from builders.objectives import tiny_config
from builders.pages import WatchedPage, drop, job_state, job_view, press, submit_job, watch
from builders.runs import build_run
from builders.touch import PHONE, Touch
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect
from torch import Tensor

from impasto import images
from impasto.core.atlas_margins import AtlasMargins
from impasto.core.encoder import Encoder
from impasto.core.evaluate import Evaluation
from impasto.core.method import Progress
from impasto.core.panorama import BAND_HALF, CAP_RADIUS, Panorama, iter_pixels
from impasto.core.tensor_store import RamStore
from impasto.engine.tiled import TiledEngine
from impasto.errors import ImageError
from impasto.insight.report import build_run_report, write_report
from impasto.run import Run, drive, read_recipe, reproduce
from impasto.run.checkpoint import read_checkpoint

CPU = torch.device("cpu")
SMALL = Panorama(128, 256)


def draw_sphere(longitude: Tensor, latitude: Tensor) -> Tensor:
    """Return a smooth picture (1, 3, H, W) of these directions."""
    x, y = latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin()
    z = latitude.sin()
    waves = [0.5 + 0.4 * wave for wave in (torch.sin(3 * x + 1), torch.sin(4 * y), torch.sin(5 * z + x * y))]
    return torch.stack(waves)[None].float()


def draw_panorama(height: int = 128, width: int = 256) -> Tensor:
    """Return a smooth equirectangular picture."""
    ((_, x, y),) = iter_pixels(height, width, CPU)
    return draw_sphere((x / width - 0.5) * math.tau, (0.5 - y / height) * math.pi)


def draw_atlas(panorama: Panorama, height: int, width: int) -> Tensor:
    """Return the same as an atlas of this size."""
    full_height, full_width = panorama.atlas_size
    ((_, x, y),) = iter_pixels(height, width, CPU, torch.float64)
    charts = panorama.directions(x * full_width / width, y * full_height / height)
    return sum((draw_sphere(*direction) * share for *direction, share in charts), start=torch.zeros(())).float()


def look(picture: Tensor, yaw: float, pitch: float, side_px: int = 96) -> Tensor:
    """Return what a camera sees at these angles, with a field of view of 90°."""
    across, down = torch.meshgrid(torch.linspace(-1, 1, side_px), torch.linspace(1, -1, side_px), indexing="xy")
    x, y, z = across, down, torch.ones_like(across)
    y, z = y * math.cos(pitch) + z * math.sin(pitch), z * math.cos(pitch) - y * math.sin(pitch)
    x, z = x * math.cos(yaw) + z * math.sin(yaw), z * math.cos(yaw) - x * math.sin(yaw)
    column = torch.atan2(x, z) / math.pi
    row = -torch.atan2(y, torch.hypot(x, z)) / (math.pi / 2)
    return F.grid_sample(picture, torch.stack([column, row], dim=-1)[None], padding_mode="border", align_corners=False)


def streaks(view: Tensor) -> float:
    """Return the energy of gradients around the center of a view over that toward it. About 1 without streaks."""
    gray = view.mean(dim=1)[0]
    across, down = gray[1:-1, 2:] - gray[1:-1, :-2], gray[2:, 1:-1] - gray[:-2, 1:-1]
    side = torch.arange(len(across)) - (len(across) - 1) / 2
    y, x = torch.meshgrid(side, side, indexing="ij")
    ring = (torch.hypot(x, y) > 3) & (torch.hypot(x, y) < 0.3 * len(across))
    around, toward = (across * y - down * x)[ring], (across * x + down * y)[ring]
    return float(around.square().sum() / toward.square().sum())


def seam(picture: Tensor) -> float:
    """Return the step from the right edge to the left one, relative to the median step between columns."""
    steps = (picture - picture.roll(1, dims=3)).abs().mean(dim=(0, 1, 2))
    return float(steps[0] / steps.median())


# ---- The atlas -----------------------------------------------------------------------------------


def test_charts_meet_at_one_scale() -> None:
    assert pytest.approx(math.log(2)) == BAND_HALF
    assert pytest.approx(1) == CAP_RADIUS


def test_each_direction_is_where_the_atlas_says() -> None:
    generator = torch.Generator().manual_seed(1)
    longitude = (torch.rand(1000, generator=generator, dtype=torch.float64) - 0.5) * math.tau
    latitude = torch.asin(2 * torch.rand(1000, generator=generator, dtype=torch.float64) - 1)
    places = SMALL.positions(longitude, latitude)
    assert torch.allclose(torch.stack([share for *_, share in places]).sum(dim=0), torch.ones(1000).double())
    expected = draw_sphere(longitude, latitude)
    for x, y, share in places:
        charts = SMALL.directions(x, y)
        shown = sum((draw_sphere(lon, lat) * part for lon, lat, part in charts), start=torch.zeros(()))
        used = share > 0
        assert torch.allclose(shown[..., used].float(), expected[..., used], atol=1e-4)


@pytest.mark.parametrize("width", [96, 256, 510])
def test_atlas_and_back_is_the_picture(width: int) -> None:
    panorama, picture = Panorama(width // 2, width), draw_panorama(width // 2, width)
    atlas = panorama.to_atlas(picture)
    assert atlas.shape[2:] == panorama.atlas_size
    coarse = 100 / width**2  # interpolation between pixels
    assert (atlas - draw_atlas(panorama, *panorama.atlas_size)).abs().max() < 4 * coarse + 0.01
    assert (panorama.to_picture(atlas) - picture).abs().max() < 4 * coarse + 0.01


def test_noise_at_a_pole_is_averaged() -> None:
    """Near a pole a whole row of the picture is a pixel of the atlas."""
    noise = torch.rand(1, 1, 128, 256, generator=torch.Generator().manual_seed(2))
    atlas = SMALL.to_atlas(noise)
    middle = (SMALL.band_px + SMALL.atlas_size[0]) // 2
    pole = atlas[0, 0, middle - 2 : middle + 2, SMALL.atlas_size[1] // 4 - 2 : SMALL.atlas_size[1] // 4 + 2]
    assert (pole - 0.5).abs().max() < 0.25


# ---- Its margins ---------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_margins_show_the_neighboring_charts(level: int) -> None:
    panorama = Panorama(256, 512)
    height, width = (side >> level for side in panorama.atlas_size)
    margins, atlas = AtlasMargins(panorama, RamStore()), draw_atlas(panorama, height, width)
    assert (margins.apply(atlas) - atlas).abs().max() < 0.001 * 4**level
    assert torch.allclose(margins.apply(torch.ones(1, 3, height, width)), torch.ones(1, 3, height, width), atol=1e-5)
    noise = torch.rand(atlas.shape, generator=torch.Generator().manual_seed(3))
    once = margins.apply(noise)
    assert not torch.equal(once, noise)
    assert (margins.apply(once) - once).abs().mean() < 0.01


def test_gradient_goes_to_the_pixels_that_margins_are_looked_up_from() -> None:
    height, width = SMALL.atlas_size
    generator = torch.Generator().manual_seed(4)
    painted, gradient = (torch.rand(1, 3, height, width, generator=generator) for _ in range(2))
    edge = SMALL.margin_px  # the outermost pixels pass none on
    gradient[..., :edge, :] = gradient[..., -edge:, :] = gradient[..., :edge] = gradient[..., -edge:] = 0
    margins = AtlasMargins(SMALL, RamStore())

    def evaluate(image: Tensor) -> Evaluation:
        return Evaluation(None, gradient.clone())  # type: ignore[arg-type]

    passed = margins.wrap(evaluate)(painted).gradient
    assert float((margins.apply(painted) * gradient).sum()) == pytest.approx(float((painted * passed).sum()), rel=1e-4)


# ---- Runs ----------------------------------------------------------------------------------------


def build_panorama_run(encoder: Encoder, *, content: Any = None, protect: Any = None, **options: Any) -> Run:
    """Build a run of a small panorama in two scales."""
    config = tiny_config(**({"panorama": True, "iterations": 3, "scales": 2} | options))
    return build_run(encoder, config, content=draw_panorama(64, 128) if content is None else content, protect=protect)


def test_run_paints_the_atlas_and_returns_the_picture(tiny: Encoder) -> None:
    run = build_panorama_run(tiny)
    result = drive(run)
    assert (run.workload.height, run.workload.width) == Panorama(64, 128).atlas_size
    assert run.size == tuple(result.image.shape[2:]) == (64, 128)


def test_content_alone_comes_back(tiny: Encoder) -> None:
    result = drive(build_panorama_run(tiny, alpha=0, init="content", palette_strength=0, scales=1))
    assert (result.image - draw_panorama(64, 128)).abs().max() < 0.03


def test_masks_and_alpha_lie_where_the_content_has_them(tiny: Encoder) -> None:
    sphere = draw_panorama(64, 128)
    protect = np.zeros((64, 128), np.float32)
    protect[:20] = 1
    image = drive(build_panorama_run(tiny, protect=protect, palette_strength=0)).image
    assert (image - sphere)[:, :, :17].abs().max() < 0.03
    assert (image - sphere)[:, :, 24:].abs().mean() > 0.03
    opaque = np.concatenate([sphere[0].permute(1, 2, 0).numpy(), 1 - protect[..., None]], axis=2)
    result = drive(build_panorama_run(tiny, content=opaque, bleed_alpha=4))
    assert result.alpha is not None
    assert torch.equal(result.alpha[0, 0], torch.from_numpy(1 - protect))


@pytest.mark.parametrize("size", [(64, 128), (63, 127)])
def test_tiles_paint_the_same_panorama(tiny: Encoder, size: tuple[int, int]) -> None:
    config, content = tiny_config(panorama=True, iterations=3, scales=2), draw_panorama(*size)
    whole, tiled = (
        drive(build_run(tiny, config, engine=engine, content=content)).image
        for engine in (None, TiledEngine(tiny, tile_px=16))
    )
    assert whole.shape[2:] == size
    assert (tiled - whole).abs().mean() < 1e-3


@pytest.mark.parametrize("size", [(64, 120), (64, 132), (128, 128)])
def test_other_aspects_are_refused(tiny: Encoder, size: tuple[int, int]) -> None:
    run = build_panorama_run(tiny, content=torch.rand(1, 3, *size))
    with pytest.raises(ImageError, match="twice as wide as high"):
        _ = run.workload
    assert build_panorama_run(tiny, content=torch.rand(1, 3, 64, 129)).workload


def test_resumed_run_has_the_same_pixels(tiny: Encoder, tmp_path: Path) -> None:
    whole = drive(build_panorama_run(tiny)).image
    for scale in (1, 2):

        def stop(progress: Progress, scale: int = scale) -> bool:
            return (progress.scale, progress.iteration) == (scale, 2)

        run = build_panorama_run(tiny)
        drive(run, stop=stop)
        run.save_checkpoint(tmp_path / "run.ckpt")
        assert torch.equal(
            drive(build_panorama_run(tiny), checkpoint=read_checkpoint(tmp_path / "run.ckpt")).image, whole
        )


@pytest.mark.weights
def test_painted_panorama_has_no_seam_and_no_streaks(painting: Path, tmp_path: Path) -> None:
    images.save(tmp_path / "sphere.png", draw_panorama())
    options = ["--size", "256", "--iterations", "12", "--alpha", "20", "--seed", "1", "--quiet"]
    measured = []
    for name in ("panorama", "no-panorama"):
        done = run_command(
            "stylize", "sphere.png", str(painting), f"--{name}", *options, "-o", f"{name}.png", cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        image = images.load(tmp_path / f"{name}.png").pixels
        poles = [streaks(look(image, 0, pitch)) for pitch in (math.pi / 2, -math.pi / 2)]
        measured.append((seam(image), max(poles)))
    (round_seam, round_streaks), (flat_seam, flat_streaks) = measured
    assert round_seam < 1.5 < flat_seam
    assert round_streaks < 2 < flat_streaks


@pytest.mark.weights
def test_painted_panorama_is_reproduced(painting: Path, tmp_path: Path) -> None:
    images.save(tmp_path / "sphere.png", draw_panorama())
    options = [
        "--panorama",
        "--size",
        "128",
        "--supersample",
        "1.5",
        "--iterations",
        "2",
        "--quiet",
        "-o",
        "painted.png",
    ]
    done = run_command("stylize", "sphere.png", str(painting), *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert read_recipe(tmp_path / "painted.png").config.panorama
    again = reproduce(tmp_path / "painted.png", pictures={"style": [painting]})
    assert np.array_equal(again.to_numpy(), np.asarray(Image.open(tmp_path / "painted.png")))


# ---- The viewer ----------------------------------------------------------------------------------


HELP = "Drag or use the arrow keys"


def turn(canvas: Locator) -> None:
    """Turn a view by keys and by mouse, and check that it follows."""
    expect(canvas).to_have_attribute("data-renderer", re.compile("webgl|2d"))
    canvas.press("ArrowRight")
    canvas.press("ArrowUp")
    expect(canvas).to_have_attribute("data-yaw", "10")
    expect(canvas).to_have_attribute("data-pitch", "10")
    canvas.press("+")
    expect(canvas).to_have_attribute("data-field", "63")
    canvas.press("0")
    expect(canvas).to_have_attribute("data-yaw", "0")
    box = canvas.bounding_box()
    assert box is not None
    mouse, (x, y) = canvas.page.mouse, (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    mouse.move(x, y)
    mouse.down()
    mouse.move(x - box["height"] / 2, y, steps=3)
    mouse.up()
    expect(canvas).to_have_attribute("data-yaw", re.compile("^3[678]$"))  # half of the field of view


WITHOUT_WEBGL = """
const original = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
  return kind.startsWith("webgl") ? null : original.call(this, kind, ...rest);
};
"""


@pytest.mark.parametrize("renderer", ["webgl", "2d"])
def test_report_turns_a_panorama(tiny: Encoder, watched: WatchedPage, tmp_path: Path, renderer: str) -> None:
    run = build_panorama_run(tiny)
    report = write_report(build_run_report(run, drive(run), name="sphere.png"), tmp_path / "report.html")
    if renderer == "2d":
        watched.page.add_init_script(WITHOUT_WEBGL)
    watched.page.goto(report.as_uri())
    canvas = watched.page.get_by_role("img", name=HELP)
    turn(canvas)
    ahead = canvas.screenshot()
    canvas.press("ArrowUp")
    canvas.press("ArrowUp")
    expect(canvas).to_have_attribute("data-pitch", "20")
    assert canvas.screenshot() != ahead
    # A machine without a graphics card may also have only the one.
    assert canvas.get_attribute("data-renderer") in (renderer, "2d")
    assert not watched.complaints


def test_fingers_turn_and_zoom_a_report(tiny: Encoder, browser: Browser, tmp_path: Path) -> None:
    run = build_panorama_run(tiny)
    report = write_report(build_run_report(run, drive(run), name="sphere.png"), tmp_path / "report.html")
    context = browser.new_context(**PHONE, reduced_motion="reduce")
    watched = watch(context.new_page())
    watched.page.goto(report.as_uri())
    canvas = watched.page.get_by_role("img", name=HELP)
    expect(canvas).to_have_attribute("data-renderer", re.compile("webgl|2d"))
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    scroll_state = "[scrollX, scrollY, visualViewport.scale]"
    before, touch = watched.page.evaluate(scroll_state), Touch(watched.page)
    touch.drag(((x, y), (x - box["height"] / 2, y)))
    expect(canvas).to_have_attribute("data-yaw", re.compile("^3[678]$"))
    touch.drag(((x - 40, y), (x - 80, y)), ((x + 40, y), (x + 80, y)))
    expect(canvas).to_have_attribute("data-field", re.compile("^3[678]$"))  # twice as large
    expect(canvas).to_have_attribute("data-yaw", re.compile("^3[678]$"))  # the middle stays
    touch.drag(((x, y), (x, y + box["height"] / 2)))  # one finger again
    expect(canvas).to_have_attribute("data-pitch", re.compile("^(19|2[01])$"))
    expect(canvas).to_have_attribute("data-field", re.compile("^3[678]$"))
    assert watched.page.evaluate(scroll_state) == before
    assert not watched.complaints
    context.close()


SMALL_TEXTURES = """
const { getParameter, texImage2D } = WebGL2RenderingContext.prototype;
WebGL2RenderingContext.prototype.getParameter = function (name) {
  return name === this.MAX_TEXTURE_SIZE ? 64 : getParameter.call(this, name);
};
WebGL2RenderingContext.prototype.texImage2D = function (...given) {
  globalThis.textureSize = [given[5].width, given[5].height];
  return texImage2D.apply(this, given);
};
"""


def test_large_panoramas_fit_a_small_graphics_memory(tiny: Encoder, watched: WatchedPage, tmp_path: Path) -> None:
    run = build_panorama_run(tiny)
    report = write_report(build_run_report(run, drive(run), name="sphere.png"), tmp_path / "report.html")
    watched.page.add_init_script(SMALL_TEXTURES)
    watched.page.goto(report.as_uri())
    canvas = watched.page.get_by_role("img", name=HELP)
    expect(canvas).to_have_attribute("data-renderer", re.compile("webgl|2d"))
    if canvas.get_attribute("data-renderer") == "2d":
        pytest.skip("this browser has no WebGL")
    assert watched.page.evaluate("textureSize") == [64, 32]
    canvas.press("0")  # focus it, which draws an outline
    whole = canvas.screenshot()
    # Take the texture away, as a browser does that runs out of memory, and give it back.
    watched.page.evaluate(
        """() => {
            const context = document.querySelector("canvas.panorama").getContext("webgl2");
            globalThis.texture = context.getExtension("WEBGL_lose_context");
            texture.loseContext();
        }"""
    )
    canvas.press("ArrowRight")
    canvas.press("ArrowLeft")
    watched.page.evaluate("texture.restoreContext()")
    watched.page.wait_for_function(
        "() => !document.querySelector('canvas.panorama').getContext('webgl2').isContextLost()"
    )
    watched.page.wait_for_timeout(300)  # a frame is drawn
    assert canvas.screenshot() == whole
    assert not [complaint for complaint in watched.complaints if "CONTEXT_LOST" not in complaint]


def test_report_of_a_flat_picture_has_no_viewer(tiny: Encoder, watched: WatchedPage, tmp_path: Path) -> None:
    run = build_panorama_run(tiny, panorama=False)
    watched.page.goto(write_report(build_run_report(run, drive(run), name="flat.png"), tmp_path / "r.html").as_uri())
    expect(watched.page.get_by_role("heading", name="Before and after")).to_be_visible()
    expect(watched.page.get_by_role("heading", name="Look around")).to_be_hidden()
    assert not watched.complaints


@pytest.mark.weights
@pytest.mark.xdist_group("page")
def test_studio_turns_a_panorama(page: Page, painting: Path, tmp_path: Path) -> None:
    images.save(tmp_path / "sphere.png", draw_panorama())
    drop(page, tmp_path / "sphere.png", "content")
    drop(page, painting, "style")
    page.get_by_text("All options").click()
    page.get_by_label("Panorama", exact=True).check()
    submit_job(page, 3)
    expect(job_state(page)).to_have_text("Finished")
    canvas = job_view(page).get_by_role("img", name=HELP)
    turn(canvas)
    press(page, "Show it flat")
    expect(canvas).to_be_hidden()
    expect(page.locator(".before-after")).to_be_visible()
    press(page, "Look around")
    expect(canvas).to_be_visible()
