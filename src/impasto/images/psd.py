"""Photoshop files: the merged image, with 8 or 16 bits per channel, by Pillow."""

from __future__ import annotations

import struct
from typing import IO, Any

import numpy as np
import pyvips
from PIL.PsdImagePlugin import PsdImageFile

from impasto.errors import ImageError

__all__ = ["PsdHeader", "open_psd", "read_deep_psd"]

HEADER_BYTES = 26
SPACES_16 = {1: "grey16", 3: "rgb16", 4: "cmyk"}
"""Color modes with 16 bits that are read, and what libvips calls them."""

HAS_LR16_BYTES = 256
"""Bytes after the layers' length within which a file of 16 bits has its layers."""


class PsdHeader:
    """The header of a Photoshop file: size, bits and color mode. Raises `ImageError` for a kind that is not read."""

    def __init__(self, file: IO[bytes], label: str) -> None:
        file.seek(0)
        data = file.read(HEADER_BYTES)
        if len(data) < HEADER_BYTES:
            raise ImageError(f"{label} cannot be read as an image: it is truncated. Export it again.")
        version, self.channels, self.height, self.width, self.bits, self.mode = struct.unpack(">H6xHIIHH", data[4:])
        if version != 1 or self.bits not in (1, 8, 16) or (self.bits == 16 and self.mode not in SPACES_16):
            kind = "the large form (PSB)" if version == 2 else f"{self.bits} bits per channel"
            raise ImageError(f"{label} is a Photoshop file of {kind}. Save it as RGB with 8 or 16 bits.")
        self.has_alpha = _has_transparency(file)

    def as_bytes(self) -> bytes:
        """Return the header of the same file, where each byte of a 16-bit value is a pixel."""
        return b"8BPS" + struct.pack(">H6xHIIHH", 1, self.channels, self.height, 2 * self.width, 8, self.mode)


def _has_transparency(file: IO[bytes]) -> bool:
    """Return True if the channel after the colors is transparency, and not a saved selection.

    The number of layers is negative then (Adobe Photoshop File Formats Specification, layer info).
    """
    file.seek(HEADER_BYTES)
    for _ in range(2):  # color mode data, image resources
        file.seek(int.from_bytes(file.read(4), "big"), 1)
    data = file.read(HAS_LR16_BYTES)
    layers, length = data[4:], int.from_bytes(data[4:8], "big")
    at = 4 if length else layers.find(b"Lr16") + 8 if b"Lr16" in layers else -1
    return at >= 0 and int.from_bytes(layers[at : at + 2], "big", signed=True) < 0


class _Halves:
    """A file of 16-bit values under the header of one of 8 bits with twice the width."""

    def __init__(self, file: IO[bytes], header: bytes) -> None:
        self.file, self.header, self.seek, self.tell = file, header, file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        start = self.file.tell()
        data = self.file.read(size)
        return self.header[start : start + len(data)] + data[max(0, len(self.header) - start) :]


def open_psd(file: IO[bytes], header: PsdHeader) -> Any:
    """Return the merged image of a file of 8 bits as a PIL image. Pillow raises errors of any type."""
    file.seek(0)
    picture = PsdImageFile(file)
    return picture.convert("RGB") if picture.mode == "RGBA" and not header.has_alpha else picture


def read_deep_psd(file: IO[bytes], header: PsdHeader) -> bytes:
    """Return the merged image of a file of 16 bits as a TIFF, with its profile. Pillow raises errors of any type."""
    file.seek(0)
    picture = PsdImageFile(_Halves(file, header.as_bytes()))  # type: ignore[arg-type]
    picture.load()
    pairs = np.atleast_3d(np.asarray(picture)).astype(np.uint16)
    levels = pairs[:, 0::2] * 256 + pairs[:, 1::2]
    if picture.mode == "RGBA" and not header.has_alpha:
        levels = levels[:, :, :3]
    image = pyvips.Image.new_from_array(np.ascontiguousarray(levels)).copy(interpretation=SPACES_16[header.mode])
    if profile := picture.info.get("icc_profile"):
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return bytes(image.write_to_buffer(".tif"))
