"""The chain rule written out for a frozen chain of convolution, ReLU and pooling.

What autograd would record is known beforehand, so nothing is recorded: ReLU works in place both ways, the
input gradient of a convolution is a convolution with flipped, transposed kernels, and the pull of a loss
is added where its layer is passed on the way back.

Laws: tensors inside are channels-last, in the chain's own precision; the gradient that leaves is at least
float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.config.networks import Layer
from impasto.core.encoder import POOLING_GAIN, Encoder, Features
from impasto.core.statistics import to_float32
from impasto.engine.winograd import Winograd, Workspace, uses_winograd

__all__ = ["ForwardCache", "InjectGradient", "ManualBackprop"]

Convolution = Callable[[Tensor], Tensor]
InjectGradient = Callable[[str, Tensor | None, Tensor], Tensor]
"""Layer, gradient so far (none at the deepest), features -> the gradient with the losses' pull added."""


@dataclass
class ForwardCache:
    """What a forward pass leaves behind: features at tapped layers, and what the way back needs."""

    layers: tuple[Layer, ...]
    features: Features = field(default_factory=dict)
    rectified: dict[str, Tensor] = field(default_factory=dict)
    indices: dict[str, Tensor] = field(default_factory=dict)
    inputs: dict[str, Tensor] = field(default_factory=dict)
    shapes: dict[str, torch.Size] = field(default_factory=dict)


class ManualBackprop:
    """A network with convolutions for both directions, made when they are first needed.

    3×3 convolutions of `winograd` channels and more are done Winograd's way; 0: none.
    """

    def __init__(self, encoder: Encoder, dtype: torch.dtype, winograd: int) -> None:
        self.encoder, self.dtype, self.winograd = encoder, dtype, winograd
        self.gain = POOLING_GAIN[encoder.pooling]
        self._workspace = Workspace()
        self._onward: dict[str, Convolution] = {}
        self._back: dict[str, Convolution] = {}

    def forward(self, image: Tensor, taps: frozenset[str], *, keep: bool = True) -> ForwardCache:
        """Through the network as deep as `taps` reach. Without `keep` only their features are left."""
        passage = ForwardCache(self.encoder.layers_to(max(taps, key=self.encoder.network.names.index)))
        x = self.encoder.normalize(image).to(self.dtype).contiguous(memory_format=torch.channels_last)
        for layer in passage.layers:
            if keep:
                passage.shapes[layer.name] = x.shape
            if layer.kind == "conv":
                x = self._convolution(layer)(x)
            elif layer.kind == "relu":
                # In place, unless the layer before it is looked at itself.
                x = F.relu(x) if any(x is kept for kept in passage.features.values()) else F.relu_(x)
                if keep:
                    passage.rectified[layer.name] = x
            else:
                if keep:
                    passage.inputs[layer.name] = x
                window, stride = [layer.kernel] * 2, [layer.stride] * 2
                if self.encoder.pooling != "max":
                    x = F.avg_pool2d(x, window, stride).mul_(self.gain)
                elif keep:
                    x, passage.indices[layer.name] = F.max_pool2d_with_indices(x, window, stride)
                else:
                    x = F.max_pool2d(x, window, stride)
            if layer.name in taps:
                passage.features[layer.name] = x
        return passage

    def backward(self, passage: ForwardCache, pull: InjectGradient) -> Tensor:
        """d(total)/d(image), (1, 3, H, W)."""
        gradient: Tensor | None = None
        for layer in reversed(passage.layers):
            if layer.name in passage.features:
                gradient = pull(layer.name, gradient, passage.features[layer.name])
            assert gradient is not None  # the deepest layer is tapped
            gradient = self._through(layer, gradient, passage)
        assert gradient is not None
        return (self._unpadded(to_float32(gradient)) / self.encoder.std).contiguous()

    def _unpadded(self, gradient: Tensor) -> Tensor:
        """What falls on the image's padding, given back to the pixels that it was made of."""
        if self.encoder.padding == "zero":
            return gradient
        frame = self.encoder.network.layers[0].padding
        height, width = (side - 2 * frame for side in gradient.shape[2:])
        image = gradient.new_empty((1, 3, height, width))
        fold = torch.ops.aten.replication_pad2d_backward
        if self.encoder.padding == "reflect":
            fold = torch.ops.aten.reflection_pad2d_backward
        folded: Tensor = fold(gradient.contiguous(), image, [frame] * 4)
        return folded

    def _through(self, layer: Layer, gradient: Tensor, passage: ForwardCache) -> Tensor:
        back: Tensor
        if layer.kind == "relu":
            rectified = passage.rectified.pop(layer.name)
            back = torch.ops.aten.threshold_backward.grad_input(gradient, rectified, 0, grad_input=gradient)
            return back
        if layer.kind == "pool":
            x, window, stride = passage.inputs.pop(layer.name), [layer.kernel] * 2, [layer.stride] * 2
            if self.encoder.pooling == "max":
                back = torch.ops.aten.max_pool2d_with_indices_backward(
                    gradient, x, window, stride, [0, 0], [1, 1], False, passage.indices.pop(layer.name)
                )
            else:
                back = torch.ops.aten.avg_pool2d_backward(gradient, x, window, stride, [0, 0], False, True, None)
                back.mul_(self.gain)
            return back
        if _keeps_size(layer):
            return self._convolution(layer, back=True)(gradient)
        # A stride leaves out pixels at the far edge: they are given back as zeros.
        shape = passage.shapes[layer.name]
        left_out = [
            before - ((after - 1) * layer.stride + layer.kernel - 2 * layer.padding)
            for before, after in zip(shape[2:], gradient.shape[2:], strict=True)
        ]
        kernel = self.encoder.kernels[layer.name].to(self.dtype)
        return F.conv_transpose2d(gradient, kernel, stride=layer.stride, padding=layer.padding, output_padding=left_out)

    def _convolution(self, layer: Layer, *, back: bool = False) -> Convolution:
        made = self._back if back else self._onward
        if layer.name not in made:
            kernel, bias = self.encoder.kernels[layer.name], None
            if back:
                kernel = kernel.flip(2, 3).transpose(0, 1)
            else:
                bias = self.encoder.biases[layer.name]
            if uses_winograd(layer, self.winograd):
                made[layer.name] = Winograd(kernel, bias, self._workspace)
            else:
                made[layer.name] = _direct(layer, kernel.to(self.dtype), None if bias is None else bias.to(self.dtype))
        return made[layer.name]


def _direct(layer: Layer, kernel: Tensor, bias: Tensor | None) -> Convolution:
    kernel = kernel.contiguous(memory_format=torch.channels_last)
    return lambda x: F.conv2d(x, kernel, bias, stride=layer.stride, padding=layer.padding)


def _keeps_size(layer: Layer) -> bool:
    return layer.stride == 1 and layer.kernel == 2 * layer.padding + 1
