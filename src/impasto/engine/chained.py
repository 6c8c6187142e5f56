"""The chain rule written out for a frozen chain of convolution, ReLU and pooling.

What autograd would record is known beforehand, so nothing is recorded: ReLU works in place, the input
gradient of a convolution is a convolution with flipped, transposed kernels, and the gradient of a loss
is added where its layer is passed on the way back. Style enters through `Moments`: autograd on those
small matrices gives dL/d(sum) and dL/d(outer), and then

    dL/dF = dL/d(sum) + (dL/d(outer) + dL/d(outer)ᵀ) F

Laws: tensors inside are channels-last, in the evaluator's own precision; moments, losses and the
gradient that leaves are at least float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto import losses as loss
from impasto.encoder import Encoder
from impasto.engine.winograd import Winograd, Workspace
from impasto.evaluate import Evaluation, Evaluator
from impasto.networks import Layer
from impasto.objective import Losses, Objective
from impasto.statistics import Moments, widened

__all__ = ["chained_evaluator"]

ROWS = 1 << 14
"""Positions widened to float32 at a time, so that they stay in the cache."""


def chained_evaluator(
    encoder: Encoder, objective: Objective, *, dtype: torch.dtype = torch.float32, winograd: int = 0
) -> Evaluator:
    """An evaluator of the whole image that convolves in `dtype` and measures in float32.

    3×3 convolutions of `winograd` channels and more are done Winograd's way; 0: none.
    """
    chain = _Chain(encoder, objective.layers, dtype, winograd)

    @torch.no_grad()
    def evaluate(image: Tensor) -> Evaluation:
        passage = chain.forward(image)
        losses, pulls, smoothness = _measure(objective, image, passage.features)
        gradient = chain.backward(passage, pulls)
        return Evaluation(losses, gradient if smoothness is None else gradient + smoothness)

    return evaluate


@dataclass(frozen=True)
class _Pull:
    """What the losses at one layer ask of its features: dL/dF itself, or by way of dL/d(moments)."""

    features: Tensor | None
    sum: Tensor | None
    outer: Tensor | None

    def added_to(self, gradient: Tensor | None, features: Tensor) -> Tensor:
        """`gradient` (1, C, h, w), or zero, with the pull on `features` added."""
        total = torch.zeros_like(features) if gradient is None else gradient
        if self.features is not None:
            total += self.features
        if self.outer is not None:
            symmetric = (self.outer + self.outer.T).to(total.dtype)
            _rows(total).addmm_(_rows(features), symmetric)
        if self.sum is not None:
            total += self.sum.view(1, -1, 1, 1)
        return total


def _measure(
    objective: Objective, image: Tensor, features: dict[str, Tensor]
) -> tuple[Losses, dict[str, _Pull], Tensor | None]:
    """Losses, the pull on each layer, and the gradient of what depends on pixels alone."""
    targets = {target.layer: target for target in objective.content}
    with torch.enable_grad():
        pixels = image.detach().requires_grad_()
        wide = {layer: widened(features[layer].detach()).requires_grad_() for layer in targets}
        errors = {
            layer: loss.content_loss(wide[layer], target.value, scale=target.scale) for layer, target in targets.items()
        }
        moments = {target.layer: _moments(features[target.layer]) for target in objective.style}
        losses = objective.combine(errors, moments, loss.total_variation(pixels, objective.tv_norm))
        sums = {layer: m.sum for layer, m in moments.items()}
        outers = {layer: m.outer for layer, m in moments.items()}
        leaves = [*wide.values(), *sums.values(), *outers.values(), pixels]
        found = iter(torch.autograd.grad(losses.total, leaves, allow_unused=True))
    by_features, by_sum, by_outer = ({layer: next(found) for layer in group} for group in (wide, sums, outers))
    pulls = {layer: _Pull(by_features.get(layer), by_sum.get(layer), by_outer.get(layer)) for layer in objective.layers}
    return losses.detach(), pulls, next(found)


def _rows(features: Tensor) -> Tensor:
    """A channels-last (1, C, h, w) as a view (h*w, C)."""
    return features.permute(0, 2, 3, 1).view(-1, features.shape[1])


def _moments(features: Tensor) -> Moments:
    """Moments, as leaves of a graph."""
    rows = _rows(features.detach())
    channels, precision = rows.shape[1], torch.promote_types(rows.dtype, torch.float32)
    total = rows.new_zeros(channels, dtype=precision)
    outer = rows.new_zeros(channels, channels, dtype=precision)
    with torch.no_grad():
        for start in range(0, rows.shape[0], ROWS):
            wide = rows[start : start + ROWS].to(precision)
            total += wide.sum(dim=0)
            outer.addmm_(wide.T, wide)
    return Moments(rows.shape[0], total.requires_grad_(), outer.requires_grad_())


@dataclass
class _Passage:
    """What a forward pass leaves behind: features at tapped layers, and what the way back needs."""

    features: dict[str, Tensor] = field(default_factory=dict)
    rectified: dict[str, Tensor] = field(default_factory=dict)
    indices: dict[str, Tensor] = field(default_factory=dict)
    inputs: dict[str, Tensor] = field(default_factory=dict)
    shapes: dict[str, torch.Size] = field(default_factory=dict)


Convolution = Callable[[Tensor], Tensor]


class _Chain:
    """A network's layers with convolutions for both directions, as deep as the tapped layers reach."""

    def __init__(self, encoder: Encoder, taps: frozenset[str], dtype: torch.dtype, winograd: int) -> None:
        deepest = max(taps, key=encoder.network.names.index)
        self.encoder, self.taps, self.dtype = encoder, taps, dtype
        self.layers = encoder.network.upto(deepest)
        workspace = Workspace()

        def convolution(layer: Layer, kernel: Tensor, bias: Tensor | None) -> Convolution:
            if winograd and min(layer.inputs, layer.outputs) >= winograd and _is_plain(layer):
                return Winograd(kernel, bias, workspace)
            return _direct(layer, kernel.to(dtype), None if bias is None else bias.to(dtype))

        self.onward: dict[str, Convolution] = {}
        self.back: dict[str, Convolution] = {}
        for layer in self.layers:
            if layer.kind == "conv":
                kernel = encoder.kernels[layer.name]
                self.onward[layer.name] = convolution(layer, kernel, encoder.biases[layer.name])
                if _keeps_size(layer):
                    self.back[layer.name] = convolution(layer, kernel.flip(2, 3).transpose(0, 1), None)

    def forward(self, image: Tensor) -> _Passage:
        passage = _Passage()
        x = (
            ((image - self.encoder.mean) / self.encoder.std)
            .to(self.dtype)
            .contiguous(memory_format=torch.channels_last)
        )
        for layer in self.layers:
            passage.shapes[layer.name] = x.shape
            if layer.kind == "conv":
                x = self.onward[layer.name](x)
            elif layer.kind == "relu":
                # In place, unless the layer before it is looked at itself.
                x = F.relu(x) if any(x is kept for kept in passage.features.values()) else F.relu_(x)
                passage.rectified[layer.name] = x
            elif self.encoder.pooling == "max":
                passage.inputs[layer.name] = x
                x, passage.indices[layer.name] = F.max_pool2d_with_indices(x, [layer.kernel] * 2, [layer.stride] * 2)
            else:
                passage.inputs[layer.name] = x
                x = F.avg_pool2d(x, layer.kernel, layer.stride)
            if layer.name in self.taps:
                passage.features[layer.name] = x
        return passage

    def backward(self, passage: _Passage, pulls: dict[str, _Pull]) -> Tensor:
        """d(total)/d(image), (1, 3, H, W)."""
        gradient: Tensor | None = None
        for layer in reversed(self.layers):
            if layer.name in pulls:
                gradient = pulls[layer.name].added_to(gradient, passage.features[layer.name])
            assert gradient is not None  # the deepest layer is tapped
            gradient = self._back(layer, gradient, passage)
        assert gradient is not None
        return (widened(gradient) / self.encoder.std).contiguous()

    def _back(self, layer: Layer, gradient: Tensor, passage: _Passage) -> Tensor:
        back: Tensor
        if layer.kind == "relu":
            rectified = passage.rectified[layer.name]
            back = torch.ops.aten.threshold_backward.grad_input(gradient, rectified, 0, grad_input=gradient)
            return back
        if layer.kind == "pool":
            x, window, stride = passage.inputs[layer.name], [layer.kernel] * 2, [layer.stride] * 2
            if self.encoder.pooling == "max":
                back = torch.ops.aten.max_pool2d_with_indices_backward(
                    gradient, x, window, stride, [0, 0], [1, 1], False, passage.indices[layer.name]
                )
            else:
                back = torch.ops.aten.avg_pool2d_backward(gradient, x, window, stride, [0, 0], False, True, None)
            return back
        if layer.name in self.back:
            return self.back[layer.name](gradient)
        # A stride leaves out pixels at the far edge: they are given back as zeros.
        shape = passage.shapes[layer.name]
        left_out = [
            before - ((after - 1) * layer.stride + layer.kernel - 2 * layer.padding)
            for before, after in zip(shape[2:], gradient.shape[2:], strict=True)
        ]
        kernel = self.encoder.kernels[layer.name].to(self.dtype)
        return F.conv_transpose2d(gradient, kernel, stride=layer.stride, padding=layer.padding, output_padding=left_out)


def _direct(layer: Layer, kernel: Tensor, bias: Tensor | None) -> Convolution:
    kernel = kernel.contiguous(memory_format=torch.channels_last)
    return lambda x: F.conv2d(x, kernel, bias, stride=layer.stride, padding=layer.padding)


def _keeps_size(layer: Layer) -> bool:
    return layer.stride == 1 and layer.kernel == 2 * layer.padding + 1


def _is_plain(layer: Layer) -> bool:
    return (layer.kernel, layer.stride, layer.padding) == (3, 1, 1)
