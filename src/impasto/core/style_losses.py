"""The ways to compare styles, by name.

Laws: a style loss is zero at its target and does not depend on the order of positions. The energy of a target is the
divisor of its distance in relative units. Most losses are functions of `Moments`. Those with `needs_features` compare
the features themselves, (1, C, h, w), where moments say too little; they need all features of an image at
once, so they work neither in tiles nor by regions. The loss that depends on positions is in `neighbors`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.config.registry import import_object
from impasto.config.style_losses import STYLE_LOSS_NAMES, STYLE_LOSSES, compares_neighbors
from impasto.core.losses import energy, statistic_error
from impasto.core.statistics import Moments, blend_moments, covariance_matrix, to_float32

__all__ = [
    "SLICED_WASSERSTEIN",
    "WASSERSTEIN",
    "StyleLoss",
    "find_style_loss",
    "gaussian",
    "mean_and_std",
    "needs_features",
    "quantiles",
    "sliced_wasserstein_loss",
    "wasserstein_loss",
]

MIN_VARIANCE = 1e-4
"""Share of the mean variance that is added before a root is taken."""

MIN_RADICAND = 1e-24
"""Smallest value that a root is taken of: at a single position nothing varies, and a root has no finite slope at 0."""

FeatureParts = Sequence[tuple[float, Tensor]]
"""Share and features of each style; shares sum to one."""


@dataclass(frozen=True)
class StyleLoss:
    """A way to compare styles.

    `target` makes the target from the measurements of one or more styles, each with its share. `distance` compares
    the measurement of an image with it. `energy` is the size of a target: distance / energy is the relative loss.
    A measurement is `Moments`, or features with `needs_features`, which the table says for the losses that ship.
    """

    target: Callable[[Sequence[tuple[float, Any]]], Tensor]
    distance: Callable[[Any, Tensor], Tensor]
    energy: Callable[[Tensor], float] = lambda target: energy([target])
    needs_features: bool = False


def _moment_loss(statistic: Callable[[Moments], Tensor]) -> StyleLoss:
    """Compare a statistic of moments by its mean squared error."""
    return StyleLoss(
        lambda parts: statistic(blend_moments(parts)),
        lambda moments, target: statistic_error(statistic(moments), target),
    )


def mean_and_std(moments: Moments) -> Tensor:
    """Compute mean and standard deviation of each channel, moments -> (2, C).

    Huang & Belongie 2017 (1703.06868), the statistics of AdaIN.
    """
    variance = covariance_matrix(moments).diagonal().clamp(min=0)
    # Channels that never fire have variance 0.
    variance = (variance + MIN_VARIANCE * variance.detach().mean()).clamp(min=MIN_RADICAND)
    return torch.stack([moments.sum / moments.count, variance.sqrt()])


def gaussian(moments: Moments) -> Tensor:
    """Compute mean and root of the covariance, moments -> (C + 1, C): a Gaussian fitted to the features."""
    covariance = covariance_matrix(moments)
    values, vectors = torch.linalg.eigh(_to_float64(covariance))
    least = MIN_VARIANCE * values.clamp(min=0).mean()
    root = (vectors * (values.clamp(min=0) + least).sqrt()) @ vectors.T
    return torch.cat([(moments.sum / moments.count)[None], root.to(covariance)])


def _to_float64(tensor: Tensor) -> Tensor:
    """Convert to float64, which roots of matrices need; on the CPU where the device has none."""
    return tensor.to("cpu" if tensor.device.type == "mps" else tensor.device, torch.float64)


def wasserstein_loss(moments: Moments, target: Tensor) -> Tensor:
    """Compute the squared 2-Wasserstein distance between two Gaussians, one given as `gaussian`.

    |μ − μ*|² + tr(C + C* − 2 (C*^½ C C*^½)^½): Olkin & Pukelsheim 1982. style-transfer-pytorch compares styles
    by it.
    """
    mean, root = _to_float64(moments.sum / moments.count), _to_float64(target[1:])
    target_variance = root.square().sum()
    least = MIN_VARIANCE / (1 + MIN_VARIANCE) * target_variance / len(mean)
    identity = torch.eye(len(mean), dtype=mean.dtype, device=mean.device)
    covariance = _to_float64(covariance_matrix(moments)) + least * identity
    smallest = max(float(least) ** 2, MIN_RADICAND)
    shared = torch.linalg.eigvalsh(root @ covariance @ root).clamp(min=smallest).sqrt().sum()
    distance = (mean - _to_float64(target[0])).square().sum() + covariance.trace() + target_variance - 2 * shared
    loss: Tensor = distance.clamp(min=0).to(moments.sum)
    return loss


def quantiles(parts: FeatureParts) -> Tensor:
    """Sort a style's features along each of C directions, -> (C, positions).

    Several styles are blended by averaging their quantiles.
    """
    by_style = [(share, _project(features).sort(dim=1).values) for share, features in parts]
    length = max(values.shape[1] for _, values in by_style)
    return torch.stack([share * _resample(values, length) for share, values in by_style]).sum(dim=0)


def sliced_wasserstein_loss(features: Tensor, target: Tensor) -> Tensor:
    """Compute the mean squared distance of quantiles along C directions: Heitz et al. 2021 (2006.07229).

    They draw new directions at every step. L-BFGS needs a fixed loss, and C orthogonal directions span the space.
    """
    values = _project(features).sort(dim=1).values
    return (values - _resample(target.to(values), values.shape[1])).square().mean()


def _project(features: Tensor) -> Tensor:
    """Rotate feature vectors into a fixed random basis, -> (C, positions): channels are not typical directions."""
    vectors = to_float32(features).flatten(2)[0]
    random = torch.randn(len(vectors), len(vectors), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    basis: Tensor = torch.linalg.qr(random).Q.to(vectors)
    return basis @ vectors


def _resample(values: Tensor, length: int) -> Tensor:
    """Resample quantiles (C, K) to `length` positions; unchanged if that is K."""
    return F.adaptive_avg_pool1d(values[None], length)[0]


WASSERSTEIN = StyleLoss(
    lambda parts: gaussian(blend_moments(parts)), wasserstein_loss, lambda target: float(target.square().sum())
)
SLICED_WASSERSTEIN = StyleLoss(quantiles, sliced_wasserstein_loss)


def find_style_loss(name: str) -> StyleLoss:
    """Return a style loss by its name in the table of `config/style_losses.py`. Raises `ConfigError`."""
    entry = STYLE_LOSSES.get(name)
    loss = STYLE_LOSS_NAMES.load(name) if entry is None else import_object(entry.path)
    if not isinstance(loss, StyleLoss):
        return _moment_loss(loss)
    return loss if entry is None else replace(loss, needs_features=entry.needs_features)


def needs_features(name: str) -> bool:
    """Return True if a style loss needs all features of an image at once. Raises `ConfigError`."""
    return not compares_neighbors(name) and find_style_loss(name).needs_features
