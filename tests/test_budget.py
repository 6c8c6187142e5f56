"""Memory budgets: plans fit them, and impossible ones are refused at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import impasto
from impasto.config import Config, Inputs, Plan, RunOptions
from impasto.config.types import parse_bytes
from impasto.engine import memory as budget
from impasto.engine import planning
from impasto.engine.memory import Workload, plan_memory
from impasto.engine.planning import estimate, make_plan
from impasto.errors import ConfigError, OutputError
from impasto.run import Run, drive, prepare_run

GB = 10**9


def workload(megapixels: float, **options: Any) -> Workload:
    width = round((1.5e6 * megapixels) ** 0.5)
    return Workload(width * 2 // 3, width, ((800, 1000),), Config(**options).resolve(width * 2 // 3, width))


def memory_plan(megapixels: float, memory: float, **options: Any) -> budget.MemoryPlan:
    return plan_memory(workload(megapixels, **options), memory, precision="float32", winograd_channels=128)


@pytest.mark.parametrize("megapixels", [0.2, 1, 4, 16, 64, 75])
@pytest.mark.parametrize("memory", [3 * GB, 4 * GB, 16 * GB, 64 * GB])
@pytest.mark.parametrize("network", ["vgg19", "alexnet"])
def test_chosen_plan_fits_the_budget(megapixels: float, memory: float, network: str) -> None:
    result = memory_plan(megapixels, memory, network=network)
    assert result.memory_bytes <= memory
    assert (result.disk_bytes > 0) == result.on_disk
    assert (result.tile_px or 0) % 16 == 0


def test_plan_goes_from_whole_to_tiles_to_disk() -> None:
    assert memory_plan(0.2, 4 * GB).tile_px is None
    in_memory = memory_plan(4, 8 * GB)
    assert (in_memory.tile_px or 0) >= 512
    assert in_memory.join == "pool2"
    assert not in_memory.on_disk
    assert in_memory.lbfgs_history == 20
    on_disk = memory_plan(64, 4 * GB)
    assert on_disk.on_disk
    assert on_disk.join is None
    assert (on_disk.tile_px or 0) >= 512
    assert on_disk.lbfgs_history < 20


def test_plan_joins_as_early_as_memory_allows() -> None:
    joins = [memory_plan(4, tenths / 10 * GB).join for tenths in range(130, 60, -1)]
    order = [None, "pool1", "pool2", "pool3", "pool4"]
    places = [order.index(join) for join in joins]
    assert places == sorted(places)
    assert set(joins) >= {None, "pool1", "pool2"}


def test_more_memory_gives_larger_tiles() -> None:
    blocks = [memory_plan(64, memory * GB).tile_px or 0 for memory in (3, 4, 5, 6)]
    assert blocks == sorted(blocks)
    assert blocks[0] < blocks[-1]


def test_too_small_budget_error_states_the_need() -> None:
    with pytest.raises(ConfigError, match=r"does not fit 0\.5 GB of memory: it needs \d.* Raise --memory"):
        memory_plan(1, 0.5 * GB)
    with pytest.raises(ConfigError, match="does not fit"):
        make_plan(RunOptions(memory="300MB"), workload(1))


def test_untileable_losses_are_refused_when_too_large() -> None:
    assert memory_plan(0.2, 8 * GB, style_loss="sliced-wasserstein").tile_px is None
    with pytest.raises(
        ConfigError, match=r"'sliced-wasserstein' needs whole images: .* take \d.* Raise --memory, lower"
    ):
        memory_plan(4, 4 * GB, style_loss="sliced-wasserstein")


def test_neighbors_add_their_features_and_the_search() -> None:
    plain, neighbors = (memory_plan(4, 64 * GB, style_loss=name) for name in ("gram", "neighbor"))
    features = 4 * (64 + 128 / 4 + 256 / 16 + 512 / 64)
    pixels = workload(4).pixels
    # The published layers go deeper by one.
    assert neighbors.memory_bytes - plain.memory_bytes > 0.9 * features * (pixels + 800 * 1000)
    on_disk = memory_plan(64, 4 * GB, style_loss="gram")
    assert on_disk.on_disk
    with pytest.raises(ConfigError, match=r"does not fit 4 GB of memory: it needs 9.1 GB"):
        memory_plan(64, 4 * GB, style_loss="neighbor")
    assert memory_plan(4, 4 * GB, style_loss="neighbor").memory_bytes <= 4 * GB


def test_each_mask_label_adds_memory() -> None:
    colors = [(255, 0, 0), (0, 200, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)]
    labels = np.repeat(np.array(colors, np.uint8), 30, axis=0)[None].repeat(100, axis=0)
    gray = np.ones((100, 150), np.float32)
    content, style = np.full((100, 150, 3), 0.5, np.float32), np.full((80, 120, 3), 0.3, np.float32)

    def needed(**masks: Any) -> tuple[int, float]:
        result = prepare_run(content, style, size=150, **masks).workload
        return result.regions, budget.memory_needs(result, None, None, 20, False, "float32", None).memory_bytes

    by_regions = [
        needed(),
        needed(content_masks=[gray]),
        needed(protect=gray),
        needed(content_masks=[gray, gray], style_masks=[gray, gray]),
        needed(content_masks=[labels], style_masks=[labels]),
    ]
    assert [regions for regions, _ in by_regions] == [0, 1, 1, 2, 5]
    assert sorted(memory for _, memory in by_regions) == [memory for _, memory in by_regions]
    # The mask as read and as used, and downsampled masks for five layers.
    assert by_regions[-1][1] - by_regions[1][1] > 4 * (8 + 4) * 100 * 150


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4GB", 4e9), ("512 MiB", 512 * 2**20), ("1.5g", 1.5e9), ("2e9", 2e9), ("800mb", 8e8), (7, 7)],
)
def test_parses_memory_amounts(text: Any, expected: float) -> None:
    assert parse_bytes(text) == expected
    assert RunOptions(memory=text).memory == expected


@pytest.mark.parametrize("text", ["much", "4XB", "GB", "", "1.2.3GB", "-4GB"])
def test_invalid_memory_amount_is_a_one_line_error(text: str) -> None:
    with pytest.raises(ConfigError, match="Write 4GB"):
        RunOptions(memory=text)


def test_the_estimate_counts_the_search_for_neighbors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "time_convolution", lambda *_: 1.0)  # for 5.4e9 multiplications
    plan = Plan(device="cpu", threads=1, torch=torch.__version__)
    config = Config(style_loss="neighbor", scales=1).resolve(512, 512)
    small, large = (estimate(Workload(512, 512, ((side, side),), config), plan).seconds for side in (256, 2048))
    # 128² cells of the target, 64² and 512² of the style, 256 components.
    assert large - small == pytest.approx(128**2 * (512**2 - 64**2) * 256 / (9 * 256**2 * 96**2))


def test_a_very_large_picture_is_refused_in_whole_gigabytes() -> None:
    with pytest.raises(ConfigError, match=r"does not fit 1 GB of memory: it needs 1\d\d GB\. "):
        memory_plan(6000, GB)


def test_estimate_grows_with_the_work() -> None:
    plan = make_plan(RunOptions(memory="4GB"), workload(4))
    small, large = estimate(workload(0.2), plan), estimate(workload(4), plan)
    assert 0 < small.seconds < large.seconds
    assert large.memory_bytes <= 4e9


@pytest.mark.slow
@pytest.mark.weights
def test_tiles_and_disk_paint_the_same_picture(photo: Path, painting: Path) -> None:
    inputs, config = Inputs(content=photo, styles=(painting,)), Config(size=150, iterations=3)
    plan = make_plan(RunOptions(precision="float32"), workload(0.02))
    whole = drive(Run(inputs, config, recorded_plan=plan.model_copy(update={"tile_px": None})))
    for join in (None, "pool2"):
        other = plan.model_copy(update={"tile_px": 64, "join": join, "on_disk": True})
        tiled = drive(Run(inputs, config, recorded_plan=other))
        assert tiled.losses["total"] == pytest.approx(whole.losses["total"], rel=0.01)
        assert (tiled.image - whole.image).abs().mean() < 0.01
        assert torch.isfinite(tiled.image).all()


PEAK = """
import re, sys
from pathlib import Path
from impasto.run import drive, prepare_run
run = prepare_run(sys.argv[1], sys.argv[2], size=600, enlarge=True, iterations=1, scales=1, memory="1GB", supersample=1)
drive(run).save(sys.argv[3])
assert run.plan.tile_px and run.plan.on_disk, run.plan
# Not ru_maxrss: a child inherits it from its parent.
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024)
"""


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc of Linux")
def test_run_stays_within_its_memory_budget(photo: Path, painting: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PEAK, str(photo), str(painting), str(tmp_path / "out.png")]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert int(process.stdout) < 1e9
    assert impasto.images.open_image(tmp_path / "out.png").size == (399, 600)


@pytest.mark.weights
def test_full_disk_is_reported_before_the_first_step(
    photo: Path, painting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 99, 1))
    run = prepare_run(photo, painting, size=900, enlarge=True, memory="1.1GB")
    with pytest.raises(OutputError, match=r"needs 0\.\d GB of disk"):
        next(run.steps())
