"""Pictures and clips to send: files, bytes, samples by name, and what was uploaded before."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Union

from impasto_client.errors import PictureError
from impasto_client.http import Transport

__all__ = [
    "Clip",
    "ClipSource",
    "Picture",
    "Source",
    "clip_reference",
    "profile_reference",
    "reference",
    "upload",
    "upload_clip",
]

SAMPLE = "sample:"


@dataclass(frozen=True)
class Picture:
    """A picture that the studio has: upload it once, and paint it often. `recipe` is True if Impasto painted it."""

    sha256: str
    name: str
    width: int
    height: int
    recipe: bool = False


@dataclass(frozen=True)
class Clip:
    """A clip that the studio has, with its upright size. `note` says what is missing of a file that is cut off."""

    sha256: str
    name: str
    width: int
    height: int
    duration_s: float
    rate: float
    frame_count: int
    sound: bool
    note: str = ""


Source = Union[str, "os.PathLike[str]", bytes, Picture]
"""A file, the bytes of one, `sample:NAME`, or an uploaded picture."""

ClipSource = Union[str, "os.PathLike[str]", bytes, Clip]
"""A file, the bytes of one, or an uploaded clip."""


def upload(transport: Transport, source: Source, name: str = "") -> Picture:
    """Send a file or its bytes, and return the uploaded picture. Raises `PictureError` if it is missing or empty."""
    if isinstance(source, Picture):
        return source
    return Picture(**_send(transport, "/api/files", source, name or "picture"))


def reference(transport: Transport, source: Source) -> dict[str, Any]:
    """Return the reference to a picture that a request needs, and upload it first if it is not a sample."""
    if isinstance(source, str) and source.startswith(SAMPLE):
        return {"sample": source[len(SAMPLE) :]}
    picture = upload(transport, source)
    return {"sha256": picture.sha256, "name": picture.name}


def upload_clip(transport: Transport, source: ClipSource, name: str = "") -> Clip:
    """Send a clip, and return the uploaded one. Raises `PictureError` if it is missing or empty."""
    if isinstance(source, Clip):
        return source
    view = _send(transport, "/api/clips", source, name or "clip")
    return Clip(**{field.name: view[field.name] for field in fields(Clip)})


def clip_reference(transport: Transport, source: ClipSource) -> dict[str, Any]:
    """Return the reference to a clip that a request needs, and upload it first."""
    clip = upload_clip(transport, source)
    return {"sha256": clip.sha256, "name": clip.name}


def profile_reference(transport: Transport, source: Source) -> dict[str, Any]:
    """Upload a color profile and return the reference to it."""
    stored = _send(transport, "/api/profiles", source, "profile.icc")
    return {"sha256": stored["sha256"], "name": stored["name"]}


def _send(transport: Transport, route: str, source: Any, name: str) -> Any:
    if isinstance(source, (bytes, bytearray, memoryview)):
        _refuse_empty(name, len(source))
        return transport.call("POST", route, bytes(source), name=name)
    path = Path(source)
    try:
        with path.open("rb") as file:
            _refuse_empty(str(path), os.fstat(file.fileno()).st_size)
            return transport.call("POST", route, file, name=path.name)
    except OSError as error:
        raise PictureError(f"{path} cannot be read: {error.strerror or error}. Give another file.") from error


def _refuse_empty(name: str, size: int) -> None:
    if not size:
        raise PictureError(f"{name} is empty: it has 0 bytes. Give a complete file.")
