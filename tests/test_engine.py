"""Fast engines match autograd."""

from __future__ import annotations

import math
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from builders.networks import narrow, random_weights
from builders.objectives import assert_same_evaluation, evaluate_plain, plain_objective, relative_error, resolve_config
from builders.pixels import random_image

import impasto
from impasto.config import RunOptions
from impasto.config.networks import ALEXNET, NETWORKS, VGG19, Network
from impasto.config.style_losses import STYLE_LOSSES
from impasto.core.encoder import Encoder
from impasto.core.objective import Objective
from impasto.engine import timing
from impasto.engine.memory import Workload
from impasto.engine.planning import make_plan
from impasto.engine.tiled import TiledEngine
from impasto.engine.timing import ConvolutionChoice, Precision
from impasto.engine.winograd import Winograd, Workspace
from impasto.errors import ConfigError
from impasto.weights import load

SMALL = Workload(64, 64, ((64, 64),), resolve_config())


def random_objective(encoder: Encoder, size: tuple[int, int] = (53, 70), **options: Any) -> Objective:
    config = resolve_config(network=encoder.network.name, **options)
    content, style = (picture.to(encoder.mean.dtype) for picture in (random_image(1, *size), random_image(2, 61, 48)))
    return plain_objective(encoder, content, style, config)


@pytest.mark.parametrize(
    "network", [narrow(network, 8) for network in NETWORKS.values()], ids=lambda network: network.name
)
@pytest.mark.parametrize("pooling", ["max", "avg", "avg-rescaled"])
@pytest.mark.parametrize("size", [(35, 52), (48, 48), (33, 49)])
@pytest.mark.parametrize("winograd", [None, 1])
def test_manual_gradient_matches_autograd(
    network: Network, pooling: Any, size: tuple[int, int], winograd: int | None
) -> None:
    """Compare in float64: in float32, rounding can flip a ReLU or a maximum."""
    encoder = Encoder(network, random_weights(network), pooling=pooling, dtype=torch.float64)
    objective = random_objective(encoder, size, tv_weight=0.3, laplacian_weight=0.7, content_loss="scaled")
    target = random_image(3, *size).double()
    result = TiledEngine(encoder, dtype=torch.float64, winograd_channels=winograd).evaluator(
        objective, objective.config.alpha
    )(target)
    assert_same_evaluation(result, evaluate_plain(encoder, objective, target), 1e-11)


@pytest.mark.parametrize(
    "network", [narrow(network, 8) for network in NETWORKS.values()], ids=lambda network: network.name
)
@pytest.mark.parametrize("padding", ["replicate", "reflect"])
@pytest.mark.parametrize("tile_px", [None, 64])
def test_padded_gradient_matches_autograd(network: Network, padding: Any, tile_px: int | None) -> None:
    encoder = Encoder(network, random_weights(network), padding=padding, dtype=torch.float64)
    objective, target = random_objective(encoder, (70, 131)), random_image(3, 70, 131).double()
    result = TiledEngine(encoder, dtype=torch.float64, tile_px=tile_px).evaluator(objective, objective.config.alpha)(
        target
    )
    assert_same_evaluation(result, evaluate_plain(encoder, objective, target), 1e-11)


LAYERS = [
    {"content_layers": "conv3_1", "style_layers": "conv1_1,relu1_1,pool1,conv3_1,relu3_1:0.3"},
    {"content_layers": "relu2_2:2,pool2", "style_layers": "relu2_2,pool2"},
    {"content_layers": "relu1_1", "style_layers": "relu1_1", "content_weight": 0},
    {"content_layers": "pool4", "style_layers": "conv2_1", "alpha": 0},
    {"units": "absolute", "tv_weight": 2},
]


@pytest.mark.parametrize("options", LAYERS, ids=lambda options: str(options.get("style_layers", "absolute")))
@pytest.mark.weights
def test_any_layers_may_be_used(vgg19: Encoder, options: dict[str, Any]) -> None:
    objective = random_objective(vgg19, **options)
    target = random_image(3, 53, 70)
    assert_same_evaluation(
        TiledEngine(vgg19).evaluator(objective, objective.config.alpha)(target),
        evaluate_plain(vgg19, objective, target),
        1e-5,
    )


