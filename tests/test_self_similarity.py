"""Content by self-similarity: values by hand, invariances, and one result for tiles, edges that meet and autograd."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from builders.networks import narrow, random_weights
from builders.objectives import assert_same_evaluation, resolve_config
from builders.pixels import random_image

from impasto.config.networks import ALEXNET, VGG19, Network
from impasto.config.wrap import Wrap
from impasto.core.encoder import Encoder
from impasto.core.evaluate import AutogradEngine
from impasto.core.self_similarity import MAX_PLACES, choose_places, distances, self_similarity_loss
from impasto.core.targets import build_objective
from impasto.distributed.packing import pack, unpack
from impasto.engine.tile_targets import select_targets
from impasto.engine.tiled import TiledEngine
from impasto.engine.tiles import cut_tiles
from impasto.images import load as load_image

THREE = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])


def random_features(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def test_distances_are_cosines_in_units_of_their_columns_mean() -> None:
    near = 1 - 0.5**0.5  # between an axis and the diagonal
    expected = torch.tensor([[0, 1, near], [1, 0, near], [near, near, 0]])
    means = torch.tensor([1 + near, 1 + near, 2 * near]) / 3
    torch.testing.assert_close(distances(THREE), expected / means)


def test_loss_is_the_mean_absolute_difference() -> None:
    target = distances(THREE) + torch.tensor([[0.0, 0.3, 0], [0, 0, -0.6], [0, 0, 0]])
    assert self_similarity_loss(THREE, target) == pytest.approx(0.1)


def test_loss_ignores_contrast_and_a_rotation_of_all_features() -> None:
    """Colors and textures may change, if they do so alike everywhere."""
    features = random_features(40, 6)
    rotation = torch.linalg.qr(random_features(6, 6)).Q
    assert self_similarity_loss(3 * features @ rotation, distances(features)) == pytest.approx(0, abs=1e-12)
    swapped = features[[1, 0, *range(2, 40)]]
    assert self_similarity_loss(swapped, distances(features)) > 0.01


def test_features_of_one_color_have_no_structure() -> None:
    plain = torch.ones(9, 4)
    assert self_similarity_loss(plain, distances(plain)) == 0
    assert torch.isfinite(self_similarity_loss(torch.zeros(9, 4), distances(THREE.new_zeros(9, 4))))


@pytest.mark.parametrize(
    ("size", "expected"),
    [((32, 32), (32, 32)), ((64, 64), (32, 32)), ((20, 10), (20, 10)), ((1, 5000), (1, 1024)), ((300, 75), (64, 16))],
)
def test_places_are_square_cells(size: tuple[int, int], expected: tuple[int, int]) -> None:
    places = choose_places(*size)
    assert (len(places.rows), len(places.columns)) == expected
    assert len(places.rows) * len(places.columns) <= MAX_PLACES


def test_features_of_a_place_are_the_mean_of_its_cell() -> None:
    features = random_features(1, 2, 64, 64)
    taken = choose_places(64, 64).take(features)
    torch.testing.assert_close(taken[33], features[0, :, 2:4, 2:4].mean(dim=(1, 2)))
    torch.testing.assert_close(taken.mean(dim=0), features.mean(dim=(0, 2, 3)))


def test_features_of_parts_add_up() -> None:
    features, places = random_features(1, 3, 45, 70), choose_places(45, 70)
    windows = [
        (slice(None), slice(None), rows, columns)
        for rows in (slice(0, 17), slice(17, 45))
        for columns in (slice(0, 41), slice(41, 70))
    ]
    parts = sum(places.crop(window).take(features[window]) for window in windows)
    torch.testing.assert_close(parts, places.take(features))


def test_gradient_by_features_is_that_of_autograd() -> None:
    features, places = random_features(1, 3, 45, 70).requires_grad_(), choose_places(45, 70)
    target = distances(random_features(len(places.rows) * len(places.columns), 3).flip(0))
    (expected,) = torch.autograd.grad(self_similarity_loss(places.take(features), target), features)
    taken = places.take(features.detach()).requires_grad_()
    (by_places,) = torch.autograd.grad(self_similarity_loss(taken, target), taken)
    total = torch.ones_like(features)
    places.add_gradient(total, by_places)
    torch.testing.assert_close(total, 1 + expected)
    assert expected.abs().max() > 1e-6


@pytest.mark.parametrize(
    ("network", "size", "tile_px", "join", "wrap"),
    [
        (VGG19, (101, 147), None, None, "none"),
        (VGG19, (101, 147), 64, None, "none"),
        (VGG19, (101, 147), 64, "pool2", "none"),
        (VGG19, (96, 144), 48, None, "both"),
        (ALEXNET, (150, 201), 80, None, "none"),
        (ALEXNET, (150, 201), 80, "pool1", "none"),
    ],
    ids=lambda value: value.name if isinstance(value, Network) else str(value),
)
def test_tiles_and_manual_gradients_are_those_of_autograd(
    network: Network, size: tuple[int, int], tile_px: int | None, join: str | None, wrap: Wrap
) -> None:
    network = narrow(network, 8)
    encoder = Encoder(network, random_weights(network), dtype=torch.float64)
    config = resolve_config(network=network.name, content_loss="self-similarity", wrap=wrap)
    content, style, target = (random_image(seed, *size).double() for seed in (1, 2, 3))
    plain, tiled = AutogradEngine(encoder), TiledEngine(encoder, tile_px=tile_px, join=join)
    objective, same = (build_objective(engine, content, [(1.0, style)], config) for engine in (plain, tiled))
    for ours, theirs in zip(same.content, objective.content, strict=True):
        torch.testing.assert_close(ours.value, theirs.value, rtol=1e-9, atol=1e-9)
    evaluation = plain.evaluator(objective, 5.0)(target)
    assert_same_evaluation(tiled.evaluator(objective, 5.0)(target), evaluation, 1e-10)
    assert evaluation.losses.content > 0
    content_only = replace(objective, style=())
    assert plain.measure(content_only, content, 0.0).content == pytest.approx(0, abs=1e-9)


def test_tiles_measure_the_same_on_other_machines(tiny: Encoder) -> None:
    """Tiles travel as bytes, in which a view must not lose its place."""
    config = resolve_config(content_loss="self-similarity", content_layers="relu2_1", style_layers="relu1_1")
    content, target = random_image(1, 40, 52), random_image(2, 40, 52)
    objective = build_objective(AutogradEngine(tiny), content, [(1.0, target)], config)
    local = TiledEngine(tiny, tile_px=16).local
    tiles = [select_targets(objective, tile) for tile in cut_tiles(tiny.network, objective.layers, 40, 52, 16)]
    assert len(tiles) > 1
    here = local.stats(target, tiles, precise=True)
    there = local.stats(target, [unpack(pack(tile), "cpu") for tile in tiles], precise=True)
    for one, other in zip(here, there, strict=True):
        assert torch.equal(one.content["relu2_1"], other.content["relu2_1"])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"content_loss": "self-similarity"}, ("recolored", ["relu4_2", "relu5_2"])),
        ({"content_loss": "self-similarity", "init": "noise"}, ("noise", ["relu4_2", "relu5_2"])),
        ({"content_loss": "self-similarity", "content_layers": "relu3_1"}, ("recolored", ["relu3_1"])),
        ({"content_loss": "squared"}, ("noise", ["relu2_2", "relu3_2", "relu4_2"])),
    ],
    ids=str,
)
def test_start_and_layers_follow_the_content_loss(options: dict[str, Any], expected: tuple[str, list[str]]) -> None:
    config = resolve_config(**options)
    assert (config.init, [layer.name for layer in config.content_layers]) == expected


@pytest.mark.weights
def test_light_and_dark_matter_less_than_with_squared_errors(vgg19: Encoder, photo: Path) -> None:
    """In the units of what a mirror image costs, which has the same colors in other places.

    The loss is a mean absolute difference, so it is compared with the root of squared errors.
    """
    content = load_image(photo, long_side_px=128).pixels
    shares = {}
    for loss in ("squared", "self-similarity"):
        config = resolve_config(content_loss=loss, content_layers="relu4_2,relu5_2")
        engine = AutogradEngine(vgg19)
        objective = build_objective(engine, content, [(1.0, content)], config)
        mirrored, darker, negative = (
            float(engine.measure(objective, image, 0.0).content)
            for image in (content.flip(3), 0.5 * content, 1 - content)
        )
        shares[loss] = torch.tensor([darker, negative]) / mirrored
    assert (shares["self-similarity"] < 0.85 * shares["squared"].sqrt()).all(), shares
