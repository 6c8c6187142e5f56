"""Tiles and disk stores: the same numbers in bounded memory."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
import torch
from builders.networks import narrow, random_weights
from builders.objectives import assert_same_evaluation, plain_objective, resolve_config
from builders.pixels import random_image
from builders.systems import LINUX_ONLY
from torch import Tensor

from impasto.config.networks import ALEXNET, NETWORKS, VGG16, VGG19, Network
from impasto.config.style_losses import STYLE_LOSSES
from impasto.core.encoder import Encoder
from impasto.core.evaluate import AutogradEngine
from impasto.core.objective import Objective
from impasto.core.optimize import descend
from impasto.core.targets import build_objective
from impasto.core.tensor_store import RamStore, clone, dot, is_finite, iter_chunks, rms, weighted_sum
from impasto.engine import tiles
from impasto.engine.backprop import ForwardCache
from impasto.engine.disk_store import DiskStore
from impasto.engine.joining import pass_bytes, poolings, precise_join, rest_bytes
from impasto.engine.tiled import TiledEngine
from impasto.engine.tiles import cut_tiles, largest_tile_pixels, margin_px, precise_tile_px
from impasto.errors import OutputError


def double(network: Network, pooling: Any = "max") -> Encoder:
    """Build a narrow encoder in float64, where rounding cannot flip a maximum."""
    network = narrow(network, 8)
    return Encoder(network, random_weights(network), pooling=pooling, dtype=torch.float64)


CASES = [
    (VGG19, "max", (97, 150), 64),
    (VGG19, "max", (260, 48), 64),
    (VGG19, "avg", (131, 100), 48),
    (VGG16, "max", (64, 195), 100),
    (ALEXNET, "max", (250, 301), 64),
    (ALEXNET, "max", (101, 400), 90),
    (ALEXNET, "avg", (323, 99), 48),
]


@pytest.mark.parametrize(("network", "pooling", "size", "tile_px"), CASES)
@pytest.mark.parametrize("join", [None, "pool1", "pool2"])
def test_tiled_gradient_matches_untiled(
    network: Network, pooling: Any, size: tuple[int, int], tile_px: int | None, join: str | None
) -> None:
    encoder = double(network, pooling)
    plain, tiled = AutogradEngine(encoder), TiledEngine(encoder, tile_px=tile_px, join=join)
    config = resolve_config(network=network.name, tv_weight=0.3, laplacian_weight=0.7, content_loss="scaled")
    content, style, target = (
        random_image(1, *size).double(),
        random_image(2, 70, 64).double(),
        random_image(3, *size).double(),
    )
    objective = build_objective(plain, content, [(1.0, style)], config)
    alpha = objective.config.alpha
    assert_same_evaluation(tiled.evaluator(objective, alpha)(target), plain.evaluator(objective, alpha)(target), 1e-11)
    measured, expected = (engine.measure(objective, target, alpha).as_floats() for engine in (tiled, plain))
    assert measured == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize(
    ("layers", "tv"), [("relu5_4", "squared"), ("conv1_1,pool2", "absolute"), ("pool5", "absolute")]
)
@pytest.mark.parametrize("join", [None, "pool2", "pool3", "pool4"])
def test_any_layers_can_be_tiled(layers: str, tv: Any, join: str | None) -> None:
    encoder = double(VGG19)
    plain, tiled = AutogradEngine(encoder), TiledEngine(encoder, tile_px=64, join=join)
    config = resolve_config(content_layers="relu2_2,pool4", style_layers=layers, tv_weight=1.0, tv_norm=tv)
    content, style, target = (random_image(seed, 70, 90).double() for seed in (1, 2, 3))
    objective = build_objective(plain, content, [(1.0, style)], config)
    alpha = objective.config.alpha
    assert_same_evaluation(tiled.evaluator(objective, alpha)(target), plain.evaluator(objective, alpha)(target), 1e-11)


@pytest.mark.parametrize(
    "name", [name for name, loss in STYLE_LOSSES.items() if not (loss.needs_features or loss.neighbors)]
)
def test_moment_style_losses_can_be_tiled(name: str, tiny64: Encoder) -> None:
    plain, tiled = AutogradEngine(tiny64), TiledEngine(tiny64, tile_px=16)
    config = resolve_config(content_layers="relu2_1", style_layers="relu1_1,relu2_1", style_loss=name)
    content, style, target = (random_image(seed, 40, 53).double() for seed in (1, 2, 3))
    objective, tiled_objective = (build_objective(engine, content, [(1.0, style)], config) for engine in (plain, tiled))
    for one, two in zip(objective.style, tiled_objective.style, strict=True):
        torch.testing.assert_close(two.regions[0].value, one.regions[0].value, rtol=1e-6, atol=1e-6)
    alpha = objective.config.alpha
    assert_same_evaluation(tiled.evaluator(objective, alpha)(target), plain.evaluator(objective, alpha)(target), 1e-6)


@pytest.mark.parametrize("network", [VGG19, ALEXNET], ids=lambda network: network.name)
def test_tiled_targets_match_untiled(network: Network, tmp_path: Path) -> None:
    encoder = double(network)
    config = resolve_config(network=network.name)
    content, style = random_image(1, 103, 70).double(), random_image(2, 70, 133).double()
    plain = plain_objective(encoder, content, style, config)
    tiled = build_objective(
        TiledEngine(encoder, tile_px=64, store=DiskStore(tmp_path)), content, [(1.0, style)], config
    )

    def targets(objective: Objective) -> list[tuple[Tensor, float]]:
        result = [(target.value, target.scale) for target in objective.content]
        return result + [(part.value, part.scale) for target in objective.style for part in target.regions]

    assert len(targets(plain)) == len(config.content_layers) + len(config.style_layers)
    for (result, scale), (expected, expected_scale) in zip(targets(tiled), targets(plain), strict=True):
        torch.testing.assert_close(result, expected, rtol=1e-10, atol=1e-12)
        assert scale == pytest.approx(expected_scale, rel=1e-10)


@pytest.mark.parametrize(
    ("height", "width", "tile_px"), [(1422, 2048, None), (4096, 2707, None), (2707, 4096, 1024), (300, 4000, None)]
)
def test_tiles_in_float32_have_half_the_pixels(height: int, width: int, tile_px: int | None) -> None:
    image = VGG19, ["relu1_1", "relu5_1"], height, width
    side = precise_tile_px(*image, tile_px)
    assert side is not None
    assert 0.3 <= largest_tile_pixels(*image, side) / largest_tile_pixels(*image, tile_px) <= 0.6
    assert precise_tile_px(VGG19, ["relu5_1"], 700, 1024, None) is None
    assert precise_tile_px(VGG19, ["relu5_1"], 2048, 2048, 128) == 128


def test_precise_measurements_of_a_large_image_take_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "LARGE_PIXELS", 200 * 600)
    network = narrow(VGG16)
    encoder = Encoder(network, random_weights(network))
    whole, mixed = TiledEngine(encoder), TiledEngine(encoder, dtype=torch.bfloat16)
    content, style, target = (random_image(seed, 200, 600) for seed in (1, 2, 3))
    config = resolve_config(network="vgg16")
    widths: dict[str | None, set[int]] = {}
    forward = mixed.local.float32_chain.forward

    def record(pixels: Tensor, *rest: Any, after: str | None = None, **options: Any) -> ForwardCache:
        widths.setdefault(after, set()).add(pixels.shape[3])
        return forward(pixels, *rest, after=after, **options)

    monkeypatch.setattr(mixed.local.float32_chain, "forward", record)
    expected, found = (build_objective(engine, content, [(1.0, style)], config) for engine in (whole, mixed))
    precise = mixed.precise_evaluator(found, 5.0)
    assert precise is not None
    assert_same_evaluation(precise(target), whole.evaluator(expected, 5.0)(target), 1e-4)
    assert 200 < max(widths[None]) < 400
    [join] = widths.keys() - {None}
    assert widths[join] == {network.output_px(str(join), 600)}
    assert not mixed.evaluator(found, 5.0)(target).gradient.isnan().any()
    assert mixed.local.fast_chain is not mixed.local.float32_chain


def test_float32_is_joined_in_the_memory_of_bfloat16() -> None:
    layers = ["relu1_1", "relu5_1"]
    assert poolings(VGG19, layers) == ["pool1", "pool2", "pool3", "pool4"]
    assert poolings(VGG19, ["relu1_1", "pool2"]) == ["pool1"]
    assert poolings(ALEXNET, ["relu1"]) == []
    whole = pass_bytes(VGG19, VGG19.upto("relu5_1"), 2)
    for join, room in ((None, whole), *((join, rest_bytes(VGG19, layers, join, 2)) for join in ("pool1", "pool2"))):
        precise = precise_join(VGG19, layers, join)
        assert precise is not None
        assert 0.4 * room < rest_bytes(VGG19, layers, precise, 4) <= room
    assert precise_join(VGG19, layers, "pool4") is None


@pytest.mark.parametrize("join", ["pool1", "pool2", "pool3", "pool4"])
def test_join_counts_the_bytes_that_a_pass_keeps(join: str) -> None:
    """Add up the tensors of a real forward pass from the pooling on."""
    encoder, size = double(VGG19), 64
    network, chain = encoder.network, TiledEngine(encoder).local.float32_chain
    joined = encoder(random_image(1, size, size).double(), [join])[join]
    cache = chain.forward(joined, frozenset(["relu5_1"]), after=join)
    kept = {tensor.data_ptr(): tensor for tensor in (*cache.rectified.values(), *cache.inputs.values())}
    places = sum(8 * indices.numel() for indices in cache.indices.values() if indices is not None)
    found = sum(8 * tensor.numel() for tensor in kept.values()) + places
    deeper = network.upto("relu5_1")[len(network.upto(join)) :]
    largest = max(network.channels(layer.name) / network.stride(layer.name) ** 2 for layer in deeper)
    room = pass_bytes(network, deeper, 8) - 3 * 8 * largest
    assert 0 <= room - found / size**2 <= sum(8 * network.channels(p) / network.stride(p) ** 2 for p in cache.inputs)


def test_smaller_margin_gives_a_wrong_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The margin is minimal: the next smaller one changes the gradient."""
    from impasto.engine import tiles

    encoder = double(VGG19)
    plain, tiled = AutogradEngine(encoder), TiledEngine(encoder, tile_px=64)
    objective = plain_objective(
        encoder, random_image(1, 192, 48).double(), random_image(2, 64, 64).double(), resolve_config()
    )
    target = random_image(3, 192, 48).double()
    exact = plain.evaluator(objective, objective.config.alpha)(target).gradient
    assert margin_px(VGG19, objective.layers) == 80
    assert (tiled.evaluator(objective, objective.config.alpha)(target).gradient - exact).norm() < 1e-11 * exact.norm()
    monkeypatch.setattr(tiles, "margin_px", lambda network, layers: 64)
    tiled = TiledEngine(encoder, tile_px=64)  # an engine caches its tiles
    assert (tiled.evaluator(objective, objective.config.alpha)(target).gradient - exact).norm() > 1e-6 * exact.norm()


