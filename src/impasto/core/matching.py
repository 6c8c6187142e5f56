"""Styles compared by their features themselves, where moments tell too little.

Laws: features are (1, C, h, w); the order of positions does not matter. These need a picture's features
all at once, so a picture cannot be measured by them in blocks or by regions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.core.statistics import to_float32

__all__ = ["nearest_loss", "quantiles", "sampled", "sliced_wasserstein_loss"]

SAMPLES, LEAST_SAMPLES = 8, 512
"""Feature vectors of a style, for each channel, that are matched with. All of them would take tens of steps' time."""

CHUNK = 512
"""Positions that are matched at a time, so that what they are compared with stays in the cache."""

Parts = Sequence[tuple[float, Tensor]]
"""Share and features of each style; shares sum to one."""


def quantiles(parts: Parts) -> Tensor:
    """How a style's features are distributed along each of C directions: sorted, (C, positions).

    Styles are blended by averaging their quantiles.
    """
    seen = [(share, _along_directions(features).sort(dim=1).values) for share, features in parts]
    length = max(values.shape[1] for _, values in seen)
    return torch.stack([share * _spread(values, length) for share, values in seen]).sum(dim=0)


def sliced_wasserstein_loss(features: Tensor, kept: Tensor) -> Tensor:
    """Mean squared distance of quantiles along the directions: Heitz et al. 2021 (2006.07229).

    They draw directions anew at every step; L-BFGS needs a loss that stays, and C orthogonal ones leave no
    direction out.
    """
    values = _along_directions(features).sort(dim=1).values
    return (values - _spread(kept.to(values), values.shape[1])).square().mean()


def _along_directions(features: Tensor) -> Tensor:
    """Feature vectors in a basis that is drawn once, (C, positions): channels themselves are not typical."""
    vectors = to_float32(features).flatten(2)[0]
    random = torch.randn(len(vectors), len(vectors), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    basis: Tensor = torch.linalg.qr(random).Q.to(vectors)
    return basis @ vectors


def _spread(values: Tensor, length: int) -> Tensor:
    """Quantiles (C, K) of as many positions as `length`: the same numbers where that is K."""
    return F.adaptive_avg_pool1d(values[None], length)[0]


def sampled(parts: Parts) -> Tensor:
    """Feature vectors of the styles, `SAMPLES` for each channel if there are so many, drawn once, (C, samples)."""
    generator, chosen = torch.Generator().manual_seed(0), []
    for share, features in parts:
        vectors = to_float32(features).flatten(2)[0]
        most = max(LEAST_SAMPLES, SAMPLES * len(vectors))
        order = torch.randperm(vectors.shape[1], generator=generator)[: max(1, round(share * most))]
        chosen.append(vectors[:, order.to(vectors.device)])
    return torch.cat(chosen, dim=1)


def nearest_loss(features: Tensor, kept: Tensor) -> Tensor:
    """Mean squared error between vectors that point the same way, from each feature and from each of the style's.

    Li & Wand 2016 (1601.04589) match each feature with the style's most alike; that alone leaves most of a style
    unused, and ends in a haze of its commonest color. So each of the style's is matched with a feature too, as by
    Kolkin et al. 2019 (1904.12785). Directions are taken from the style's mean.
    """
    vectors, candidates = to_float32(features).flatten(2)[0].T, kept.T.to(features.device)  # (positions, C)
    with torch.no_grad():
        nearest, users = _matches(vectors.detach().to(candidates), candidates)
    used = (vectors - candidates[nearest]).square().mean()
    covered = (vectors[users] - candidates).square().mean()
    return (used + covered) / 2


def _matches(vectors: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
    """For each vector the candidate that is most alike, and for each candidate the vector."""
    middle = candidates.mean(dim=0)
    directions = F.normalize(candidates - middle, dim=1).T.contiguous()
    nearest, first = [], 0
    best = torch.full((len(candidates),), -2.0, dtype=candidates.dtype, device=candidates.device)
    users = torch.zeros(len(candidates), dtype=torch.int64, device=candidates.device)
    for part in torch.split(F.normalize(vectors - middle, dim=1), CHUNK):
        likeness = part @ directions
        nearest.append(likeness.argmax(dim=1))
        values, places = likeness.max(dim=0)
        better = values > best
        best, users = torch.where(better, values, best), torch.where(better, places + first, users)
        first += len(part)
    return torch.cat(nearest), users
