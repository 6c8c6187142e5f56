"""Neighbors: cells, their matches, what is assembled from them, and its loss."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from builders.networks import narrow, random_weights
from builders.objectives import assert_same_evaluation, relative_error, resolve_config, tiny_config
from builders.pixels import random_image
from builders.runs import build_run, picture
from torch import Tensor

from impasto import images, samples
from impasto.config import Config
from impasto.config.networks import ALEXNET, VGG19, Network
from impasto.core import cells as cells_module
from impasto.core import matching
from impasto.core.cells import Basis, Cells, Descriptions, describe, fit_basis
from impasto.core.encoder import Encoder, Features
from impasto.core.evaluate import AutogradEngine
from impasto.core.matching import Area, find_matches
from impasto.core.neighbors import NeighborTarget, content_share, neighbor_distance
from impasto.core.objective import Objective
from impasto.core.targets import Query, build_objective
from impasto.core.tensor_store import RamStore
from impasto.engine.disk_store import DiskStore
from impasto.engine.gradients import add_neighbor_gradient
from impasto.engine.tiled import TiledEngine
from impasto.run import ModelCache, drive

LAYERS = "relu1_1,relu2_1,relu3_1,relu4_1"


@pytest.fixture(scope="module")
def vgg64() -> Encoder:
    return Encoder(VGG19, random_weights(VGG19), dtype=torch.float64)


def cells_of(features: Features, network: Network = VGG19) -> Cells:
    return Cells(features, network, RamStore(), torch.device("cpu"))


def hypercolumns(cells: Cells) -> Tensor:
    return torch.cat(list(cells.hypercolumns()))


def describe_grid(vectors: Tensor) -> Descriptions:
    """Return cells (rows, columns, components) that nothing is left out of."""
    rows, columns = vectors.shape[:2]
    return Descriptions(vectors.flatten(0, 1), torch.zeros(rows * columns), (rows, columns))


def random_grid(seed: int, rows: int = 9, columns: int = 12, components: int = 8) -> Tensor:
    return torch.randn(rows, columns, components, generator=torch.Generator().manual_seed(seed))


def whole(*shares: float) -> list[Area]:
    return [Area(None, tuple((number, share, None) for number, share in enumerate(shares)))]


# ---- Cells ---------------------------------------------------------------------------------------


def test_hypercolumn_by_hand() -> None:
    """A cell is the average of 4×4 positions of the finest layer, and lies between those of a coarser one."""
    fine = torch.arange(64.0).view(1, 1, 8, 8)
    coarse = torch.tensor([[[[3.0]], [[5.0]]]])  # two channels, one position for 2×2 cells
    found = hypercolumns(cells_of({"relu1_1": fine, "relu4_1": coarse}))
    assert found.shape == (4, 3)
    blocks = [fine[0, 0, y : y + 4, x : x + 4].mean() for y in (0, 4) for x in (0, 4)]
    torch.testing.assert_close(found[:, 0], torch.stack(blocks))
    assert found[:, 1:].tolist() == [[3.0, 5.0]] * 4
    ramp = torch.tensor([[[[0.0, 8.0]]]])
    found = hypercolumns(cells_of({"relu3_1": torch.zeros(1, 1, 1, 4), "relu4_1": ramp}))
    assert found[:, 1].tolist() == [0.0, 2.0, 6.0, 8.0]  # centers of cells lie at -1/4, 1/4, 3/4 and 5/4


@pytest.mark.parametrize(("height", "width"), [(16, 16), (21, 30), (8, 67), (9, 9)])
@pytest.mark.parametrize("rows", [1, 3, 100])
def test_hypercolumns_do_not_depend_on_chunks(
    height: int, width: int, rows: int, vgg64: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = vgg64(random_image(1, height, width).double(), LAYERS.split(","))
    cells = cells_of(features)
    assert cells.shape == (-(-height // 4), -(-width // 4))
    expected = hypercolumns(cells)
    assert expected.shape == (len(cells), 64 + 128 + 256 + 512)
    monkeypatch.setattr(cells_module, "ROWS", rows)
    torch.testing.assert_close(hypercolumns(cells), expected)


@pytest.mark.weights
def test_basis_finds_cells_as_similar_as_all_dimensions_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """In 256 of 960 dimensions, most cells find the same neighbor, and the others one hardly less similar."""
    monkeypatch.setattr(matching, "COHERENCE_ROUNDS", 0)
    encoder = ModelCache().encoder(Config(), None, "cpu")
    content, painting = (
        cells_of(encoder(images.load(source, long_side_px=192).pixels, LAYERS.split(",")))
        for source in (samples.photo_path("cat"), samples.paint("swirl", size_px=192))
    )
    basis = fit_basis([painting])
    assert basis.directions is not None
    full = Basis(basis.factors, None)
    wanted, directions = (
        torch.nn.functional.normalize(described.vectors - described.vectors.mean(dim=0), dim=1)
        for described in (describe(content, full), describe(painting, full))
    )
    found, best = (
        find_matches(describe(content, of), [describe(painting, of)], whole(1.0))[1].flatten().long()
        for of in (basis, full)
    )
    assert (found == best).float().mean() > 0.85
    similarity = (wanted * directions[found]).sum(dim=1).mean()
    assert similarity > 0.99 * (wanted * directions[best]).sum(dim=1).mean()


def test_basis_has_no_directions_of_rounding_errors() -> None:
    """They would differ from machine to machine, and with them the matches of a picture with few different cells."""
    generator = torch.Generator().manual_seed(0)
    few = torch.randn(960, 7, generator=generator)[:, torch.randint(7, (40 * 40,), generator=generator)]
    channels = [64, 128, 256, 512]
    features = {
        name: part.view(1, -1, 40, 40).repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3)
        for name, part, factor in zip(
            ("relu1_1", "relu2_1", "relu3_1"), torch.split(few, channels), (4, 2, 1), strict=False
        )
    }
    basis = fit_basis([cells_of(features)])
    assert basis.directions is not None
    assert basis.directions.shape[1] == 6  # around their mean
    described = describe(cells_of(features), basis)
    assert described.rest.max() < 1e-3 * described.vectors.norm(dim=1).min()


# ---- Matches -------------------------------------------------------------------------------------


def test_every_cell_of_a_painting_matches_itself() -> None:
    grid = describe_grid(random_grid(1))
    painting, cell = find_matches(grid, [grid], whole(1.0))
    assert painting.unique().tolist() == [0]
    assert cell.flatten().tolist() == list(range(9 * 12))


def test_matches_ignore_offset_and_size_of_the_query() -> None:
    painting = describe_grid(random_grid(1))
    query = random_grid(2)
    one, two = (find_matches(describe_grid(q), [painting], whole(1.0)) for q in (query, 5 + 3 * query))
    assert torch.equal(one, two)


def test_neighbors_prefer_to_go_on_where_nothing_else_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain area takes a coherent part of the painting instead of the same cell everywhere."""
    painting = describe_grid(0.1 * random_grid(1, 20, 20) + torch.linspace(0, 1, 20)[:, None, None])
    query = 0.001 * random_grid(2, 12, 12)
    query[:6] += 1.0

    def agreeing() -> float:
        cell = find_matches(describe_grid(query), [painting], whole(1.0))[1]
        rows, columns = cell // 20, cell % 20
        going_on = (rows[:, 1:] == rows[:, :-1]) & (columns[:, 1:] == columns[:, :-1] + 1)
        return float(going_on.float().mean())

    coherent = agreeing()
    monkeypatch.setattr(matching, "COHERENCE_ROUNDS", 0)
    assert agreeing() < 0.2
    assert coherent > 0.5


