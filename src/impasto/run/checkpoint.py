"""Part of the composition root: a run's whole state as one file, to stop and go on exactly.

The file is safetensors: a header of JSON, then the numbers. It is written in pieces by our own few lines, because the
library wants all tensors in memory at once, and a run on disk has more of them than memory. Its header holds the
recipe of the run so far, where it stands, and a hash of all the numbers.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from impasto.core.descent import State
from impasto.core.method import ResumePoint
from impasto.core.tensor_store import CHUNK, TensorStore
from impasto.errors import ImpastoError, RecipeError
from impasto.files import atomic_write
from impasto.run.recipe import Recipe

__all__ = ["Checkpoint", "read_checkpoint", "write_checkpoint"]

FORMAT = "impasto-checkpoint-2"
LONGEST_HEADER = 1 << 24

_DTYPES = {"F32": torch.float32, "F64": torch.float64}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


class Checkpoint:
    """What a file holds: the recipe of its run, and where that run stands, read into a store when asked for."""

    def __init__(self, path: Path, header: Mapping[str, Any], start: int) -> None:
        told = json.loads(header["__metadata__"]["impasto"])
        self.path, self._header, self._start = path, header, start
        self.recipe = Recipe.model_validate(told["recipe"])
        self.traced: list[Any] = told["traced"]
        self.place: tuple[int, int] = (told["standing"]["scale"], told["state"]["iteration"])
        self._told = told

    def require(self, recipe: Recipe) -> None:
        """Raise `RecipeError` unless the run of `recipe` is this one, which may differ in how it is written."""
        if self.recipe.version != recipe.version:
            raise RecipeError(
                f"{self.path} is of Impasto {self.recipe.version}, and this is {recipe.version}. Go on with that one, "
                "or begin without --resume."
            )
        for what, ours, theirs in (
            ("options", self.recipe.config, recipe.config),
            ("plan", self.recipe.plan, recipe.plan),
        ):
            ours_told, theirs_told = ours.model_dump(mode="json"), theirs.model_dump(mode="json")
            for name, value in theirs_told.items():
                if ours_told[name] != value:
                    raise RecipeError(
                        f"{self.path} is of a run with other {what}: {name} = {ours_told[name]}, not {value}. "
                        "Give the same ones, or begin without --resume."
                    )
        ours_seen, theirs_seen = (
            {role: file.sha256 for role, file in told.inputs.items()} for told in (self.recipe, recipe)
        )
        if ours_seen != theirs_seen:
            raise RecipeError(f"{self.path} is of a run with other pictures. Give those, or begin without --resume.")
        if self.recipe.turns != recipe.turns:
            raise RecipeError(f"{self.path} is of a run whose alpha was changed otherwise. Begin without --resume.")
        if self.recipe.weights_sha256 != recipe.weights_sha256:
            raise RecipeError(f"{self.path} is of a run with other weights. Give those, or begin without --resume.")

    def standing(self, store: TensorStore) -> ResumePoint:
        """Where the run stands. Raises `RecipeError` if the file is not what was written."""
        tensors: dict[str, Tensor] = {}
        told = self._told
        digest = _begun(told)
        with _complaining(self.path), self.path.open("rb") as file:
            for name, entry in _entries(self._header):
                file.seek(self._start + entry["data_offsets"][0])
                tensor = store.empty(entry["shape"], _DTYPES[entry["dtype"]])
                flat = tensor.view(-1)
                for first in range(0, flat.numel(), CHUNK):
                    part = flat[first : first + CHUNK]
                    data = file.read(part.numel() * part.element_size())
                    digest.update(data)
                    part.copy_(torch.frombuffer(bytearray(data), dtype=tensor.dtype))
                    store.release(part)
                tensors[name] = tensor
        if digest.hexdigest() != told["digest"]:
            raise RecipeError(f"{self.path} is damaged: it is not what was written. Begin without --resume.")
        state = State(**told["state"], image=tensors.pop("image"), memory=tensors)
        return ResumePoint(**told["standing"], state=state)


def write_checkpoint(path: Path, standing: ResumePoint, recipe: Recipe, traced: list[Any], store: TensorStore) -> None:
    """Write where a run stands; a file that was there is replaced by a whole one. Raises `OutputError`."""
    state = standing.state
    tensors = {"image": state.image} | state.memory
    told = {
        "format": FORMAT,
        "recipe": recipe.model_dump(mode="json"),
        "traced": traced,
        "standing": {name: getattr(standing, name) for name in ("scale", "evaluations", "restarts", "elapsed_s")},
        "state": {name: getattr(state, name) for name in ("iteration", "evaluations", "restarts", "numbers")},
    }
    told["digest"] = _digest(told, tensors, store)
    header: dict[str, Any] = {"__metadata__": {"impasto": json.dumps(told)}}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for tensor in tensors.values():
            for data in _bytes_of(tensor, store):
                file.write(data)


def read_checkpoint(path: Path) -> Checkpoint:
    """What a file says of its run. Raises `RecipeError`: there is none, it is damaged, or of another program."""
    with _complaining(path), path.open("rb") as file:
        header, start = _header(file)
        ends = [entry["data_offsets"][1] for _, entry in _entries(header)]
        if not ends or start + max(ends) != path.stat().st_size:
            raise ValueError("it is cut short")
        return Checkpoint(path, header, start)


def _header(file: BinaryIO) -> tuple[dict[str, Any], int]:
    size = file.read(8)
    if len(size) < 8 or (length := struct.unpack("<Q", size)[0]) > LONGEST_HEADER:
        raise ValueError("it has no header")
    header = json.loads(file.read(length))
    if json.loads(header["__metadata__"]["impasto"])["format"] != FORMAT:
        raise ValueError("it is of another version")
    return header, 8 + length


def _entries(header: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((name, entry) for name, entry in header.items() if name != "__metadata__")


def _begun(told: Mapping[str, Any]) -> hashlib.blake2b:
    """A hash of all that is told but the hash, to which the numbers come."""
    rest = {name: value for name, value in told.items() if name != "digest"}
    return hashlib.blake2b(json.dumps(rest, sort_keys=True).encode(), digest_size=32)


def _digest(told: Mapping[str, Any], tensors: Mapping[str, Tensor], store: TensorStore) -> str:
    digest = _begun(told)
    for tensor in tensors.values():
        for data in _bytes_of(tensor, store):
            digest.update(data)
    return digest.hexdigest()


def _bytes_of(tensor: Tensor, store: TensorStore) -> Iterator[memoryview]:
    flat = tensor.contiguous().view(-1)
    for first in range(0, flat.numel(), CHUNK):
        part = flat[first : first + CHUNK]
        yield part.cpu().numpy().data.cast("B")
        store.release(part)


@contextlib.contextmanager
def _complaining(path: Path) -> Iterator[None]:
    """Whatever goes wrong in reading is one clear line."""
    try:
        yield
    except RecipeError:
        raise
    except FileNotFoundError as error:
        raise RecipeError(f"{path}: there is no such checkpoint. Begin without --resume.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, ImpastoError) as error:
        raise RecipeError(f"{path} is no checkpoint that can be used: {error}. Begin without --resume.") from error
