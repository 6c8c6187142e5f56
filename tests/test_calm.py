"""Tests of the weight of content in calm areas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from builders.networks import narrow, random_weights
from builders.objectives import assert_same_evaluation, resolve_config
from builders.pixels import random_image
from PIL import Image
from torch import Tensor

import impasto
from impasto.config import Config
from impasto.config.networks import ALEXNET, VGG19, Network
from impasto.config.wrap import Dims
from impasto.core.calm import calm_map, weigh_positions
from impasto.core.encoder import Encoder
from impasto.core.evaluate import AutogradEngine
from impasto.core.losses import content_error
from impasto.core.targets import build_objective
from impasto.engine.kernels import best_set
from impasto.engine.tiled import TiledEngine
from impasto.errors import ConfigError


def half_plain(height: int, width: int) -> Tensor:
    """Return an image that is gray on the left and noise on the right."""
    image = random_image(1, height, width)
    image[..., : width // 2] = 0.5
    return image


def test_content_error_with_weights_by_hand() -> None:
    features = torch.tensor([[[[1.0, 0.0, 3.0]], [[2.0, 1.0, -1.0]]]])
    error = content_error(features, torch.zeros_like(features), torch.tensor([[2.0, 0.0, 1.0]]))
    # squares 1, 0, 9 and 4, 1, 1; absolute values 1, 0, 3 and 2, 1, 1
    assert error.tolist() == pytest.approx([(2 * 5 + 10) / 6, (2 * 3 + 4) / 6])


def test_plain_areas_are_calm_at_every_size() -> None:
    for side in (64, 600):
        calm = calm_map(torch.nn.functional.interpolate(half_plain(64, 64), (side, side)))[0, 0]
        width = calm.shape[1]
        plain, busy = calm[:, : width // 2 - 8], calm[:, width // 2 + 8 :]
        assert torch.allclose(plain, torch.tensor(50.0))
        assert float(busy.mean()) < 10


@pytest.mark.parametrize("wrap", [(2,), (3,), (2, 3)])
def test_map_looks_across_edges_that_meet(wrap: Dims) -> None:
    image = torch.rand(1, 3, 20, 30, generator=torch.Generator().manual_seed(0))
    shift = tuple(7 if dim in wrap else 0 for dim in (2, 3))
    rolled = calm_map(image.roll(shift, (2, 3)), wrap).roll([-px for px in shift], (2, 3))
    assert torch.allclose(rolled, calm_map(image, wrap), rtol=1e-5)
    assert not torch.allclose(calm_map(image, wrap), calm_map(image), rtol=1e-2)


def test_weights_of_positions_add_their_share() -> None:
    weights = weigh_positions(calm_map(half_plain(40, 60)), (10, 15), 2.0)
    assert weights.shape == (10, 15)
    assert float(weights.mean()) == pytest.approx(3)
    assert float(weights.min()) > 1
    assert float(weights[:, :5].mean()) > 2 * float(weights[:, -5:].mean())


@pytest.mark.parametrize("network", [narrow(VGG19, 8), narrow(ALEXNET, 8)], ids=lambda network: network.name)
@pytest.mark.parametrize("content_loss", ["squared", "scaled"])
@pytest.mark.parametrize(("tile_px", "join"), [(None, None), (64, None), (64, "pool1")])
def test_gradient_matches_autograd_whole_and_tiled(
    network: Network, content_loss: str, tile_px: int | None, join: str | None
) -> None:
    encoder = Encoder(network, random_weights(network), dtype=torch.float64)
    config = resolve_config(network=network.name, content_loss=content_loss, content_calm=2)
    content, target = half_plain(100, 150).double(), random_image(3, 100, 150).double()
    plain, tiled = AutogradEngine(encoder), TiledEngine(encoder, dtype=torch.float64, tile_px=tile_px, join=join)
    objective = build_objective(plain, content, [(1.0, random_image(2, 70, 64).double())], config)
    expected = plain.evaluator(objective, config.alpha)(target)
    assert_same_evaluation(tiled.evaluator(objective, config.alpha)(target), expected, 1e-11)
    unweighted = build_objective(
        plain, content, [(1.0, random_image(2, 70, 64).double())], config.model_copy(update={"content_calm": 0.0})
    )
    # The divisor of scaled errors is weighted, too.
    factor = 1.5 if content_loss == "squared" else 1.0
    assert float(expected.losses.content) > factor * float(plain.measure(unweighted, target, config.alpha).content)


def test_compiled_kernels_measure_it_too() -> None:
    """Kernels do not take weights of positions, so those layers are measured in PyTorch."""
    config = resolve_config(content_calm=2, content_layers="relu2_1", style_layers="relu1_1,relu2_1")
    encoder = Encoder(VGG19, random_weights(VGG19))
    content, target = half_plain(40, 56), random_image(3, 40, 56)
    plain = AutogradEngine(encoder)
    objective = build_objective(plain, content, [(1.0, random_image(2, 40, 56))], config)
    engine = TiledEngine(encoder, winograd_channels=64, kernels=best_set())
    measured, expected = (e.measure(objective, target, 5.0).as_floats() for e in (engine, plain))
    assert measured == pytest.approx(expected, rel=1e-3)


def test_self_similarity_takes_no_weights() -> None:
    with pytest.raises(ConfigError, match="leave it out"):
        Config(content_calm=1, content_loss="self-similarity")


@pytest.mark.weights
def test_keeps_the_painting_out_of_a_plain_background(photo: Path, painting: Path, tmp_path: Path) -> None:
    """Half of the photo becomes plain; strokes there vary less, and the other half is painted as before."""
    with Image.open(photo) as opened:
        image = opened.convert("RGB").resize((192, 128))
    image.paste((150, 150, 150), (96, 0, 192, 128))
    image.save(tmp_path / "half.png")
    options: dict[str, Any] = {"size": 192, "seed": 3, "iterations": 40}
    plain, busy = [], []
    for extra in (0, 1):
        painted = impasto.stylize(tmp_path / "half.png", painting, content_calm=extra, **options).image
        plain.append(float(painted[..., 112:].std(dim=(2, 3)).mean()))
        busy.append(float(painted[..., :80].std(dim=(2, 3)).mean()))
    assert plain[1] < 0.7 * plain[0]
    assert busy[1] > 0.8 * busy[0]
