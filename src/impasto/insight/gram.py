"""Gram matrices: style as the network holds it, and how far the styles of pictures are from each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from impasto.core.image import thumbnail
from impasto.core.statistics import compute_moments, gram_matrix
from impasto.errors import ConfigError
from impasto.insight.inputs import display_names, load_view_image, prepare_view
from impasto.insight.view_options import require_used_options
from impasto.render.colorbar import draw_colorbar
from impasto.render.grid import Cell, draw_grid, stack_grids
from impasto.render.heatmap import heatmap
from impasto.run import as_tuple

__all__ = ["GramView", "distance", "gram"]

CELL_PX = 192
CHANNELS = 48
"""Shown of each matrix: those of most energy in the first picture, in its order, so that matrices compare."""


@dataclass(frozen=True)
class GramView:
    """Gram matrices of pictures, by layer, and the distances between them.

    `names` are the pictures'; `matrices[layer]` has one (C, C) for each; `distances` is (n, n), the mean over layers
    of `distance`. `shuffled` is the largest entry by which the first picture's matrices change when the positions of
    its features are shuffled, over the largest entry.
    """

    names: tuple[str, ...]
    pictures: tuple[Tensor, ...]
    matrices: dict[str, tuple[Tensor, ...]]
    distances: Tensor
    shuffled: float
    sheet: Tensor


def distance(one: Tensor, other: Tensor) -> float:
    """How unlike two Gram matrices are: 0 the same, 1 nothing in common.

    It is the squared difference over the sum of squares, the style loss made symmetric.
    """
    difference = (one - other).square().sum()
    return float(difference / (one.square().sum() + other.square().sum()).clamp(min=1e-30))


def gram(pictures: Any, *, layers: Any = None, halves: bool | None = None, **options: Any) -> GramView:
    """The Gram matrices of one picture or a list, as heat maps, and the distances between all of them.

    With `halves`, each picture is cut in two, which are two pictures of one texture; without a word it is done to a
    single one. `layers` are names; without them, the network's style layers. Options are those of `stylize` that mean
    something where nothing is painted; `size` is 256. Raises `ImageError`, `LayerError`, `ConfigError`,
    `WeightsError`.
    """
    given = as_tuple(pictures)
    if not given:
        raise ConfigError("There is no picture to look at. Give one or more.")
    require_used_options("gram", options)
    if layers is not None:
        options |= {"style_layers": layers}
    ready = prepare_view(given[0], **options)
    order = [layer.name for layer in ready.config.style_layers]
    named = [
        (name, load_view_image(ready, picture, order))
        for name, picture in zip(display_names(given), given, strict=True)
    ]
    if halves or (halves is None and len(given) == 1):
        named = [half for name, image in named for half in _halves(name, image)]
        for name, image in named:
            ready.encoder.require_size(image, order, what=name)
    wanted = sorted(order, key=ready.encoder.network.names.index)
    found = [ready.engine.moments(image, wanted) for _, image in named]
    matrices = {layer: tuple(gram_matrix(moments[layer][0]) for moments in found) for layer in wanted}
    first = {layer: found[0] for layer, found in matrices.items()}
    shuffled, view, changed = _shuffled(ready.engine.features(named[0][1], wanted), first, ready.config.seed)
    names = tuple(name for name, _ in named)
    distances = torch.tensor(
        [
            [sum(distance(m[i], m[j]) for m in matrices.values()) / len(matrices) for j in range(len(names))]
            for i in range(len(names))
        ]
    )
    sheet = stack_grids([_matrices(named, matrices, shuffled, view, changed), _distances(named, distances)])
    return GramView(names, tuple(image for _, image in named), matrices, distances, changed, sheet)


def _halves(name: str, image: Tensor) -> list[tuple[str, Tensor]]:
    dim, sides = (3, ("left", "right")) if image.shape[3] >= image.shape[2] else (2, ("top", "bottom"))
    halves = torch.split(image, (image.shape[dim] + 1) // 2, dim=dim)
    return [(f"{name}, {side}", half.contiguous()) for side, half in zip(sides, halves, strict=True)]


def _shuffled(
    features: dict[str, Tensor], grams: dict[str, Tensor], seed: int
) -> tuple[dict[str, Tensor], Tensor, float]:
    """Gram matrices of the same features at other places, how those look at the first layer, what it changed."""
    generator = torch.Generator().manual_seed(seed)
    matrices, views, change = {}, [], 0.0
    for layer, maps in features.items():
        places = torch.randperm(maps.shape[2] * maps.shape[3], generator=generator).to(maps.device)
        moved = maps.flatten(2)[:, :, places].view_as(maps)
        before, after = grams[layer], gram_matrix(compute_moments(moved))
        matrices[layer] = after
        views.append(moved[0].square().sum(dim=0).sqrt())
        change = max(change, float((after - before).abs().max() / before.abs().max().clamp(min=1e-30)))
    return matrices, views[0], change


def _matrices(
    named: Sequence[tuple[str, Tensor]],
    matrices: dict[str, tuple[Tensor, ...]],
    shuffled: dict[str, Tensor],
    view: Tensor,
    change: float,
) -> Tensor:
    kept = {layer: found[0].diagonal().argsort(descending=True)[:CHANNELS] for layer, found in matrices.items()}
    highest = {layer: max(float(_shown(m, kept[layer]).max()) for m in found) for layer, found in matrices.items()}

    def cell(layer: str, matrix: Tensor) -> Tensor:
        return heatmap(_shown(matrix, kept[layer]), CELL_PX, highest=highest[layer])

    rows = [
        [thumbnail(image, CELL_PX, enlarge=True), *(cell(layer, found[number]) for layer, found in matrices.items())]
        for number, (_, image) in enumerate(named)
    ]
    rows.insert(1, [heatmap(view, max(rows[0][0].shape[2:])), *(cell(layer, shuffled[layer]) for layer in matrices)])
    names = _numbered([name for name, _ in named])
    names.insert(1, "its features, shuffled")
    return draw_grid(
        [*rows, [None, *(draw_colorbar(highest[layer], CELL_PX) for layer in matrices)]],
        columns=["", *matrices],
        names=[*names, "the root of an entry"],
        title="Gram matrices: which channels answer together",
        note=f"The {CHANNELS} strongest channels of the first picture. "
        f"Shuffling positions changes no entry by more than {change:.0e} of the largest.",
    )


def _numbered(names: Sequence[str]) -> list[str]:
    """As rows are called, so that the columns of the distances need no more than the number."""
    return [f"{name}  {number}" for number, name in enumerate(names, start=1)]


def _shown(matrix: Tensor, channels: Tensor) -> Tensor:
    """The root: entries are products of features, and the small ones should be seen too."""
    return matrix[channels][:, channels].clamp(min=0).sqrt()


def _distances(named: Sequence[tuple[str, Tensor]], distances: Tensor) -> Tensor:
    side = CELL_PX // 2
    rows: list[list[Tensor | Cell]] = [
        [
            thumbnail(image, side, enlarge=True),
            *(Cell(heatmap(value.view(1, 1), side, highest=1.0), f"{float(value):.3f}") for value in row),
        ]
        for (_, image), row in zip(named, distances, strict=True)
    ]
    return draw_grid(
        rows,
        columns=["", *(f"{number}" for number in range(1, len(named) + 1))],
        names=_numbered([name for name, _ in named]),
        title="How far apart their styles are",
        note="Squared difference of Gram matrices over their squares, the mean over layers: 0 the same, 1 nothing "
        "in common.",
    )
