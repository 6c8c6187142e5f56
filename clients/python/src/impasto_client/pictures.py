"""Pictures to send: files, bytes, samples by name, and what was uploaded before."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

from impasto_client.errors import PictureError
from impasto_client.http import Transport

__all__ = ["Picture", "Source", "profile_reference", "reference", "upload"]

SAMPLE = "sample:"


@dataclass(frozen=True)
class Picture:
    """A picture that the studio has: upload it once, and paint it often. `recipe` is True if Impasto painted it."""

    sha256: str
    name: str
    width: int
    height: int
    recipe: bool = False


Source = Union[str, "os.PathLike[str]", bytes, Picture]
"""A file, the bytes of one, `sample:NAME`, or an uploaded picture."""


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
        raise PictureError(f"{name} is empty: it has 0 bytes. Give a file that holds a picture.")
