"""Matching: for each cell of a picture, a similar cell of the paintings.

Cells are compared by the cosine of their hypercolumns, each picture's around its own mean, as in Kolkin et al. 2022
(2203.13215). By this alone, plain areas match one cell everywhere, which is painted as a weave. So neighboring cells
prefer cells that are neighbors in the painting, as in the texture synthesis of Ashikhmin 2001: strokes go on.

Laws: the cells of several paintings are numbered one painting after another. The same pictures always give the same
matches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.config.wrap import Dims
from impasto.core.cells import MIN_LENGTH, Descriptions

__all__ = ["Area", "find_matches"]

CHUNK = 1024
"""Cells that are compared at a time."""

COHERENCE = 0.05
"""The similarity that a neighbor in agreement is worth."""

COHERENCE_ROUNDS = 20
"""Rounds in which matches are adjusted to their neighbors, half of the cells in each."""

BALANCE_ROUNDS = 50
"""Rounds in which the shares of several paintings are adjusted; two paintings need one."""

STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))


@dataclass(frozen=True)
class Area:
    """Cells of the target as a mask (cells,), and the cells of each painting that they are matched with.

    `paintings` holds the number of a painting, its share, and a mask of its cells. None is all cells.
    """

    cells: Tensor | None
    paintings: tuple[tuple[int, float, Tensor | None], ...]


def find_matches(
    query: Descriptions, paintings: Sequence[Descriptions], areas: Sequence[Area], views: int = 1
) -> Tensor:
    """Match the cells of a picture, -> (2, rows, columns), int32: the painting of each, and the cell there.

    Each `views` paintings in a row are views of one, which has the share of all of them. Cells outside all areas keep
    cell 0 of painting 0.
    """
    matches = torch.zeros((2, len(query.vectors)), dtype=torch.int32, device=query.vectors.device)
    for area in areas:
        places = _indices(area.cells, query)
        if len(places) == 0:
            continue
        numbers = [number for number, _, _ in area.paintings]
        inside = [_indices(mask, paintings[number]) for number, _, mask in area.paintings]
        parts = [_directions(paintings[number], cells) for number, cells in zip(numbers, inside, strict=True)]
        vectors = query.vectors[places]
        wanted = F.normalize(vectors - vectors.mean(dim=0), dim=1, eps=MIN_LENGTH)
        chosen = _most_similar(wanted, *_join_views(parts, [share for _, share, _ in area.paintings], views))
        grid = _make_grid([paintings[number].shape for number in numbers], inside)
        chosen = _cohere(wanted, torch.cat(parts), chosen, _make_grid([query.shape], [places], query.wrap), grid)
        owners = [torch.full_like(cells, number) for number, cells in zip(numbers, inside, strict=True)]
        matches[:, places] = torch.stack([torch.cat(owners), torch.cat(inside)])[:, chosen].int()
    return matches.view(2, *query.shape)


def _indices(mask: Tensor | None, picture: Descriptions) -> Tensor:
    """Return the indices of the cells in a mask."""
    count, device = len(picture.vectors), picture.vectors.device
    return torch.arange(count, device=device) if mask is None else mask.nonzero()[:, 0].to(device)


def _directions(painting: Descriptions, cells: Tensor) -> Tensor:
    """Return some cells of a painting, around their mean, over their length in all dimensions."""
    vectors = painting.vectors[cells] - painting.vectors[cells].mean(dim=0)
    lengths = torch.hypot(vectors.norm(dim=1), painting.rest[cells]).clamp(min=MIN_LENGTH)
    return vectors / lengths[:, None]


def _join_views(parts: list[Tensor], shares: list[float], views: int) -> tuple[list[Tensor], list[float]]:
    """Return the directions and the share of all views of each painting together."""
    firsts = range(0, len(parts), views)
    return [torch.cat(parts[at : at + views]) for at in firsts], [sum(shares[at : at + views]) for at in firsts]


def _most_similar(wanted: Tensor, parts: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """Return the most similar candidate of each direction, among those of several paintings one after another."""
    found, first = [], 0
    for directions in parts:
        columns = directions.T.contiguous()
        best = [(rows @ columns).max(dim=1) for rows in torch.split(wanted, CHUNK)]
        similarity, index = torch.cat([part.values for part in best]), torch.cat([part.indices for part in best])
        found.append((similarity, index + first))
        first += len(directions)
    similarities, candidates = (torch.stack(values) for values in zip(*found, strict=True))
    return candidates.gather(0, _balance(similarities, shares)[None])[0]


def _balance(similarity: Tensor, shares: Sequence[float]) -> Tensor:
    """Return the painting of each cell by its similarities (paintings, cells), so that each has its share of the cells.

    A constant is added to the similarities of each painting.
    """
    values = similarity.clone()
    for _ in range(BALANCE_ROUNDS if len(shares) > 1 else 0):
        for number, share in enumerate(shares):
            others = torch.cat([values[:number], values[number + 1 :]]).amax(dim=0)
            lead = (values[number] - others).sort(descending=True).values
            values[number] -= lead[min(round(share * len(lead)), len(lead) - 1)]
    return values.argmax(dim=0)


@dataclass(frozen=True)
class _Grid:
    """Cells of one or more pictures, each in a grid with a border.

    `numbers` holds the number of a cell at its spot, and -1 where there is none. `spots` and `widths` are the spot of
    each cell, and the width of its grid.
    """

    numbers: Tensor
    spots: Tensor
    widths: Tensor

    def step(self, cells: Tensor, down: int, across: int) -> Tensor:
        """Return the cell that lies down and across of each of some cells; -1 where there is none."""
        return self.numbers[self.spots[cells] + down * self.widths[cells] + across]


def _make_grid(shapes: Sequence[tuple[int, int]], cells: Sequence[Tensor], wrap: Dims = ()) -> _Grid:
    """Put cells of pictures of some rows and columns, given by their indices, into a grid.

    Along the dimensions `wrap`, the border of a single picture holds the cells of its other edge.
    """
    spots, widths, first = [], [], 0
    for (rows, columns), indices in zip(shapes, cells, strict=True):
        width = columns + 2
        down, across = torch.div(indices, columns, rounding_mode="floor"), indices % columns
        spots.append(first + (down + 1) * width + across + 1)
        widths.append(torch.full_like(indices, width))
        first += (rows + 2) * width
    every = torch.cat(spots)
    numbers = every.new_full((first,), -1)
    numbers[every] = torch.arange(len(every), device=every.device)
    for dim in wrap:
        whole = numbers.view(rows + 2, columns + 2).transpose(0, dim - 2)
        whole[0], whole[-1] = whole[-2], whole[1]
    return _Grid(numbers, every, torch.cat(widths))


def _cohere(wanted: Tensor, directions: Tensor, chosen: Tensor, target: _Grid, paintings: _Grid) -> Tensor:
    """Adjust matches so that neighbors agree where that costs little similarity.

    Iterated conditional modes (Besag 1986) on a checkerboard: of the match and the four that go on from a neighbor's,
    each cell takes the one with the highest similarity plus `COHERENCE` for each neighbor that it goes on from.
    """
    cells = torch.arange(len(chosen), device=chosen.device)
    parity = (torch.div(target.spots, target.widths, rounding_mode="floor") + target.spots % target.widths) % 2
    neighbors = [(target.step(cells, -down, -across), down, across) for down, across in STEPS]
    for turn in range(COHERENCE_ROUNDS):
        suggestions = torch.stack(
            [
                paintings.step(chosen[neighbor.clamp(min=0)], down, across).where(neighbor >= 0, -1)
                for neighbor, down, across in neighbors
            ]
        )
        options = torch.cat([chosen[None], suggestions])
        score = torch.stack([_products(wanted, directions, option.clamp(min=0)) for option in options])
        score += COHERENCE * (options[:, None] == suggestions[None]).sum(dim=1)
        score = score.where(options >= 0, -torch.inf)
        better = options.gather(0, score.argmax(dim=0)[None])[0]
        chosen = better.where(parity == turn % 2, chosen)
    return chosen


def _products(wanted: Tensor, directions: Tensor, candidates: Tensor) -> Tensor:
    """Return the product of each wanted direction with that of its candidate."""
    pairs = zip(torch.split(wanted, CHUNK), torch.split(candidates, CHUNK), strict=True)
    return torch.cat([(rows * directions[of]).sum(dim=1) for rows, of in pairs])