@pytest.mark.parametrize("shape", [(1, 1), (3, 130), (4, 8), (13, 18), (200, 5)])
@pytest.mark.parametrize(("inputs", "outputs"), [(3, 7), (64, 64)])
def test_winograd_matches_direct_convolution(shape: tuple[int, int], inputs: int, outputs: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x, kernel = (
        torch.randn(*sides, generator=generator, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
        for sides in ((1, inputs, *shape), (outputs, inputs, 3, 3))
    )
    bias = torch.randn(outputs, generator=generator, dtype=torch.float64)
    expected = torch.nn.functional.conv2d(x, kernel, bias, padding=1)
    workspace = Workspace()
    for dtype, tolerance in ((torch.float64, 1e-13), (torch.float32, 1e-5), (torch.bfloat16, 1e-2)):
        convolve = Winograd(kernel.to(dtype), bias.to(dtype), workspace)
        first = convolve(x.to(dtype))
        assert first.dtype == dtype
        assert relative_error(first.double(), expected) < tolerance
        kept = first.clone()
        convolve(torch.rand_like(x).to(dtype))  # the workspace is reused, but not the returned tensor
        assert torch.equal(first, kept)


@pytest.mark.weights
def test_winograd_float32_gradient_is_accurate(vgg19: Encoder) -> None:
    """Compare the median of seven images, because rounding can change which input is a maximum.

    Single float32 results differ by up to 1e-3 of their norm, autograd's from float64 as well.
    """
    exact = Encoder(vgg19.network, load("vgg19"), dtype=torch.float64)
    objective, exact_objective = random_objective(vgg19), random_objective(exact)
    errors = []
    for seed in range(3, 10):
        result = TiledEngine(vgg19, winograd_channels=128).evaluator(objective, objective.config.alpha)(
            random_image(seed, 53, 70)
        )
        expected = evaluate_plain(exact, exact_objective, random_image(seed, 53, 70).double())
        assert result.losses.as_floats() == pytest.approx(expected.losses.as_floats(), rel=1e-5)
        errors.append(relative_error(result.gradient.double(), expected.gradient))
    assert sorted(errors)[3] < 1e-5


@pytest.mark.weights
def test_bfloat16_error_is_bounded(vgg19: Encoder) -> None:
    objective = random_objective(vgg19, (96, 128))
    target = random_image(3, 96, 128) * 0.5 + 0.25
    exact = evaluate_plain(vgg19, objective, target)
    result = TiledEngine(vgg19, dtype=torch.bfloat16).evaluator(objective, objective.config.alpha)(target)
    assert relative_error(result.gradient, exact.gradient) < 0.1
    assert result.losses.as_floats() == pytest.approx(exact.losses.as_floats(), rel=0.02)


def test_evaluation_has_no_side_effects(random_network: Encoder) -> None:
    objective = random_objective(random_network)
    evaluate = TiledEngine(random_network).evaluator(objective, objective.config.alpha)
    target = random_image(3, 53, 70)
    kept = target.clone()
    first = evaluate(target)
    gradient = first.gradient.clone()
    evaluate(random_image(4, 53, 70))
    assert torch.equal(target, kept)
    assert torch.equal(first.gradient, gradient)
    assert torch.equal(evaluate(target).gradient, gradient)


@pytest.mark.parametrize("style_loss", [name for name in STYLE_LOSSES if name != "gram"])
@pytest.mark.parametrize("tile_px", [None, 64])
@pytest.mark.parametrize("network", [narrow(VGG19, 8), narrow(ALEXNET, 8)], ids=lambda network: network.name)
def test_style_losses_backpropagate_whole_and_tiled(network: Network, tile_px: int | None, style_loss: str) -> None:
    """The engine handles moments, so any style loss of moments works without a change."""
    encoder = Encoder(network, random_weights(network), dtype=torch.float64)
    objective, target = random_objective(encoder, (70, 90), style_loss=style_loss), random_image(3, 70, 90).double()
    engine = TiledEngine(encoder, tile_px=tile_px)
    if tile_px and STYLE_LOSSES[style_loss].needs_features:
        with pytest.raises(ConfigError, match="tiles"):
            engine.evaluator(objective, objective.config.alpha)(target)
        return
    result = engine.evaluator(objective, objective.config.alpha)(target)
    # With fewer positions than channels, matrix roots amplify rounding.
    assert_same_evaluation(
        result, evaluate_plain(encoder, objective, target), 1e-5 if style_loss == "wasserstein" else 1e-10
    )


@pytest.mark.weights
def test_bfloat16_run_ends_near_a_float32_run(photo: Path, painting: Path) -> None:
    totals = {}
    for precision in ("float32", "bfloat16"):
        result = impasto.stylize(photo, painting, size=80, iterations=25, scales=1, precision=precision)
        assert result.recipe.plan.precision == precision
        totals[precision] = result.losses["total"]
    assert totals["bfloat16"] == pytest.approx(totals["float32"], rel=0.1)


def test_auto_plan_is_recorded() -> None:
    plan = make_plan(RunOptions(), SMALL)
    assert plan.precision in ("float32", "bfloat16")
    assert plan.device == (
        "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    )
    assert make_plan(RunOptions(precision="bfloat16"), SMALL).precision == "bfloat16"


@pytest.mark.parametrize(
    ("float32", "bfloat16", "winograd", "compiled", "expected"),
    [
        (1.0, 0.5, 0.8, None, ("bfloat16", None, None)),
        (1.0, 0.95, 0.9, None, ("float32", None, None)),
        (1.0, 0.95, 0.5, None, ("float32", 128, None)),
        (1.0, 0.5, 0.4, None, ("bfloat16", 128, None)),
        (1.0, 0.5, 0.8, (0.4, 0.2), ("bfloat16", 64, "avx9")),
        (1.0, 0.5, 0.8, (0.4, 0.38), ("float32", 64, "avx9")),
        (1.0, 0.5, 0.8, (0.9, 0.45), ("bfloat16", None, None)),
        (1.0, 2.0, 0.8, (0.4, math.inf), ("float32", 64, "avx9")),
        (1.0, 0.95, 0.5, (0.45, math.inf), ("float32", 128, None)),
    ],
)
def test_chooses_the_faster_convolution(
    float32: float,
    bfloat16: float,
    winograd: float,
    compiled: tuple[float, float] | None,
    expected: tuple[Precision, int | None, str | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def seconds(_device: str, choice: ConvolutionChoice, _clock: object) -> float:
        is_half = choice.precision == "bfloat16"
        if choice.kernels is not None:
            assert compiled is not None
            return compiled[is_half]
        return winograd if choice.winograd_channels else (float32, bfloat16)[is_half]

    monkeypatch.setattr(timing, "time_convolution", seconds)
    monkeypatch.setattr(timing, "best_set", lambda: "avx9" if compiled else None)
    assert timing.choose_convolution("cpu") == ConvolutionChoice(*expected)


def test_missing_device_error_names_it() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(ConfigError, match="device = 'cuda': this machine has none"):
        make_plan(RunOptions(device="cuda"), SMALL)


FAULTS = """
import resource, sys, torch
from impasto.process import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
torch.ones(1 << 24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(40):
    torch.ones(1 << 24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_freed_memory_is_reused() -> None:
    """Count page faults: memory returned to the system causes new ones when allocated again."""
    faults = {
        keep: int(
            subprocess.run([sys.executable, "-c", FAULTS, keep], capture_output=True, check=True, text=True).stdout
        )
        for keep in ("keep", "free")
    }
    assert faults["keep"] < 0.5 * faults["free"]


TRIMS = """
import sys, torch
from impasto.engine.allocation import _held_bytes, planned_memory, trim_freed_memory
from impasto.process import keep_freed_memory
keep_freed_memory()
before = _held_bytes()
areas = [torch.ones(1 << 24) for _ in range(10)]
del areas
with planned_memory(float(sys.argv[1])):
    trim_freed_memory()
print(_held_bytes() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
@pytest.mark.parametrize(("planned", "kept"), [("4e9", 650e6), ("0", 0), ("800e6", 0)])
def test_freed_memory_is_given_back_if_more_is_held_than_planned(planned: str, kept: float) -> None:
    done = subprocess.run([sys.executable, "-c", TRIMS, planned], capture_output=True, check=True, text=True)
    assert float(done.stdout) == pytest.approx(kept, abs=60e6)


def test_winograd_output_is_pooled_without_a_copy() -> None:
    convolution = Winograd(torch.randn(8, 8, 3, 3), None, Workspace())
    result = convolution(torch.randn(1, 8, 12, 20).contiguous(memory_format=torch.channels_last))
    pooled = torch.nn.functional.max_pool2d(result, 2)
    assert pooled.is_contiguous(memory_format=torch.channels_last)


PREPARES = """
import os, sys
import impasto
assert impasto.prepare_process()
assert "torch" not in sys.modules
import torch
print(impasto.prepare_process(), os.environ["OMP_WAIT_POLICY"], os.environ["THP_MEM_ALLOC_ENABLE"])
"""


def test_a_program_can_prepare_its_process() -> None:
    """Call it before torch is loaded, without and with a variable of the user."""
    names = "OMP_WAIT_POLICY", "THP_MEM_ALLOC_ENABLE"
    environment = {name: value for name, value in os.environ.items() if name not in names}
    for given, expected in (({}, "False passive 1"), ({"OMP_WAIT_POLICY": "active"}, "False active 1")):
        command = [sys.executable, "-c", PREPARES]
        done = subprocess.run(command, capture_output=True, check=True, text=True, env=environment | given)
        assert done.stdout.strip() == expected