@pytest.mark.parametrize("network", NETWORKS.values(), ids=lambda network: network.name)
@pytest.mark.parametrize("size", [16, 99, 100, 101, 1023])
@pytest.mark.parametrize("tile_px", [None, 33, 64, 400])
def test_tiles_partition_the_positions(network: Network, size: int, tile_px: int | None) -> None:
    layers = [name for name in network.names if network.output_px(name, size)]
    owned = {name: torch.zeros(network.output_px(name, size), dtype=torch.int64) for name in layers}
    tiles = cut_tiles(network, layers, size, 64, tile_px)
    for tile in tiles:
        for name in layers:
            rows, inside = tile.in_image(name)[2], tile.in_tile(name)[2]
            owned[name][rows] += 1
            assert inside.stop - inside.start == rows.stop - rows.start
            if rows.stop > rows.start:
                assert inside.stop <= network.output_px(name, tile.rows.outer_stop - tile.rows.outer_start)
    columns = len({tile.columns for tile in tiles})
    assert all(bool((count == columns).all()) for count in owned.values())


def test_run_on_disk_matches_run_in_memory(tmp_path: Path, tiny: Encoder) -> None:
    objective = plain_objective(
        tiny, random_image(1, 60, 44), random_image(2, 50, 50), resolve_config().model_copy(update=LAYERS)
    )
    for options in ({}, {"optimizer": "adam"}, {"parametrization": "pixels", "clamp": False}):
        config = resolve_config(**options)
        evaluate = AutogradEngine(tiny).evaluator(objective, objective.config.alpha)
        *_, (_, expected) = descend(evaluate, random_image(3, 60, 44), config, 12)
        *_, (_, result) = descend(evaluate, random_image(3, 60, 44), config, 12, store=DiskStore(tmp_path))
        assert torch.equal(result.image, expected.image)


