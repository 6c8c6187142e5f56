"""Runs on a graphics card, with a stand-in for the card: see `builders.stand_in_device`."""

from __future__ import annotations

import contextlib
from collections import deque
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from builders.networks import narrow, random_weights
from builders.objectives import resolve_config
from builders.runs import picture
from builders.stand_in_device import CARD, stand_in_card
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from impasto.config import Config, Inputs, RunOptions
from impasto.config.networks import ALEXNET, NETWORKS, VGG19, architecture
from impasto.config.style_losses import STYLE_LOSSES, can_record
from impasto.core.curvature import _apply_at_once, apply_inverse_hessian, make_pair
from impasto.core.encoder import Encoder, Weights
from impasto.core.evaluate import Evaluation
from impasto.core.statistics import compute_moments
from impasto.core.style_losses import find_style_loss
from impasto.core.targets import build_objective
from impasto.core.tensor_store import RamStore
from impasto.engine import cuda_graphs
from impasto.engine.cuda_graphs import RecordedEvaluator
from impasto.engine.tiled import TiledEngine
from impasto.errors import ConfigError
from impasto.jobs.capacity import max_workers
from impasto.jobs.executors.local import select_card
from impasto.run import ModelCache, Result, Run, drive
from impasto.run.checkpoint import read_checkpoint

LEFT = torch.ones(1, 1, 40, 56)
LEFT[..., 28:] = 0
UPPER = torch.ones(1, 1, 40, 56)
UPPER[:, :, 20:] = 0
BOTH = {"styles": (picture(2), picture(3)), "content_masks": (LEFT, 1 - LEFT)}

CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "default": ({}, {}),
    "classic": ({"style_loss": "gram", "palette_strength": 0}, {}),
    "neighbor": ({"style_loss": "neighbor"}, {}),
    "means and deviations": ({"style_loss": "mean-std"}, {}),
    "Wasserstein": ({"style_loss": "wasserstein"}, {}),
    "sliced Wasserstein": ({"style_loss": "sliced-wasserstein"}, {}),
    "Adam": ({"optimizer": "adam"}, {}),
    "AlexNet": ({"network": "alexnet", "size": 72, "enlarge": True}, {}),
    "average pooling": ({"pooling": "avg", "padding": "reflect"}, {}),
    "variation and lines": ({"tv_weight": 0.1, "laplacian_weight": 1.0}, {}),
    "scaled errors": ({"content_loss": "scaled"}, {}),
    "calm areas": ({"content_calm": 1.0}, {}),
    "self-similarity": ({"content_loss": "self-similarity"}, {}),
    "luminance": ({"color": "luminance"}, {}),
    "matched colors": ({"color": "match"}, {}),
    "recolored": ({"recolor_content": True, "init": "recolored"}, {}),
    "two styles": ({}, {"styles": BOTH["styles"]}),
    "regions": ({}, BOTH),
    "regions of neighbors": ({"style_loss": "neighbor"}, BOTH),
    "style mask": ({}, {"content_masks": (LEFT,), "style_masks": (UPPER,)}),
    "protected": ({}, {"protect": LEFT}),
    "painted larger": ({"supersample": 1.5}, {"protect": LEFT}),
    "a print painted larger": ({"supersample": 1.5, "print": "2x2cm", "dpi": 100, "fit": "pad"}, {}),
}


