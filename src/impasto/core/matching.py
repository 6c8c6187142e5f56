"""Matching: for each cell of a picture, a similar cell of the paintings.

Cells are compared by the cosine of their hypercolumns, each picture's around its own mean, as in Kolkin et al. 2022
(2203.13215). By this alone, plain areas match one cell everywhere, which is painted as a weave. So neighboring cells
prefer cells that are neighbors in the painting, as in the texture synthesis of Ashikhmin 2001: strokes go on.

Laws: the cells of several paintings are numbered one painting after another. The same pictures always give the same
matches.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.core.cells import Descriptions

__all__ = ["Area", "find_matches"]

CHUNK = 1024
"""Cells that are compared at a time."""

COHERENCE = 0.05
"""The similarity that a neighbor in agreement is worth."""

COHERENCE_ROUNDS = 20
"""Rounds in which matches are adjusted to their neighbors, half of the cells in each."""

BALANCE_ROUNDS = 50
"""Rounds in which the shares of several paintings are adjusted; two paintings need one."""

MIN_LENGTH = 1e-12
"""Smallest length that is divided by, for pictures of one color."""

NEIGHBORS = ((0, 1), (1, 0), (0, -1), (-1, 0))


@dataclass(frozen=True)
class Area:
    """Cells of the target as a mask (cells,), and the cells of each painting that they are matched with.

    `paintings` holds the number of a painting, its share, and a mask of its cells. None is all cells.
    """

    cells: Tensor | None
    paintings: tuple[tuple[int, float, Tensor | None], ...]


def find_matches(query: Descriptions, paintings: Sequence[Descriptions], areas: Sequence[Area]) -> Tensor:
    """Match the cells of a picture, -> (2, rows, columns), int32: the painting of each, and the cell there.

    Cells outside all areas keep cell 0 of painting 0.
    """
    device = query.vectors.device
    starts = list(itertools.accumulate((len(painting.vectors) for painting in paintings), initial=0))
    numbers = torch.zeros(len(query.vectors), dtype=torch.int64, device=device)
    for area in areas:
        places = _indices(area.cells, query)
        if len(places) == 0:
            continue
        inside = [_indices(mask, paintings[painting]) for painting, _, mask in area.paintings]
        parts = [
            _directions(paintings[painting], cells)
            for (painting, _, _), cells in zip(area.paintings, inside, strict=True)
        ]
        candidates = torch.cat(
            [starts[painting] + cells for (painting, _, _), cells in zip(area.paintings, inside, strict=True)]
        )
        vectors = query.vectors[places]
        wanted = F.normalize(vectors - vectors.mean(dim=0), dim=1, eps=MIN_LENGTH)
        chosen = _most_similar(wanted, parts, [share for _, share, _ in area.paintings])
        steps = _Steps(query.shape, places, [painting.shape for painting in paintings], candidates)
        numbers[places] = candidates[_cohere(wanted, torch.cat(parts), chosen, steps)]
    painting = torch.searchsorted(torch.tensor(starts[1:], device=device), numbers, right=True)
    cell = numbers - torch.tensor(starts, device=device)[painting]
    return torch.stack([painting, cell]).int().view(2, *query.shape)


def _indices(mask: Tensor | None, picture: Descriptions) -> Tensor:
    """Return the indices of the cells in a mask."""
    count, device = len(picture.vectors), picture.vectors.device
    return torch.arange(count, device=device) if mask is None else mask.nonzero()[:, 0].to(device)


def _directions(painting: Descriptions, cells: Tensor) -> Tensor:
    """Return some cells of a painting, around their mean, over their length in all dimensions."""
    vectors = painting.vectors[cells] - painting.vectors[cells].mean(dim=0)
    lengths = torch.hypot(vectors.norm(dim=1), painting.rest[cells]).clamp(min=MIN_LENGTH)
    return vectors / lengths[:, None]


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


class _Steps:
    """Steps from a cell to its neighbors: in the matched picture, and among the candidates of the paintings."""

    def __init__(
        self, shape: tuple[int, int], places: Tensor, paintings: Sequence[tuple[int, int]], candidates: Tensor
    ) -> None:
        order = torch.full((shape[0] * shape[1],), -1, dtype=torch.int64, device=places.device)
        order[places] = torch.arange(len(places), device=places.device)
        self.places, self.candidates = places, candidates
        self.rows = torch.div(places, shape[1], rounding_mode="floor")
        self.columns = places % shape[1]
        self.order, self.shape = order, shape
        sizes = torch.tensor([height * width for height, width in paintings], device=places.device)
        every = torch.arange(int(sizes.sum()), device=places.device)
        owner = torch.searchsorted(sizes.cumsum(0), every, right=True)
        inner = every - (sizes.cumsum(0) - sizes)[owner]
        self.widths = torch.tensor([width for _, width in paintings], device=places.device)[owner]
        self.heights = torch.tensor([height for height, _ in paintings], device=places.device)[owner]
        self.painting_rows = torch.div(inner, self.widths, rounding_mode="floor")
        self.painting_columns = inner % self.widths
        self.number = torch.full((len(every),), -1, dtype=torch.int64, device=places.device)
        self.number[candidates] = torch.arange(len(candidates), device=places.device)

    def suggestions(self, chosen: Tensor) -> Tensor:
        """Return the candidates that go on from the matches of the four neighbors, (4, cells); -1: none."""
        found = []
        for down, across in NEIGHBORS:
            rows, columns = self.rows - down, self.columns - across
            exists = (rows >= 0) & (rows < self.shape[0]) & (columns >= 0) & (columns < self.shape[1])
            neighbor = self.order[(rows * self.shape[1] + columns).where(exists, 0)].where(exists, -1)
            match = self.candidates[chosen[neighbor.clamp(min=0)]]
            rows, columns = self.painting_rows[match] + down, self.painting_columns[match] + across
            stays = (rows >= 0) & (rows < self.heights[match]) & (columns >= 0) & (columns < self.widths[match])
            stays &= neighbor >= 0
            moved = (match + down * self.widths[match] + across).where(stays, 0)
            found.append(self.number[moved].where(stays, -1))
        return torch.stack(found)


def _cohere(wanted: Tensor, directions: Tensor, chosen: Tensor, steps: _Steps) -> Tensor:
    """Adjust matches so that neighbors agree where that costs little similarity.

    Iterated conditional modes (Besag 1986) on a checkerboard: of the match and the four that go on from a neighbor's,
    each cell takes the one with the highest similarity plus `COHERENCE` for each neighbor that it goes on from.
    """
    parity = (steps.rows + steps.columns) % 2
    for turn in range(COHERENCE_ROUNDS):
        suggestions = steps.suggestions(chosen)
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