LAYERS = {"content_layers": (("relu2_1", 1.0),), "style_layers": (("relu1_1", 1.0), ("relu2_1", 1.0))}


@pytest.mark.parametrize("piece", [7, 1000])
def test_chunked_arithmetic_matches_torch(piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from impasto.core import tensor_store as module

    monkeypatch.setattr(module, "CHUNK", piece)
    for store in (RamStore(), DiskStore(tmp_path)):
        a, b = (clone(store, torch.randn(1, 3, 9, 11, generator=torch.Generator().manual_seed(s))) for s in (1, 2))
        assert dot(store, a, b) == pytest.approx(float((a * b).sum()), rel=1e-5)
        assert rms(store, a) == pytest.approx(float(a.square().mean().sqrt()), rel=1e-5)
        torch.testing.assert_close(weighted_sum(store, 2, a, -3, b), 2 * a - 3 * b)
        assert is_finite(store, a)
        a[0, 2, 8, 10] = float("nan")
        assert not is_finite(store, a)
        assert [p.numel() for (p,) in iter_chunks(store, b)] == [piece] * (297 // piece) + [297 % piece]


@LINUX_ONLY
def test_released_pages_keep_their_values(tmp_path: Path) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    store = DiskStore(tmp_path)
    before = resident()
    tensor = store.empty((1 << 24,))
    tensor.copy_(torch.arange(1 << 24))
    held = resident() - before
    store.release(tensor)
    assert resident() - before < held - 50e6
    assert torch.equal(tensor, torch.arange(1 << 24, dtype=torch.float32))
    store.release(tensor[5:1000])
    assert float(tensor[700]) == 700


def test_pages_are_released_after_every_tile(tmp_path: Path) -> None:
    """Targets on disk are larger than the picture, so their pages must be released."""

    released: list[set[int]] = []

    class Watched(DiskStore):
        def release(self, *tensors: Tensor) -> None:
            released.append({tensor.untyped_storage().data_ptr() for tensor in tensors})
            super().release(*tensors)

    encoder, store = double(ALEXNET), Watched(tmp_path)
    engine = TiledEngine(encoder, tile_px=64, store=store)
    content, config = random_image(1, 150, 170).double(), resolve_config(network="alexnet", content_layers="relu3")
    objective = build_objective(engine, content, [(1.0, random_image(2, 90, 90).double())], config)
    tiles = len(cut_tiles(ALEXNET, objective.layers, 150, 170, 64))
    (content_pages,) = (target.value.untyped_storage().data_ptr() for target in objective.content)
    released.clear()
    engine.evaluator(objective, objective.config.alpha)(content)
    assert tiles >= 4
    assert sum(content_pages in group for group in released) == 2 * tiles  # both passes


def test_disk_store_leaves_no_file_and_frees_its_space(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    tensor = store.empty((3, 4))
    assert list(tmp_path.iterdir()) == []
    del tensor
    gc.collect()
    store.release(store.empty((1,)))
    assert len(store._maps) <= 1


def test_full_disk_is_reported_on_allocation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(OutputError, match="No space left on device"):
        DiskStore(tmp_path).empty((1000,))