@pytest.fixture(autouse=True)
def _narrow_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take networks with fewer channels, and the same layers: what is on which device does not depend on channels."""
    for network in (VGG19, ALEXNET):
        monkeypatch.setitem(NETWORKS, network.name, narrow(network))


@lru_cache
def load(network: str, file: Path | None) -> Weights:
    return random_weights(architecture(network))


def build(device: str, config: dict[str, Any], inputs: dict[str, Any], **options: Any) -> Run:
    run_inputs = Inputs(**({"content": picture(1), "styles": (picture(2),)} | inputs))
    run_options = RunOptions(device=device, **({"precision": "float32"} | options))
    return Run(run_inputs, Config(**({"iterations": 2} | config)), run_options, cache=ModelCache(load=load))


def paint(device: str, config: dict[str, Any], inputs: dict[str, Any], **options: Any) -> Result:
    if device == "cpu":
        return drive(build(device, config, inputs, **options))
    with pytest.MonkeyPatch.context() as patch, stand_in_card(patch):
        return drive(build(device, config, inputs, **options))


@pytest.mark.parametrize(("config", "inputs"), CASES.values(), ids=CASES)
def test_a_run_on_a_card_paints_the_same_picture_as_on_the_cpu(config: dict[str, Any], inputs: dict[str, Any]) -> None:
    card, cpu = paint("cuda", config, inputs), paint("cpu", config, inputs)
    assert card.recipe.plan.device == "cuda"
    assert card.losses["total"] == pytest.approx(cpu.losses["total"], rel=1e-3)
    assert (card.image - cpu.image).abs().mean() < 1e-3


@pytest.mark.parametrize("style_loss", ["centered", "neighbor"])
def test_a_run_on_a_card_with_tensors_on_disk_measures_tiles(style_loss: str) -> None:
    content, style = picture(1, 320, 400), picture(2, 64, 64)
    inputs = {"content": content, "styles": (style,)}
    layers = {"content_layers": ["relu3_2"], "style_layers": ["relu1_1", "relu3_1"]}
    config = {"style_loss": style_loss, "iterations": 1, "scales": 1} | layers
    card = paint("cuda", config, inputs, memory=0.71e9, precision="bfloat16")
    assert card.recipe.plan.on_disk
    assert card.recipe.plan.tile_px is not None
    whole = paint("cpu", config, inputs, precision="bfloat16")
    assert card.losses["total"] == pytest.approx(whole.losses["total"], rel=2e-2)


def test_a_run_on_a_card_resumes_to_the_bit(tmp_path: Path) -> None:
    path = tmp_path / "run.checkpoint"
    with pytest.MonkeyPatch.context() as patch, stand_in_card(patch):
        whole = build("cuda", {}, {})
        for progress in whole.steps():
            if progress.iteration == 1:
                whole.save_checkpoint(path)
        again = build("cuda", {}, {})
        for _ in again.steps(read_checkpoint(path)):
            pass
        assert torch.equal(whole.result().image, again.result().image)


def test_the_stand_in_refuses_tensors_of_two_devices() -> None:
    with pytest.MonkeyPatch.context() as patch, stand_in_card(patch):
        there = torch.ones(3).to(CARD)
        assert (there + torch.tensor(1.0)).cpu().tolist() == [2, 2, 2]
        with pytest.raises(RuntimeError, match="on the CPU and on the card"):
            there + torch.ones(3)


def limit_convolutions(monkeypatch: pytest.MonkeyPatch, pixels: int) -> None:
    convolve = F.conv2d

    def limited(x: Tensor, *rest: Any, **options: Any) -> Tensor:
        if x.shape[2] * x.shape[3] > pixels:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return convolve(x, *rest, **options)

    monkeypatch.setattr(F, "conv2d", limited)


def test_a_full_card_continues_in_smaller_tiles(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    inputs = {"content": picture(1, 128, 160)}
    config = {"iterations": 1, "scales": 1, "content_layers": ["relu2_2"], "style_layers": ["relu1_1", "relu2_1"]}
    whole = paint("cpu", config, inputs)
    limit_convolutions(monkeypatch, 140 * 110)
    tiles = paint("cpu", config, inputs)
    assert "Continuing in tiles of 128 px" in caplog.text
    assert tiles.losses["total"] == pytest.approx(whole.losses["total"], rel=1e-4)


def test_a_card_that_is_too_small_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    limit_convolutions(monkeypatch, 16)
    with pytest.raises(ConfigError, match="memory of the card is full"):
        paint("cpu", {}, {})


class Recording:
    """A stand-in for a CUDA graph: a replay evaluates again, into the memory of the recorded result."""

    owner: RecordedEvaluator

    def capture_begin(self, **_: Any) -> None: ...

    def capture_end(self) -> None: ...

    def replay(self) -> None:
        new, old = self.owner.record(self.owner._image), self.owner._result
        old.gradient.copy_(new.gradient)
        for name, value in new.losses._values.items():
            old.losses._values[name].copy_(value)


class Stream:
    def wait_stream(self, other: Stream) -> None: ...


def test_recorded_evaluations_are_independent_of_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Encoder(architecture("vgg19"), load("vgg19", None))
    engine, config = TiledEngine(encoder), resolve_config()
    objective = build_objective(engine, picture(1), [(1.0, picture(2))], config)
    evaluate = engine.evaluator(objective, config.alpha)
    recorded = RecordedEvaluator(evaluate, evaluate)
    monkeypatch.setattr(Recording, "owner", recorded, raising=False)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Recording)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", contextlib.nullcontext)
    images = [picture(seed) for seed in range(3, 7)]
    found = [recorded(image) for image in images]
    assert recorded._graph is not None
    for image, one in zip(images, found, strict=True):
        assert_equal(one, evaluate(image))
    monkeypatch.setattr(cuda_graphs, "RECORDED_PX", 100)
    large = RecordedEvaluator(evaluate, evaluate)
    assert_equal([large(image) for image in images][-1], evaluate(images[-1]))
    assert large._graph is None


def assert_equal(found: Evaluation, wanted: Evaluation) -> None:
    assert torch.equal(found.gradient, wanted.gradient)
    assert found.losses.as_floats() == wanted.losses.as_floats()


@pytest.mark.parametrize("count", [0, 1, 7])
def test_the_direction_of_l_bfgs_is_the_same_computed_at_once(count: int) -> None:
    generator, store = torch.Generator().manual_seed(0), RamStore()
    slopes = torch.rand(1, 3, 8, 9, generator=generator) + 0.1
    steps = [torch.randn(1, 3, 8, 9, generator=generator) for _ in range(count)]
    found = deque(make_pair(store, step, slopes * step) for step in steps)
    pairs = [pair for pair in found if pair is not None]
    assert len(pairs) == count
    gradient = torch.randn(1, 3, 8, 9, generator=generator)
    expected = apply_inverse_hessian(store, gradient, pairs)
    torch.testing.assert_close(_apply_at_once(gradient, pairs), expected, rtol=1e-3, atol=1e-4)


def test_a_batch_has_one_worker_for_each_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    with stand_in_card(monkeypatch):
        assert max_workers([build("cuda", {}, {})]) == 3
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [select_card(number)["CUDA_VISIBLE_DEVICES"] for number in range(4)] == ["0", "1", "2", "0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert [select_card(number)["CUDA_VISIBLE_DEVICES"] for number in range(2)] == ["5", "7"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    assert select_card(0) == {}


def test_only_losses_that_cuda_can_record_are_recorded() -> None:
    assert can_record("neighbor")
    assert not can_record("sliced-wasserstein")
    assert not can_record("of a package")


class RecordOperations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The names of the operations that run inside."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: set[str] = set()

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(operation._schema.name.removeprefix("aten::"))
        return operation(*args, **(kwargs or {}))


def waits_for_the_card(operation: str) -> bool:
    """Return True if an operation waits for a number from the card: one that Python reads, or a solver's status."""
    return operation == "_local_scalar_dense" or operation.lstrip("_").startswith("linalg_")


@pytest.mark.parametrize(
    "name", [name for name, entry in STYLE_LOSSES.items() if not (entry.needs_features or entry.neighbors)]
)
def test_losses_that_are_recorded_never_wait_for_the_card(name: str) -> None:
    """If this fails for a new loss, its entry in the table lacks `takes_roots`."""
    loss = find_style_loss(name)
    style, other = (torch.rand(1, 4, 6, 6, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    target = loss.target([(1, compute_moments(style))])
    other.requires_grad_()
    with RecordOperations() as recorded:
        torch.autograd.grad(loss.distance(compute_moments(other), target), other)
    assert can_record(name) is not any(map(waits_for_the_card, recorded.names)), recorded.names
