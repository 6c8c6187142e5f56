"""Checkpoints: the whole state of a run in one file, to stop and resume it exactly.

The file is in the safetensors format: a JSON header, then the numbers. It is written here chunk by chunk, because the
library needs all tensors in memory at once, and a run on disk has more of them than fit. The header holds the recipe
of the run so far, its position, and a hash of everything.
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

from impasto.core.method import ResumePoint
from impasto.core.optimizer_state import OPTIMIZER_STATES
from impasto.core.tensor_store import CHUNK, TensorStore
from impasto.errors import ImpastoError, RecipeError
from impasto.files import atomic_write
from impasto.run.recipe import Recipe

__all__ = ["Checkpoint", "read_checkpoint", "write_checkpoint"]

FORMAT = "impasto-checkpoint-4"
MAX_HEADER_BYTES = 1 << 24

MATCHES = "matches"

_DTYPES = {"F32": torch.float32, "F64": torch.float64, "I32": torch.int32}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


class Checkpoint:
    """A checkpoint file: the recipe of its run and the position reached; `load` reads the tensors."""

    def __init__(self, path: Path, header: Mapping[str, Any], start: int) -> None:
        metadata = json.loads(header["__metadata__"]["impasto"])
        self.path, self._header, self._start = path, header, start
        self.recipe = Recipe.model_validate(metadata["recipe"])
        self.trace_state: list[Any] = metadata["trace"]
        self.position: tuple[int, int] = (metadata["point"]["scale"], metadata["state"]["iteration"])
        self._metadata = metadata

    def require_same_run(self, recipe: Recipe) -> None:
        """Raise `RecipeError` unless `recipe` describes the same run, apart from how its picture is written."""
        mine, advice = self.recipe, "Use the same, or start over without --resume."
        if mine.version != recipe.version:
            raise RecipeError(
                f"{self.path} was written by Impasto {mine.version}, and this is {recipe.version}. Resume with that "
                "version, or start over without --resume."
            )
        for kind, ours, given in (("options", mine.resolved, recipe.resolved), ("plan", mine.plan, recipe.plan)):
            saved = ours.model_dump(mode="json")
            for name, value in given.model_dump(mode="json").items():
                if saved[name] != value:
                    raise RecipeError(
                        f"{self.path} belongs to a run with other {kind}: {name} = {saved[name]}, not {value}. {advice}"
                    )
        hashes = [{role: record.sha256 for role, record in each.inputs.items()} for each in (mine, recipe)]
        if hashes[0] != hashes[1]:
            raise RecipeError(f"{self.path} belongs to a run with other pictures. {advice}")
        if mine.alpha_changes != recipe.alpha_changes:
            raise RecipeError(f"{self.path} belongs to a run with other changes of alpha. {advice}")
        if mine.weights_sha256 != recipe.weights_sha256:
            raise RecipeError(f"{self.path} belongs to a run with other weights. {advice}")

    def load(self, store: TensorStore) -> ResumePoint:
        """Read the tensors into `store`. Raises `RecipeError` if the file is not what was written."""
        tensors: dict[str, Tensor] = {}
        metadata = self._metadata
        digest = _hash_metadata(metadata)
        with _recipe_errors(self.path), self.path.open("rb") as file:
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
        if digest.hexdigest() != metadata["digest"]:
            raise RecipeError(f"{self.path} is damaged: its hash does not match. Start over without --resume.")
        matches = tensors.pop(MATCHES, None)
        state = OPTIMIZER_STATES[self.recipe.config.optimizer].restore(tensors, metadata["state"])
        return ResumePoint(**metadata["point"], state=state, matches=matches)


def write_checkpoint(path: Path, point: ResumePoint, recipe: Recipe, trace: list[Any], store: TensorStore) -> None:
    """Write the state after a step, replacing an older file only when complete. Raises `OutputError`."""
    tensors = point.state.tensors()
    if point.matches is not None:
        tensors |= {MATCHES: point.matches}
    metadata = {
        "format": FORMAT,
        "recipe": recipe.model_dump(mode="json"),
        "trace": trace,
        "point": {name: getattr(point, name) for name in ("scale", "earlier_evaluations", "elapsed_s")},
        "state": point.state.numbers(),
    }
    metadata["digest"] = _hash_all(metadata, tensors, store)
    header: dict[str, Any] = {"__metadata__": {"impasto": json.dumps(metadata)}}
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
            for data in _iter_bytes(tensor, store):
                file.write(data)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read the header of a checkpoint. Raises `RecipeError`: missing, damaged, or of another program."""
    with _recipe_errors(path), path.open("rb") as file:
        header, start = _read_header(file)
        ends = [entry["data_offsets"][1] for _, entry in _entries(header)]
        if not ends or start + max(ends) != path.stat().st_size:
            raise ValueError("it is truncated")
        return Checkpoint(path, header, start)


def _read_header(file: BinaryIO) -> tuple[dict[str, Any], int]:
    size = file.read(8)
    if len(size) < 8 or (length := struct.unpack("<Q", size)[0]) > MAX_HEADER_BYTES:
        raise ValueError("it has no header")
    header = json.loads(file.read(length))
    if json.loads(header["__metadata__"]["impasto"])["format"] != FORMAT:
        raise ValueError("another version wrote it")
    return header, 8 + length


def _entries(header: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((name, entry) for name, entry in header.items() if name != "__metadata__")


def _hash_metadata(metadata: Mapping[str, Any]) -> hashlib.blake2b:
    """Hash all metadata but the digest itself; the tensors' bytes are added to it."""
    rest = {name: value for name, value in metadata.items() if name != "digest"}
    return hashlib.blake2b(json.dumps(rest, sort_keys=True).encode(), digest_size=32)


def _hash_all(metadata: Mapping[str, Any], tensors: Mapping[str, Tensor], store: TensorStore) -> str:
    digest = _hash_metadata(metadata)
    for tensor in tensors.values():
        for data in _iter_bytes(tensor, store):
            digest.update(data)
    return digest.hexdigest()


def _iter_bytes(tensor: Tensor, store: TensorStore) -> Iterator[memoryview]:
    flat = tensor.contiguous().view(-1)
    for first in range(0, flat.numel(), CHUNK):
        part = flat[first : first + CHUNK]
        yield part.cpu().numpy().data.cast("B")
        store.release(part)


@contextlib.contextmanager
def _recipe_errors(path: Path) -> Iterator[None]:
    """Turn anything that goes wrong while reading into a one-line `RecipeError`."""
    try:
        yield
    except RecipeError:
        raise
    except FileNotFoundError as error:
        raise RecipeError(f"{path}: no such checkpoint. Start without --resume.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, ImpastoError) as error:
        raise RecipeError(f"{path} is not a usable checkpoint: {error}. Start over without --resume.") from error
