"""Gram matrices: the style of pictures as the network represents it, and distances between styles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from impasto.core.display import Sheet
from impasto.core.image import thumbnail
from impasto.core.statistics import compute_moments, gram_matrix
from impasto.errors import ConfigError
from impasto.insight.inputs import PLAIN_METHOD, display_names, load_view_image, prepare_view
from impasto.insight.view_options import require_used_options
from impasto.render.colorbar import draw_colorbar
from impasto.render.grid import Cell, draw_grid, stack_grids
from impasto.render.heatmap import heatmap
from impasto.run import as_tuple

__all__ = ["GramView", "gram", "gram_distance"]

CELL_PX = 192
CHANNELS = 48
"""Channels drawn of each matrix: the strongest ones of the first picture, so that matrices can be compared."""


@dataclass(frozen=True)
class GramView:
    """Gram matrices of pictures, by layer, and the distances between them.

    `names` are the pictures'; `matrices[layer]` has one (C, C) for each; `distances` is (n, n), the mean of
    `gram_distance` over layers. `shuffle_error` is the largest change of an entry when the positions of the first
    picture's features are shuffled, relative to the largest entry.
    """

    names: tuple[str, ...]
    pictures: tuple[Tensor, ...]
    matrices: dict[str, tuple[Tensor, ...]]
    distances: Tensor
    shuffle_error: float
    sheet: Sheet

    def _repr_png_(self) -> bytes:
        return self.sheet._repr_png_()


@dataclass(frozen=True)
class _Shuffled:
    """The first picture with its features at random positions: the strength of the first layer, the matrices."""

    strength: Tensor
    matrices: dict[str, Tensor]
    error: float


def gram_distance(one: Tensor, other: Tensor) -> float:
    """Measure how much two Gram matrices differ: 0 is the same, 1 is nothing in common.

    It is the squared difference over the sum of squares, the style loss made symmetric.
    """
    difference = (one - other).square().sum()
    return float(difference / (one.square().sum() + other.square().sum()).clamp(min=1e-30))


def gram(pictures: Any, *, layers: Any = None, halves: bool | None = None, **options: Any) -> GramView:
    """Compute the Gram matrices of pictures, draw them as heat maps, and compare all of them.

    With `halves` each picture is cut in two, which have the same texture (default: only a single picture is cut).
    `layers` are names (default: the network's style layers). Options are those of `stylize` that affect features;
    `size` is 256. Raises `ImageError`, `LayerError`, `ConfigError`, `WeightsError`.
    """
    sources = as_tuple(pictures)
    if not sources:
        raise ConfigError("There is no picture. Give one or more.")
    require_used_options("gram", options)
    run = prepare_view(
        sources[0], **(PLAIN_METHOD | options | ({"style_layers": layers} if layers is not None else {}))
    )
    names = [layer.name for layer in run.planned.style_layers]
    named = [
        (name, load_view_image(run, picture, names))
        for name, picture in zip(display_names(sources), sources, strict=True)
    ]
    if halves or (halves is None and len(sources) == 1):
        named = [half for name, image in named for half in _cut(name, image)]
        for name, image in named:
            run.encoder.require_size(image, names, what=name)
    names.sort(key=run.encoder.network.names.index)
    moments = [run.engine.moments(image, names) for _, image in named]
    matrices = {layer: tuple(gram_matrix(each[layer][0]) for each in moments) for layer in names}
    shuffled = _shuffle(run.engine.features(named[0][1], names), matrices, run.config.seed)
    distances = _distances(matrices)
    sheet = stack_grids([_draw_matrices(named, matrices, shuffled), _draw_distances(named, distances)])
    labels, opened = zip(*named, strict=True)
    return GramView(labels, opened, matrices, distances, shuffled.error, sheet)


def _cut(name: str, image: Tensor) -> list[tuple[str, Tensor]]:
    """Cut an image in two along its long side."""
    dim, sides = (3, ("left", "right")) if image.shape[3] >= image.shape[2] else (2, ("top", "bottom"))
    halves = torch.split(image, (image.shape[dim] + 1) // 2, dim=dim)
    return [(f"{name}, {side}", half.contiguous()) for side, half in zip(sides, halves, strict=True)]


def _distances(matrices: dict[str, tuple[Tensor, ...]]) -> Tensor:
    count = len(next(iter(matrices.values())))
    return torch.tensor(
        [
            [sum(gram_distance(m[i], m[j]) for m in matrices.values()) / len(matrices) for j in range(count)]
            for i in range(count)
        ]
    )


def _shuffle(features: dict[str, Tensor], matrices: dict[str, tuple[Tensor, ...]], seed: int) -> _Shuffled:
    """Shuffle the positions of the first picture's features, and compare its Gram matrices."""
    generator = torch.Generator().manual_seed(seed)
    shuffled, strengths, error = {}, [], 0.0
    for layer, maps in features.items():
        positions = torch.randperm(maps.shape[2] * maps.shape[3], generator=generator).to(maps.device)
        moved = maps.flatten(2)[:, :, positions].view_as(maps)
        before, after = matrices[layer][0], gram_matrix(compute_moments(moved))
        shuffled[layer] = after
        strengths.append(moved[0].square().sum(dim=0).sqrt())
        error = max(error, float((after - before).abs().max() / before.abs().max().clamp(min=1e-30)))
    return _Shuffled(strengths[0], shuffled, error)


def _draw_matrices(
    named: Sequence[tuple[str, Tensor]], matrices: dict[str, tuple[Tensor, ...]], shuffled: _Shuffled
) -> Tensor:
    channels = {layer: each[0].diagonal().argsort(descending=True)[:CHANNELS] for layer, each in matrices.items()}
    highest = {layer: max(float(_root(m, channels[layer]).max()) for m in each) for layer, each in matrices.items()}

    def draw(layer: str, matrix: Tensor) -> Tensor:
        return heatmap(_root(matrix, channels[layer]), CELL_PX, highest=highest[layer])

    rows = [
        [thumbnail(image, CELL_PX, enlarge=True), *(draw(layer, each[number]) for layer, each in matrices.items())]
        for number, (_, image) in enumerate(named)
    ]
    shuffled_picture = heatmap(shuffled.strength, max(rows[0][0].shape[2:]))
    rows.insert(1, [shuffled_picture, *(draw(layer, shuffled.matrices[layer]) for layer in matrices)])
    labels = _numbered([name for name, _ in named])
    labels.insert(1, "its features, shuffled")
    return draw_grid(
        [*rows, [None, *(draw_colorbar(highest[layer], CELL_PX) for layer in matrices)]],
        column_labels=["", *matrices],
        row_labels=[*labels, "the root of an entry"],
        title="Gram matrices: which channels respond together",
        note=f"The {CHANNELS} strongest channels of the first picture. "
        f"Shuffling positions changes no entry by more than {shuffled.error:.0e} of the largest.",
    )


def _numbered(names: Sequence[str]) -> list[str]:
    """Append the number that the columns of the distances refer to."""
    return [f"{name}  {number}" for number, name in enumerate(names, start=1)]


def _root(matrix: Tensor, channels: Tensor) -> Tensor:
    """Take the square root: entries are products of features, and small ones should be visible too."""
    return matrix[channels][:, channels].clamp(min=0).sqrt()


def _draw_distances(named: Sequence[tuple[str, Tensor]], distances: Tensor) -> Tensor:
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
        column_labels=["", *(f"{number}" for number in range(1, len(named) + 1))],
        row_labels=_numbered([name for name, _ in named]),
        title="Distances between styles",
        note="Squared difference of Gram matrices over their squares, the mean over layers: 0 the same, 1 nothing "
        "in common.",
    )
