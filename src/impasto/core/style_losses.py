"""The ways to compare styles, by name: a registry of functions of `Moments`, or of features.

Laws: each is zero at its target and does not see the order of positions. The energy of a target is what its
distance is divided by in relative units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from impasto.core.losses import energy, style_loss
from impasto.core.matching import nearest_loss, quantiles, sampled, sliced_wasserstein_loss
from impasto.core.statistics import Moments, blend_moments, covariance, gram_matrix

__all__ = ["STYLE_LOSSES", "StyleLoss", "gaussian", "mean_and_deviation", "wasserstein_loss"]

LEAST_VARIANCE = 1e-4
"""Share of the mean variance that is added where a root is taken."""


def mean_and_deviation(moments: Moments) -> Tensor:
    """Mean and standard deviation of each channel, moments -> (2, C). Huang & Belongie 2017 (1703.06868), AdaIN's."""
    variance = covariance(moments).diagonal().clamp(min=0)
    # A root has no slope at 0, where channels are that nothing excites.
    return torch.stack([moments.sum / moments.count, (variance + LEAST_VARIANCE * variance.detach().mean()).sqrt()])


def gaussian(moments: Moments) -> Tensor:
    """Mean and root of the covariance, moments -> (C + 1, C): the Gaussian that a layer's features look like."""
    spread = covariance(moments)
    values, vectors = torch.linalg.eigh(doubled(spread))
    least = LEAST_VARIANCE * values.clamp(min=0).mean()
    root = (vectors * (values.clamp(min=0) + least).sqrt()) @ vectors.T
    return torch.cat([(moments.sum / moments.count)[None], root.to(spread)])


def doubled(tensor: Tensor) -> Tensor:
    """In float64, which roots of matrices need, where the device has it."""
    return tensor.to("cpu" if tensor.device.type == "mps" else tensor.device, torch.float64)


def wasserstein_loss(moments: Moments, kept: Tensor) -> Tensor:
    """Squared 2-Wasserstein distance between the Gaussian of `moments` and a `gaussian` that was kept.

    |μ − μ*|² + tr(C + C* − 2 (C*^½ C C*^½)^½): Olkin & Pukelsheim 1982; what
    style-transfer-pytorch compares styles by.
    """
    mean, root = doubled(moments.sum / moments.count), doubled(kept[1:])
    wanted = root.square().sum()
    least = LEAST_VARIANCE / (1 + LEAST_VARIANCE) * wanted / len(mean)
    spread = doubled(covariance(moments)) + least * torch.eye(len(mean), dtype=mean.dtype, device=mean.device)
    shared = torch.linalg.eigvalsh(root @ spread @ root).clamp(min=float(least) ** 2).sqrt().sum()
    distance = (mean - doubled(kept[0])).square().sum() + spread.trace() + wanted - 2 * shared
    loss: Tensor = distance.clamp(min=0).to(moments.sum)
    return loss


@dataclass(frozen=True)
class StyleLoss:
    """A way to compare styles: what is kept of some, the distance of a picture from that, and its energy.

    The distance over the energy is the loss in relative units. What is measured of each picture are `Moments`,
    or its features themselves where it says so; of several styles it comes with their shares.
    """

    kept: Callable[[Sequence[tuple[float, Any]]], Tensor]
    distance: Callable[[Any, Tensor], Tensor]
    energy: Callable[[Tensor], float]
    of_features: bool = False


def _of_moments(
    statistic: Callable[[Moments], Tensor],
    distance: Callable[[Moments, Tensor], Tensor] | None = None,
    size: Callable[[Tensor], float] = lambda kept: energy([kept]),
) -> StyleLoss:
    def error(moments: Moments, kept: Tensor) -> Tensor:
        return style_loss(statistic(moments), kept)

    return StyleLoss(lambda parts: statistic(blend_moments(parts)), distance or error, size)


STYLE_LOSSES = {
    "gram": _of_moments(gram_matrix),
    "covariance": _of_moments(covariance),
    "mean-std": _of_moments(mean_and_deviation),
    "wasserstein": _of_moments(gaussian, wasserstein_loss, lambda kept: float(kept.square().sum())),
    "sliced-wasserstein": StyleLoss(quantiles, sliced_wasserstein_loss, lambda kept: energy([kept]), of_features=True),
    "nearest": StyleLoss(sampled, nearest_loss, lambda kept: energy([kept]), of_features=True),
}
"""By the names that `Config.style_loss` has: a new one is a function of `Moments`, and a line here and there."""