def test_coherence_costs_little_similarity(monkeypatch: pytest.MonkeyPatch) -> None:
    query, painting = describe_grid(random_grid(1)), describe_grid(random_grid(2))
    directions = torch.nn.functional.normalize(painting.vectors - painting.vectors.mean(0), dim=1)
    wanted = torch.nn.functional.normalize(query.vectors - query.vectors.mean(0), dim=1)

    def similarity() -> Tensor:
        return (wanted * directions[find_matches(query, [painting], whole(1.0))[1].flatten().long()]).sum(dim=1)

    coherent = similarity()
    monkeypatch.setattr(matching, "COHERENCE_ROUNDS", 0)
    lost = similarity() - coherent
    assert (lost >= -1e-6).all()
    assert lost.max() <= 4 * matching.COHERENCE + 1e-6


@pytest.mark.parametrize("shares", [(0.25, 0.75), (0.5, 0.3, 0.2), (1.0, 0.0)])
def test_each_painting_has_its_share_of_the_cells(shares: tuple[float, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "COHERENCE_ROUNDS", 0)  # cells may change sides to agree
    query = describe_grid(random_grid(1, 20, 20))
    paintings = [describe_grid(random_grid(seed, 9 + seed, 11)) for seed in range(len(shares))]
    painting, cell = find_matches(query, paintings, whole(*shares))
    for number, share in enumerate(shares):
        assert float((painting == number).float().mean()) == pytest.approx(share, abs=0.01)
        assert not (painting == number).any() or int(cell[painting == number].max()) < len(paintings[number].vectors)


def test_areas_search_only_their_part_of_a_painting() -> None:
    query = describe_grid(random_grid(1, 10, 10))
    paintings = [describe_grid(random_grid(2, 8, 8)), describe_grid(random_grid(3, 6, 7))]
    top = torch.arange(100) < 40
    part = torch.arange(64) % 8 < 3
    nothing = torch.arange(100) >= 90
    areas = [Area(top, ((0, 1.0, part),)), Area(~top & ~nothing, ((1, 1.0, None),))]
    painting, cell = (values.flatten() for values in find_matches(query, paintings, areas))
    assert (painting[:40] == 0).all()
    assert (cell[:40] % 8 < 3).all()
    assert (painting[40:90] == 1).all()
    assert not painting[90:].any()
    assert not cell[90:].any()


def test_one_colored_pictures_match_something() -> None:
    plain, grid = describe_grid(torch.ones(4, 5, 8)), describe_grid(random_grid(1))
    for query, painting in ((plain, grid), (grid, plain), (plain, plain)):
        cell = find_matches(query, [painting], whole(1.0))[1]
        assert int(cell.min()) >= 0
        assert int(cell.max()) < len(painting.vectors)


# ---- Targets and loss ----------------------------------------------------------------------------


def neighbors_of(objective: Objective) -> dict[str, NeighborTarget]:
    return {target.layer: target.neighbors for target in objective.style if target.neighbors is not None}


def matches_of(objective: Objective) -> list[int]:
    assert objective.matches is not None
    return [int(value) for value in objective.matches.flatten()]


def build(engine: Any, content: Tensor, style: Tensor, *, query: Query | None = None, **options: Any) -> Objective:
    config = resolve_config(style_loss="neighbor", height=content.shape[2], width=content.shape[3], **options)
    return build_objective(engine, content, [(1.0, style)], config, query=query)


@pytest.mark.parametrize("network", [narrow(VGG19, 8), narrow(ALEXNET, 8)], ids=lambda network: network.name)
def test_a_painting_is_its_own_neighbor(network: Network) -> None:
    """With the painting as content, all targets are its own features, and the loss is zero."""
    engine = AutogradEngine(Encoder(network, random_weights(network), dtype=torch.float64))
    image = random_image(1, 75, 98).double()
    objective = build(engine, image, image, network=network.name)
    losses = engine.measure(objective, image, 5.0)
    assert set(losses.style_layers) == {name for name, _ in objective.config.style_layers}
    fine = [name for name in losses.style_layers if network.stride(name) <= 4]
    assert fine
    for layer in fine:
        assert float(losses.style_layers[layer]) == pytest.approx(0, abs=1e-9)
    assert float(losses.style) < 0.05 * float(engine.measure(objective, random_image(2, 75, 98).double(), 5.0).style)


def test_assembled_features_come_from_the_matched_cells(vgg64: Encoder) -> None:
    engine = AutogradEngine(vgg64)
    content, style = random_image(1, 32, 40).double(), random_image(2, 48, 36).double()
    objective = build(engine, content, style)
    assert objective.matches is not None
    cell = objective.matches[1]
    features = engine.features(style, ["relu1_1", "relu3_1"])
    for layer, y, x, inside in (("relu1_1", 13, 22, (1, 2)), ("relu3_1", 3, 5, (0, 0))):
        factor = 4 // VGG19.stride(layer)
        row, column = divmod(int(cell[y // factor, x // factor]), 9)
        expected = features[layer][0, :, row * factor + inside[0], column * factor + inside[1]]
        expected = expected - features[layer].mean(dim=(0, 2, 3))
        found = neighbors_of(objective)[layer].directions[0, :, y, x]
        torch.testing.assert_close(found, expected / expected.norm())


def test_query_follows_the_target_as_alpha_rises(vgg64: Encoder) -> None:
    assert content_share(0) == 1
    assert 0.5 < content_share(5) < 1
    assert content_share(1e6) < 1e-4
    engine = AutogradEngine(vgg64)
    content, style, target = (random_image(seed, 48, 48).double() for seed in (1, 2, 3))
    by_content, by_target, alone = (
        matches_of(build(engine, image, style, query=query))
        for image, query in ((content, Query(target, 1.0)), (content, Query(target, 0.0)), (target, None))
    )
    assert by_content == matches_of(build(engine, content, style))
    assert by_target == alone
    assert by_target != by_content


def test_given_matches_are_used_as_they_are(vgg64: Encoder) -> None:
    engine = AutogradEngine(vgg64)
    content, style, target = (random_image(seed, 40, 48).double() for seed in (1, 2, 3))
    first = build(engine, content, style, query=Query(target, 0.4))
    again = build(engine, content, style, query=Query(matches=first.matches))
    for layer, one in neighbors_of(first).items():
        assert torch.equal(neighbors_of(again)[layer].directions, one.directions)


def test_distance_by_hand() -> None:
    features = torch.tensor([[[[2.0, 1.0, -3.0]], [[1.0, 3.0, 1.0]]]])  # from (1, 1): right, up, left
    directions = torch.tensor([[[[1.0, 1.0, 1.0]], [[0.0, 0.0, 0.0]]]])
    center = torch.ones(2)
    assert float(neighbor_distance(features, NeighborTarget(directions, center, None, 3))) == pytest.approx(
        (0 + 1 + 2) / 3
    )
    weights = torch.tensor([[1.0, 0.5, 0.0]])
    assert float(neighbor_distance(features, NeighborTarget(directions, center, weights, 1.5))) == pytest.approx(
        0.5 / 1.5
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_gradient_matches_autograd(weighted: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    features, directions = torch.randn(2, 1, 5, 6, 7, generator=generator, dtype=torch.float64)
    features[:, :, 0, 0] = 0.25
    weights = torch.rand(6, 7, generator=generator, dtype=torch.float64) if weighted else None
    center = torch.full((5,), 0.25, dtype=torch.float64)  # one position lies on it
    target = NeighborTarget(torch.nn.functional.normalize(directions, dim=1), center, weights, 42)
    leaf = features.clone().requires_grad_()
    (expected,) = torch.autograd.grad(3.0 * neighbor_distance(leaf, target), leaf)
    total = torch.ones_like(features).contiguous(memory_format=torch.channels_last)
    add_neighbor_gradient(total, features, target, torch.tensor(3.0))
    assert torch.isfinite(expected).all()
    torch.testing.assert_close((total - 1)[:, :, 1:], expected[:, :, 1:])
    assert torch.isfinite(total).all()


@pytest.mark.parametrize("network", [narrow(VGG19, 8), narrow(ALEXNET, 8)], ids=lambda network: network.name)
@pytest.mark.parametrize("join", [None, "pool1"])
def test_tiles_match_the_whole_image(network: Network, join: str | None, tmp_path: Any) -> None:
    encoder = Encoder(network, random_weights(network), dtype=torch.float64)
    tiled = TiledEngine(encoder, tile_px=64, join=join, store=DiskStore(tmp_path))
    plain = AutogradEngine(encoder)
    content, target, start = (random_image(seed, 103, 130).double() for seed in (1, 3, 4))
    style = random_image(2, 90, 77).double()
    one, two = (
        build(engine, content, style, network=network.name, query=Query(start, 0.6)) for engine in (plain, tiled)
    )
    assert matches_of(one) == matches_of(two)
    for layer, expected in neighbors_of(one).items():
        assert relative_error(neighbors_of(two)[layer].directions, expected.directions) < 1e-10
    assert_same_evaluation(tiled.evaluator(two, 5.0)(target), plain.evaluator(one, 5.0)(target), 1e-9)


# ---- Runs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.0, 5.0, 1000.0])
@pytest.mark.parametrize("content_weight", [1.0, 0.0])
def test_descends_at_every_alpha(alpha: float, content_weight: float, tiny: Encoder) -> None:
    if alpha == content_weight == 0:
        pytest.skip("nothing is left to paint")
    config = tiny_config(style_loss="neighbor", alpha=alpha, content_weight=content_weight, iterations=12, scales=2)
    run = build_run(tiny, config)
    totals: dict[int, list[float]] = {}
    for progress in run.steps():
        totals.setdefault(progress.scale, []).append(float(progress.losses.total))
    for scale, values in totals.items():
        assert values[-1] < values[0], scale


@pytest.mark.parametrize("style", ["plain", "two-colored", "small"])
def test_odd_paintings_give_a_picture(style: str, tiny: Encoder) -> None:
    checks = torch.zeros(1, 3, 24, 24)
    checks[..., ::2] = 1
    pictures = {"plain": torch.full((1, 3, 24, 24), 0.3), "two-colored": checks, "small": picture(2, 8, 8)[..., :3, :5]}
    config = tiny_config(style_loss="neighbor", iterations=5, scales=2)
    result = drive(build_run(tiny, config, styles=(pictures[style],)))
    assert torch.isfinite(result.image).all()
