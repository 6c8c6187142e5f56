"""Runs as jobs: copy a run's pictures into the queue, and add the job."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from impasto.clips.kinds import CLIP_ROLES, is_pattern
from impasto.clips.packed import pack_frames
from impasto.config import Config, Inputs, RunOptions
from impasto.config.roles import kind_of, pictures_by_role
from impasto.config.run_options import BUILT_IN_PROFILES
from impasto.files import ScratchFolder
from impasto.images import NamedImage, get_name, load, load_profile, save
from impasto.jobs.model import Job, JobError
from impasto.jobs.store import JobStore
from impasto.samples.sources import SAMPLE

__all__ = ["key_of", "set_job_alpha", "store_inputs", "store_profile", "store_source", "submit"]


def submit(
    store: JobStore,
    inputs: Inputs,
    config: Config,
    run: RunOptions | None = None,
    *,
    output: str | None = None,
    priority: int = 0,
    profile: Path | None = None,
) -> Job:
    """Add a run to the queue. Its pictures are copied. Raises `ConfigError`, `JobError`, `OutputError`.

    `profile` is the file of its color profile, if the run's options have only the name.
    """
    run = run or RunOptions()
    files = store_inputs(store, inputs) | store_profile(store, run, profile)
    options = config.model_dump(mode="json")
    return store.add(
        options, files, key=key_of(options, files), run=run.model_dump(mode="json"), output=output, priority=priority
    )


def store_inputs(store: JobStore, inputs: Inputs) -> dict[str, dict[str, str | None]]:
    """Copy pictures and weights into the queue's files, and return them by role. Raises `JobError`."""
    sources = pictures_by_role(inputs) | ({"weights": inputs.weights} if inputs.weights is not None else {})
    return {role: store_source(store, source, role) for role, source in sources.items()}


def store_profile(store: JobStore, run: RunOptions, file: Path | None = None) -> dict[str, dict[str, str | None]]:
    """Copy the color profile of a run into the queue's files and return it by its role; nothing for a built-in one.

    `file` is its file, if the run has only the name. Raises `ConfigError` if it cannot be used.
    """
    if run.profile in BUILT_IN_PROFILES:
        return {}
    path, name = file or Path(run.profile), str(get_name(Path(run.profile)))
    load_profile(path, name=name)
    return {"profile": store_source(store, NamedImage(name, path), "profile")}


def key_of(
    config: Mapping[str, Any], inputs: Mapping[str, Mapping[str, str | None]], video: Mapping[str, Any] | None = None
) -> str:
    """Return the hash that identifies a picture: of its options, pictures, weights and color profile.

    `video` are the options of a clip.
    """
    identity = {"config": config, "inputs": {role: file["sha256"] for role, file in inputs.items()}}
    identity |= {} if video is None else {"video": video}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def store_source(store: JobStore, source: Any, role: str) -> dict[str, str | None]:
    """Copy a picture or a clip into the queue's files and return its name and SHA-256.

    Bytes are stored as they are; named pixels without a file, such as samples, are saved as PNG, and numbered frames
    as one archive.
    """
    if isinstance(source, NamedImage) and not isinstance(source.pixels, (str, Path)):
        is_encoded = isinstance(source.pixels, bytes)
        with ScratchFolder(store.folder) as folder:
            path = folder / "pixels.png"
            if is_encoded:
                path.write_bytes(source.pixels)
            else:
                save(path, load(source.pixels).pixels)
            name = source.name if is_encoded or source.name.startswith(SAMPLE) else f"{source.name}.png"
            return {"name": name, "sha256": store.files.add(path)}
    place = source.pixels if isinstance(source, NamedImage) else source
    if not isinstance(place, (str, Path)):
        raise JobError("A job's pictures must be files, so that they are there when it runs. Save the picture first.")
    if kind_of(role) in CLIP_ROLES and (Path(place).is_dir() or is_pattern(Path(place))):
        return {"name": get_name(source), "sha256": _add_frames(store, Path(place))}
    return {"name": get_name(source), "sha256": store.files.add(Path(place))}


def _add_frames(store: JobStore, source: Path) -> str:
    try:
        with ScratchFolder(store.folder) as folder:
            pack_frames(source, folder / "frames.tar")
            return store.files.add(folder / "frames.tar")
    except OSError as error:
        raise JobError(f"{source} cannot be copied into the queue: {error.strerror}.") from error


def set_job_alpha(store: JobStore, number: int, alpha: float) -> Job:
    """Change α of a job from its next step on. Raises `ConfigError`, `JobError`."""
    job = store.get(number)
    if job.video is not None:
        raise JobError(f"Job {number} is a clip, whose α does not change while it is painted. Use keyframes instead.")
    Config(**(job.config | {"alpha": alpha}))  # validates alpha
    return store.set_alpha(number, alpha)
