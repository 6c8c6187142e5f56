"""Backpropagation written out for a frozen chain of convolution, ReLU and pooling.

The graph that autograd would record is known in advance, so nothing is recorded. ReLU works in place in both
directions, the gradient of a convolution by its input is a convolution with flipped, transposed kernels, and the
gradient of a loss is added when the backward pass reaches its layer.

Laws: tensors inside are channels-last, in the precision of the chain. The returned gradient is at least float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import zip_longest

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.config.networks import Layer
from impasto.config.wrap import SIDES, Dims
from impasto.core.encoder import POOLING_GAIN, Encoder, Features
from impasto.core.statistics import to_float32
from impasto.engine.circular import convolve_circularly
from impasto.engine.operations import Convolution, Operations

__all__ = ["ForwardCache", "InjectGradient", "ManualBackprop"]

InjectGradient = Callable[[str, Tensor | None, Tensor], Tensor]
"""(layer, gradient so far or None at the deepest, features) -> the gradient with that of the losses added."""


@dataclass
class ForwardCache:
    """A forward pass: features of the requested layers, and what the backward pass needs.

    Along the dimensions `wrap` the edges of the image met. The pass began with the features of the layer `after`;
    None: with the image.
    """

    layers: tuple[Layer, ...]
    wrap: Dims = ()
    after: str | None = None
    features: Features = field(default_factory=dict)
    rectified: dict[str, Tensor] = field(default_factory=dict)
    indices: dict[str, Tensor | None] = field(default_factory=dict)
    inputs: dict[str, Tensor] = field(default_factory=dict)
    shapes: dict[str, torch.Size] = field(default_factory=dict)


class ManualBackprop:
    """A network in the precision of `operations`, with convolutions for both directions, made at first use."""

    def __init__(self, encoder: Encoder, operations: Operations) -> None:
        self.encoder, self.operations = encoder, operations
        self.gain = POOLING_GAIN[encoder.pooling]
        self._forward: dict[Layer, Convolution] = {}
        self._backward: dict[Layer, Convolution] = {}

    def forward(
        self, image: Tensor, taps: frozenset[str], *, keep: bool = True, wrap: Dims = (), after: str | None = None
    ) -> ForwardCache:
        """Run the network as deep as `taps` reach. Without `keep` only their features are stored.

        With `after`, `image` is the features of that layer, and the network goes on from there.
        """
        layers = self.encoder.layers_to(self.encoder.network.deepest(taps), wrap)
        x = image
        if after is not None:
            layers = layers[len(self.encoder.network.upto(after)) :]
        else:
            x = self.encoder.normalize(image, wrap).to(self.operations.dtype)
        x, cache = x.contiguous(memory_format=torch.channels_last), ForwardCache(layers, wrap, after)
        for layer, following in zip_longest(cache.layers, cache.layers[1:]):
            if keep:
                cache.shapes[layer.name] = x.shape
            if layer.kind == "conv":
                # ReLU in place, unless the features before it are requested.
                is_rectified = following is not None and following.kind == "relu" and layer.name not in taps
                x = convolve_circularly(self._convolution(layer), x, layer.padding, wrap, rectify=is_rectified)
            elif layer.kind == "relu":
                x = x if is_rectified else F.relu(x)
                if keep:
                    cache.rectified[layer.name] = x
            else:
                x = self._pool(layer, x, cache, keep=keep)
            if layer.name in taps:
                cache.features[layer.name] = x
        return cache

    def _pool(self, layer: Layer, x: Tensor, cache: ForwardCache, *, keep: bool) -> Tensor:
        if keep:
            cache.inputs[layer.name] = x
        window, stride = [layer.kernel] * 2, [layer.stride] * 2
        if self.encoder.pooling != "max":
            return F.avg_pool2d(x, window, stride).mul_(self.gain)
        if not keep:
            return F.max_pool2d(x, window, stride)
        pooled, cache.indices[layer.name] = self.operations.max_pool(x, layer)
        return pooled

    def backward(self, cache: ForwardCache, inject: InjectGradient) -> Tensor:
        """Compute d(total)/d(image), (1, 3, H, W), or by the features that the pass began with."""
        gradient: Tensor | None = None
        for layer in reversed(cache.layers):
            if layer.name in cache.features:
                gradient = inject(layer.name, gradient, cache.features[layer.name])
            assert gradient is not None  # the deepest layer is among the requested ones
            gradient = self._layer_backward(layer, gradient, cache)
        assert gradient is not None
        if cache.after is not None:
            return gradient
        return (self._fold_padding(to_float32(gradient), cache) / self.encoder.std).contiguous()

    def _fold_padding(self, gradient: Tensor, cache: ForwardCache) -> Tensor:
        """Add the gradient of the image's padding to the pixels that it was copied from."""
        network = self.encoder.network
        frame = network.layers[0].padding - cache.layers[0].padding
        for dim in SIDES if frame else ():
            gradient = FOLDS[self.encoder.pad_mode(dim, cache.wrap)](gradient, dim, frame)
        return gradient

    def _layer_backward(self, layer: Layer, gradient: Tensor, cache: ForwardCache) -> Tensor:
        if layer.kind == "relu":
            rectified = cache.rectified.pop(layer.name)
            masked: Tensor = torch.ops.aten.threshold_backward.grad_input(gradient, rectified, 0, grad_input=gradient)
            return masked
        if layer.kind == "pool":
            return self._pool_backward(layer, gradient, cache)
        if _keeps_size(layer):
            convolve = self._convolution(layer, backward=True)
            return convolve_circularly(convolve, gradient, layer.padding, cache.wrap)
        # A stride can leave out pixels at the far edge: their gradient is zero.
        shape = cache.shapes[layer.name]
        left_out = [
            before - ((after - 1) * layer.stride + layer.kernel - 2 * layer.padding)
            for before, after in zip(shape[2:], gradient.shape[2:], strict=True)
        ]
        kernel = self.encoder.kernels[layer.name].to(self.operations.dtype)
        return F.conv_transpose2d(gradient, kernel, stride=layer.stride, padding=layer.padding, output_padding=left_out)

    def _pool_backward(self, layer: Layer, gradient: Tensor, cache: ForwardCache) -> Tensor:
        x, window, stride = cache.inputs.pop(layer.name), [layer.kernel] * 2, [layer.stride] * 2
        if self.encoder.pooling == "max":
            return self.operations.max_pool_backward(gradient, x, layer, cache.indices.pop(layer.name))
        result: Tensor = torch.ops.aten.avg_pool2d_backward(gradient, x, window, stride, [0, 0], False, True, None)
        return result.mul_(self.gain)

    def _convolution(self, layer: Layer, *, backward: bool = False) -> Convolution:
        """Return the convolution of a layer, or of its input gradient, prepared once."""
        prepared = self._backward if backward else self._forward
        if layer not in prepared:
            kernel, bias = self.encoder.kernels[layer.name], None
            if backward:
                kernel = kernel.flip(2, 3).transpose(0, 1)
            else:
                bias = self.encoder.biases[layer.name]
            prepared[layer] = self.operations.convolution(layer, kernel, bias)
        return prepared[layer]


