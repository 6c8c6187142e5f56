"""Compiled kernels against float64 and PyTorch, for each instruction set that this processor has."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from builders.objectives import evaluate_plain, plain_objective, relative_error, resolve_config
from builders.pixels import random_image
from torch import Tensor

from impasto.config.networks import VGG19, Layer
from impasto.core.encoder import Encoder
from impasto.core.losses import content_error
from impasto.core.statistics import compute_moments
from impasto.engine import kernels
from impasto.engine.gradients import StyleGradient
from impasto.engine.kernels import best_set, load_kernels
from impasto.engine.operations import CompiledOperations, Operations, choose_operations
from impasto.engine.tiled import TiledEngine
from impasto.weights import load

SETS = ("avx512_bf16", "avx512", "avx2", "baseline")
CASES = [*((name, torch.float32) for name in SETS), ("avx512_bf16", torch.bfloat16)]
SHAPES = [(1, 1), (2, 5), (13, 18), (36, 41), (70, 3)]
ROUNDING = {torch.float32: 1e-6, torch.bfloat16: 4e-3}
"""Relative error of a tensor whose values are rounded once."""

CONVOLUTION = next(layer for layer in VGG19.layers if layer.name == "conv1_2")
POOL = next(layer for layer in VGG19.layers if layer.name == "pool1")


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{str(case[1])[6:]}")
def compiled(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> CompiledOperations:
    """Compiled operations for one instruction set and type; skips what this processor lacks."""
    name, dtype = request.param
    operations = choose_operations(dtype, 64, name)
    if not isinstance(operations, CompiledOperations):
        assert name != best_set()
        pytest.skip(caplog.text or f"this processor lacks {name}")
    return operations


def features(shape: tuple[int, int], channels: int, dtype: torch.dtype, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(1, channels, *shape, generator=generator).to(dtype)
    return values.contiguous(memory_format=torch.channels_last)


@pytest.fixture
def threads() -> Iterator[None]:
    count = torch.get_num_threads()
    yield
    torch.set_num_threads(count)


def test_kernels_are_built_where_there_is_a_compiler() -> None:
    if shutil.which("c++") is None:
        pytest.skip("no C++ compiler")
    assert best_set() in SETS


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("inputs", "outputs"), [(64, 64), (192, 128)])
def test_convolution_is_accurate(
    compiled: CompiledOperations, shape: tuple[int, int], inputs: int, outputs: int
) -> None:
    layer = Layer("conv", "conv", inputs=inputs, outputs=outputs, kernel=3, stride=1, padding=1)
    x, kernel = features(shape, inputs, compiled.dtype), torch.randn(outputs, inputs, 3, 3) / 30
    bias = torch.randn(outputs)
    expected = F.conv2d(x.double(), kernel.double(), bias.double(), padding=1)
    # Products of transforms in bfloat16: one convolution is off by 9e-3.
    tolerance = 2e-6 if compiled.dtype == torch.float32 else 1.5e-2
    convolve = compiled.convolution(layer, kernel, bias)
    plain, rectified = convolve(x), convolve(x, rectify=True)
    assert plain.dtype == compiled.dtype
    assert relative_error(plain.double(), expected) < tolerance
    assert torch.equal(rectified, plain.relu())
    without_bias = compiled.convolution(layer, kernel, None)(x)
    assert relative_error(without_bias.double(), expected - bias.double()[:, None, None]) < tolerance


@pytest.mark.parametrize("shape", [*SHAPES, (130, 131)])
@pytest.mark.parametrize("channels", [64, 192, 512])
def test_moments_are_sums_in_float32(compiled: CompiledOperations, shape: tuple[int, int], channels: int) -> None:
    x = features(shape, channels, compiled.dtype)
    (found,), expected = compiled.moments(x, None, ()), compute_moments(x.double())
    assert found.count == expected.count
    assert relative_error(found.sum.double(), expected.sum) < 1e-6
    assert relative_error(found.outer.double(), expected.outer) < 1e-6
    assert torch.equal(found.outer, found.outer.T)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mean", [False, True])
def test_style_gradient_is_accurate(compiled: CompiledOperations, shape: tuple[int, int], mean: bool) -> None:
    x, total, outer = (
        features(shape, 128, compiled.dtype),
        features(shape, 128, compiled.dtype, 1),
        torch.randn(128, 128),
    )
    vector = torch.randn(128) if mean else None
    expected = total.double() + torch.einsum("bchw,cd->bdhw", x.double(), (outer + outer.T).double())
    if vector is not None:
        expected += vector.double()[:, None, None]
    compiled.add_style_gradient(total, x, StyleGradient(vector, outer), None)
    assert relative_error(total.double(), expected) < ROUNDING[compiled.dtype]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("by_error", [(0.3, 0.0), (0.3, 0.2)])
def test_content_error_and_gradient_are_accurate(
    compiled: CompiledOperations, shape: tuple[int, int], by_error: tuple[float, float]
) -> None:
    x, total = features(shape, 64, compiled.dtype), features(shape, 64, compiled.dtype, 1)
    target = features(shape, 64, torch.float32, 2)
    target[0, :3] = x[0, :3].float()  # no difference has no sign
    leaf, slope = x.double().requires_grad_(), torch.tensor(by_error).double()
    error = content_error(leaf, target.double())
    (gradient,) = torch.autograd.grad((slope * error).sum(), leaf)
    torch.testing.assert_close(compiled.content_error(x, target).double(), error.detach(), rtol=1e-5, atol=0)
    expected = total.double() + gradient
    compiled.add_content_gradient(total, x, target, torch.tensor(by_error))
    assert relative_error(total.double(), expected) < ROUNDING[compiled.dtype]


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if min(shape) > 1])
def test_pooling_equals_that_of_torch(compiled: CompiledOperations, shape: tuple[int, int]) -> None:
    x = features(shape, 64, compiled.dtype).relu()  # with windows of equal values
    plain = Operations(compiled.dtype)
    (found, nothing), (expected, indices) = compiled.max_pool(x, POOL), plain.max_pool(x, POOL)
    assert nothing is None
    assert torch.equal(found, expected)
    gradient = torch.randn_like(expected)
    assert torch.equal(
        compiled.max_pool_backward(gradient, x, POOL, None), plain.max_pool_backward(gradient, x, POOL, indices)
    )


def test_results_do_not_depend_on_threads(compiled: CompiledOperations, threads: None) -> None:
    x, kernel = features((61, 83), 64, compiled.dtype), torch.randn(64, 64, 3, 3)
    total, outer = features((61, 83), 64, compiled.dtype, 1), torch.randn(64, 64)

    def results() -> list[Tensor]:
        (moments,) = compiled.moments(x, None, ())
        changed = total.clone()
        compiled.add_style_gradient(changed, x, StyleGradient(None, outer), None)
        return [compiled.convolution(CONVOLUTION, kernel, None)(x), moments.sum, moments.outer, changed]

    torch.set_num_threads(1)
    expected = results()
    for count in (2, 3):
        torch.set_num_threads(count)
        assert all(map(torch.equal, results(), expected))


def test_threads_of_its_own_give_the_same(threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    name = best_set()
    if name is None:
        pytest.skip("no compiled kernels")
    torch.set_num_threads(3)
    x, kernel = features((61, 83), 64, torch.float32), torch.randn(64, 64, 3, 3)
    expected = choose_operations(torch.float32, 64, name).convolution(CONVOLUTION, kernel, None)(x)
    monkeypatch.setattr(kernels, "_find_start_team", lambda: 0)
    load_kernels.cache_clear()
    assert torch.equal(choose_operations(torch.float32, 64, name).convolution(CONVOLUTION, kernel, None)(x), expected)
    monkeypatch.undo()
    load_kernels.cache_clear()
    load_kernels(name, torch.float32)  # back to the threads of torch


def test_kernels_that_are_missing_are_replaced(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "impasto"):
        operations = choose_operations(torch.float32, 64, "avx9")
    assert not isinstance(operations, CompiledOperations)
    assert "not used" in caplog.text


def test_kernels_for_another_version_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "impasto_kernels", SimpleNamespace(INTERFACE=0, __version__="0.0.1"))
    best_set.cache_clear()
    assert best_set() is None
    monkeypatch.undo()
    best_set.cache_clear()


OPTIONS: list[dict[str, Any]] = [
    {},
    {"content_layers": "conv3_1,relu2_2", "style_layers": "conv1_1,relu1_1,pool1,conv3_1"},
    {"content_loss": "scaled", "style_loss": "gram"},
    {"content_loss": "self-similarity"},
    {"pooling": "avg"},
]


@pytest.mark.weights
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(("tile_px", "join"), [(None, None), (32, None), (32, "pool2")])
def test_gradient_with_kernels_is_accurate(options: dict[str, Any], tile_px: int | None, join: str | None) -> None:
    """Compare the median of images, because rounding can change which input is a maximum."""
    encoder = Encoder(VGG19, load("vgg19"), pooling=options.get("pooling", "max"))
    config = resolve_config(**options)
    objective = plain_objective(encoder, random_image(1, 51, 60), random_image(2, 61, 48), config)
    engine = TiledEngine(encoder, winograd_channels=64, kernels=best_set(), tile_px=tile_px, join=join)
    errors = []
    for seed in range(3, 8):
        target = random_image(seed, 51, 60)
        result = engine.evaluator(objective, objective.config.alpha)(target)
        expected = evaluate_plain(encoder, objective, target)
        assert result.losses.as_floats() == pytest.approx(expected.losses.as_floats(), rel=1e-4)
        errors.append(relative_error(result.gradient, expected.gradient))
    assert sorted(errors)[2] < 1e-4


@pytest.mark.weights
def test_bfloat16_gradient_is_near(vgg19: Encoder) -> None:
    if not isinstance(choose_operations(torch.bfloat16, 64, best_set()), CompiledOperations):
        pytest.skip("this processor has no kernels for bfloat16")
    objective = plain_objective(vgg19, random_image(1, 96, 128), random_image(2, 61, 48), resolve_config())
    target = random_image(3, 96, 128) * 0.5 + 0.25
    exact = evaluate_plain(vgg19, objective, target)
    engine = TiledEngine(vgg19, dtype=torch.bfloat16, winograd_channels=64, kernels=best_set())
    result = engine.evaluator(objective, objective.config.alpha)(target)
    assert relative_error(result.gradient, exact.gradient) < 0.15
    assert result.losses.as_floats() == pytest.approx(exact.losses.as_floats(), rel=0.03)
