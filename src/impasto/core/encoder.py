"""The frozen encoder: image -> features of a pretrained network, by layer name.

Laws: an image is float, sRGB in [0, 1], (1, 3, H, W); features are (1, C, h, w). The encoder's tensors never change
and never have a gradient.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.config.networks import Layer, Network
from impasto.config.weights_sources import Triple
from impasto.config.wrap import SIDES, Dims
from impasto.core.image import pad_sides
from impasto.errors import LayerError

__all__ = ["POOLING_GAIN", "Encoder", "Features", "Padding", "Pooling", "Weights"]

Features = dict[str, Tensor]
Padding = Literal["zero", "replicate", "reflect"]
PadMode = Literal["constant", "replicate", "reflect", "circular"]
Pooling = Literal["max", "avg", "avg-rescaled"]

POOLING_GAIN = {"max": 1.0, "avg": 1.0, "avg-rescaled": 2.0}
"""Factor of pooled features: averages are smaller than the maxima that the network was trained on.
style-transfer-pytorch uses 2."""


@dataclass(frozen=True)
class Weights:
    """Kernels and biases by convolution name, and the image normalization that they expect."""

    kernels: Mapping[str, Tensor]
    biases: Mapping[str, Tensor]
    mean: Triple
    std: Triple

    @cached_property
    def sha256(self) -> str:
        """The identity of the decoded weights, the same for every file with these values."""
        digest = hashlib.sha256(repr((self.mean, self.std)).encode())
        for name in sorted(self.kernels):
            for tensor in (self.kernels[name], self.biases[name]):
                digest.update(f"{name}{tuple(tensor.shape)}".encode())
                digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()


class Encoder:
    """A frozen chain of convolution, ReLU and pooling layers, with the normalization of its weights.

    `encoder(image, layers)` computes the features of those layers and nothing deeper. `padding` extends the image at
    its edges: zero padding shows up as a painted frame. Along the dimensions `wrap` of a call, the image goes on at its
    other edge instead.
    """

    def __init__(
        self,
        network: Network,
        weights: Weights,
        *,
        pooling: Pooling = "max",
        padding: Padding = "zero",
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        def frozen(tensor: Tensor) -> Tensor:
            return tensor.detach().to(device, dtype).requires_grad_(False)

        self.network = network
        self.pooling, self.padding = pooling, padding
        self.weights_sha256 = weights.sha256
        self.kernels = {name: frozen(tensor) for name, tensor in weights.kernels.items()}
        self.biases = {name: frozen(tensor) for name, tensor in weights.biases.items()}
        self.mean = frozen(torch.tensor(weights.mean).view(1, 3, 1, 1))
        self.std = frozen(torch.tensor(weights.std).view(1, 3, 1, 1))

    @property
    def device(self) -> torch.device:
        """The device of the weights, where images must be too."""
        return self.mean.device

    def __call__(self, image: Tensor, layers: Iterable[str], wrap: Dims = ()) -> Features:
        """Compute features of `layers`, shallow to deep. Raises `LayerError` if the image is too small."""
        names = set(layers)
        if unknown := names - set(self.network.names):
            known = ", ".join(self.network.names)
            raise LayerError(f"{self.network.name} has no layer {', '.join(sorted(unknown))}. It has {known}.")
        deepest = self.network.deepest(names)
        self.require_size(image, [deepest])
        x = self.normalize(image, wrap)
        features = {}
        for layer in self.layers_to(deepest, wrap):
            x = self._apply(layer, x, wrap)
            if layer.name in names:
                features[layer.name] = x
        return features

    def normalize(self, image: Tensor, wrap: Dims = ()) -> Tensor:
        """Normalize an image as the weights expect, and pad it unless that is done with zeros."""
        x, frame = (image - self.mean) / self.std, self.network.layers[0].padding
        if self._pads_with_zeros(wrap):
            return x
        for mode in dict.fromkeys(self.pad_mode(dim, wrap) for dim in SIDES):
            x = pad_sides(x, frame, tuple(dim for dim in SIDES if self.pad_mode(dim, wrap) == mode), mode)
        return x

    def pad_mode(self, dim: int, wrap: Dims) -> PadMode:
        """Return the way in which an image is extended along a dimension, as PyTorch names it."""
        if dim in wrap:
            return "circular"
        return "constant" if self.padding == "zero" else self.padding

    def layers_to(self, deepest: str, wrap: Dims = ()) -> tuple[Layer, ...]:
        """Return the layers down to `deepest`; the first one does not pad if `normalize` has padded the image."""
        first, *rest = self.network.upto(deepest)
        return (first if self._pads_with_zeros(wrap) else replace(first, padding=0), *rest)

    def _pads_with_zeros(self, wrap: Dims) -> bool:
        return self.padding == "zero" and not wrap

    def minimum_px(self, layers: Iterable[str]) -> int:
        """Return the smallest image side at which all `layers` have at least one position."""
        return max(self.network.minimum_px(layer) for layer in layers)

    def require_size(self, image: Tensor, layers: Iterable[str], *, what: str = "An image of") -> None:
        """Raise `LayerError` if an image (1, 3, H, W) is too small for one of `layers`."""
        height, width = image.shape[2:]
        deepest = max(layers, key=self.network.minimum_px)
        minimum_px = self.network.minimum_px(deepest)
        if min(height, width) < minimum_px:
            raise LayerError(
                f"{what} {width}x{height} px is too small for {deepest}, which needs at least {minimum_px} px a side. "
                "Use a larger image, raise --size, or drop the layer."
            )

    def _apply(self, layer: Layer, x: Tensor, wrap: Dims) -> Tensor:
        if layer.kind == "conv":
            kernel, bias = self.kernels[layer.name], self.biases[layer.name]
            padding = [0 if dim in wrap else layer.padding for dim in SIDES]
            x = pad_sides(x, layer.padding, wrap) if wrap and layer.padding else x
            return F.conv2d(x, kernel, bias, stride=layer.stride, padding=padding)
        if layer.kind == "relu":
            return F.relu(x)
        if self.pooling == "max":
            return F.max_pool2d(x, layer.kernel, layer.stride)
        return F.avg_pool2d(x, layer.kernel, layer.stride) * POOLING_GAIN[self.pooling]