def _fold_replicated(gradient: Tensor, dim: int, frame: int) -> Tensor:
    """Add the gradient of a frame to the pixels at the edge. Torch's own backward pass is not repeatable on a card."""
    before, inner, after = torch.split(gradient, [frame, gradient.shape[dim] - 2 * frame, frame], dim)
    inner = inner.clone()
    inner.narrow(dim, 0, 1).add_(before.sum(dim, keepdim=True))
    inner.narrow(dim, -1, 1).add_(after.sum(dim, keepdim=True))
    return inner


def _fold_reflected(gradient: Tensor, dim: int, frame: int) -> Tensor:
    """Add the gradient of a frame to the pixels that mirror it."""
    before, inner, after = torch.split(gradient, [frame, gradient.shape[dim] - 2 * frame, frame], dim)
    inner = inner.clone()
    inner.narrow(dim, 1, frame).add_(before.flip(dim))
    inner.narrow(dim, -1 - frame, frame).add_(after.flip(dim))
    return inner


def _fold_circular(gradient: Tensor, dim: int, frame: int) -> Tensor:
    """Add the gradient of a frame to the pixels at the other edge."""
    before, inner, after = torch.split(gradient, [frame, gradient.shape[dim] - 2 * frame, frame], dim)
    inner = inner.clone()
    inner.narrow(dim, -frame, frame).add_(before)
    inner.narrow(dim, 0, frame).add_(after)
    return inner


def _drop_frame(gradient: Tensor, dim: int, frame: int) -> Tensor:
    """Remove the gradient of a frame of zeros."""
    return gradient.narrow(dim, frame, gradient.shape[dim] - 2 * frame)


FOLDS = {
    "constant": _drop_frame,
    "replicate": _fold_replicated,
    "reflect": _fold_reflected,
    "circular": _fold_circular,
}
"""The adjoint of each way to extend an image."""


def _keeps_size(layer: Layer) -> bool:
    return layer.stride == 1 and layer.kernel == 2 * layer.padding + 1
