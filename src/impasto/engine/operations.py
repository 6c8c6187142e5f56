"""The operations on features that take most of the time: in PyTorch, and in compiled kernels where these apply.

Laws: features are channels-last. Both give the same results, up to rounding in the precision of the features; moments
and content errors are at least float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.config.networks import Layer
from impasto.core.losses import content_error
from impasto.core.statistics import Moments
from impasto.engine import gradients
from impasto.engine.gradients import StyleGradient
from impasto.engine.kernels import CHANNELS, CompiledConvolution, Kernels, load_kernels
from impasto.engine.winograd import Winograd, Workspace, uses_winograd

__all__ = ["CompiledOperations", "Convolution", "Operations", "choose_operations"]


class Convolution(Protocol):
    """A convolution of one layer, forward or backward."""

    def __call__(self, x: Tensor, *, rectify: bool = False) -> Tensor:
        """Convolve `x` into a new tensor, and apply ReLU with `rectify`."""


class Operations:
    """The operations in PyTorch, for features in `dtype`.

    3×3 convolutions of at least `winograd_channels` use Winograd's algorithm; None: no convolution does.
    """

    def __init__(self, dtype: torch.dtype, winograd_channels: int | None = None) -> None:
        self.dtype, self.winograd_channels = dtype, winograd_channels
        self._workspace = Workspace()

    def convolution(self, layer: Layer, kernel: Tensor, bias: Tensor | None) -> Convolution:
        """Prepare a convolution with the shape of `layer`, a kernel (O, I, h, w) and a bias (O)."""
        if uses_winograd(layer, self.winograd_channels):
            return _with_relu(Winograd(kernel, bias, self._workspace))
        kernel = kernel.to(self.dtype).contiguous(memory_format=torch.channels_last)
        bias = None if bias is None else bias.to(self.dtype)
        return _with_relu(lambda x: F.conv2d(x, kernel, bias, stride=layer.stride, padding=layer.padding))

    def max_pool(self, x: Tensor, layer: Layer) -> tuple[Tensor, Tensor | None]:
        """Take the maximum of each window; also return where it is, if the backward pass needs that."""
        return F.max_pool2d_with_indices(x, [layer.kernel] * 2, [layer.stride] * 2)

    def max_pool_backward(self, gradient: Tensor, x: Tensor, layer: Layer, indices: Tensor | None) -> Tensor:
        """Give the gradient of each window to its first maximum."""
        result: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
            gradient, x, [layer.kernel] * 2, [layer.stride] * 2, [0, 0], [1, 1], False, indices
        )
        return result

    def moments(self, features: Tensor, masks: Tensor | None, areas: Sequence[float]) -> tuple[Moments, ...]:
        """Compute the moments of each region, from masks of known areas."""
        return gradients.moments_in_chunks(features, masks, areas)

    def content_error(self, features: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        """Compute what `losses.content_error` does."""
        return content_error(features, target, weights)

    def add_style_gradient(self, total: Tensor, features: Tensor, slope: StyleGradient, mask: Tensor | None) -> None:
        """Add d(total)/d(features) by one region's style to `total`, in place."""
        gradients.add_style_gradient(total, features, slope, mask)

    def add_content_gradient(
        self, total: Tensor, features: Tensor, target: Tensor, by_error: Tensor, weights: Tensor | None = None
    ) -> None:
        """Add d(total)/d(features) by the content error to `total`, in place."""
        gradients.add_content_gradient(total, features, target, by_error, weights)


class CompiledOperations(Operations):
    """The operations in compiled kernels; in PyTorch for features and layers that the kernels do not take."""

    def __init__(self, kernels: Kernels, winograd_channels: int | None) -> None:
        super().__init__(kernels.dtype, winograd_channels)
        self._kernels = kernels

    def convolution(self, layer: Layer, kernel: Tensor, bias: Tensor | None) -> Convolution:
        """Prepare a convolution."""
        is_possible = layer.inputs % CHANNELS == layer.outputs % CHANNELS == 0
        if is_possible and uses_winograd(layer, self.winograd_channels):
            return CompiledConvolution(self._kernels, kernel, bias)
        return super().convolution(layer, kernel, bias)

    def max_pool(self, x: Tensor, layer: Layer) -> tuple[Tensor, Tensor | None]:
        """Take the maximum of each window."""
        if _pools_pairs(layer) and _is_dense(x):
            return self._kernels.max_pool(x), None
        return super().max_pool(x, layer)

    def max_pool_backward(self, gradient: Tensor, x: Tensor, layer: Layer, indices: Tensor | None) -> Tensor:
        """Give the gradient of each window to its first maximum."""
        if indices is None:
            return self._kernels.max_pool_backward(gradient, x)
        return super().max_pool_backward(gradient, x, layer, indices)

    def moments(self, features: Tensor, masks: Tensor | None, areas: Sequence[float]) -> tuple[Moments, ...]:
        """Compute the moments of each region."""
        if masks is None and _has_channels(features):
            return (self._kernels.moments(features.contiguous(memory_format=torch.channels_last)),)
        return super().moments(features, masks, areas)

    def content_error(self, features: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
        """Compute what `losses.content_error` does."""
        if weights is None and _is_dense(features) and _is_dense(target) and target.dtype == torch.float32:
            return self._kernels.content_error(features, target)
        return super().content_error(features, target, weights)

    def add_style_gradient(self, total: Tensor, features: Tensor, slope: StyleGradient, mask: Tensor | None) -> None:
        """Add d(total)/d(features) by one region's style."""
        matches = mask is None and slope.features is None and slope.outer is not None
        if matches and _is_dense(total) and _is_dense(features):
            assert slope.outer is not None
            self._kernels.add_products(total, features, slope.outer + slope.outer.T, slope.sum)
        else:
            super().add_style_gradient(total, features, slope, mask)

    def add_content_gradient(
        self, total: Tensor, features: Tensor, target: Tensor, by_error: Tensor, weights: Tensor | None = None
    ) -> None:
        """Add d(total)/d(features) by the content error."""
        fits = all(map(_is_dense, (total, features, target))) and target.dtype == torch.float32
        if weights is None and fits:
            self._kernels.add_content_gradient(total, features, target, by_error)
        else:
            super().add_content_gradient(total, features, target, by_error, weights)


def choose_operations(dtype: torch.dtype, winograd_channels: int | None, kernels: str | None) -> Operations:
    """Return compiled operations for an instruction set, if they can be had for this type; else those of PyTorch."""
    if kernels is not None:
        loaded = load_kernels(kernels, dtype)
        if loaded is not None:
            return CompiledOperations(loaded, winograd_channels)
    return Operations(dtype, winograd_channels)


def _pools_pairs(layer: Layer) -> bool:
    return layer.kernel == layer.stride == 2


def _has_channels(features: Tensor) -> bool:
    return features.shape[1] % CHANNELS == 0 and features.device.type == "cpu" and features.numel() > 0


def _is_dense(features: Tensor) -> bool:
    """Return True if the positions of features are next to each other, in a number of channels that kernels take."""
    return _has_channels(features) and features.is_contiguous(memory_format=torch.channels_last)


def _with_relu(convolve: Callable[[Tensor], Tensor]) -> Convolution:
    def run(x: Tensor, *, rectify: bool = False) -> Tensor:
        out = convolve(x)
        return F.relu_(out) if rectify else out

    return run
