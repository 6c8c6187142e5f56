"""Requests of clients as runs: options checked, and references resolved to pictures."""

from __future__ import annotations

from collections.abc import Callable

from impasto.config import Config, RunOptions
from impasto.config.presets import PRESETS, load_preset
from impasto.config.run_options import BUILT_IN_PROFILES
from impasto.images import NamedImage
from impasto.jobs import JobError
from impasto.run import Run, prepare_run
from impasto.studio.options import RUN
from impasto.studio.pictures import profile_name
from impasto.studio.schemas import PaintRequest, PictureRef

__all__ = ["build_run", "read_config", "read_run_options"]

OpenPicture = Callable[[PictureRef], NamedImage]
"""A function that returns the picture of a reference, or raises `ImpastoError`."""


def read_config(request: PaintRequest) -> Config:
    """Return the options of a request: those of its preset, overridden by its own. Raises `ImpastoError`."""
    if request.preset not in PRESETS:  # never a path
        raise JobError(f"There is no preset {request.preset!r}. Use one of {', '.join(PRESETS)}.")
    options = {name: value for name, value in request.config.items() if value != ""}  # empty fields of the form
    return Config(**(load_preset(request.preset).model_dump() | options))


def read_run_options(request: PaintRequest) -> RunOptions:
    """Return the run options of a request. Raises `JobError` for those that only the studio's owner may set."""
    if refused := ", ".join(sorted(request.run.keys() - set(RUN))):
        raise JobError(f"{refused} cannot be set from the page. Allowed options are {', '.join(RUN)}.")
    if request.profile is not None:
        if "profile" in request.run:
            raise JobError("profile and run.profile both set the color profile. Leave one of them out.")
        return RunOptions(**request.run | {"profile": profile_name(request.profile.name)})
    options = RunOptions(**request.run)
    if options.profile not in BUILT_IN_PROFILES:  # never a path
        choice = ", ".join(BUILT_IN_PROFILES)
        raise JobError(f"There is no profile {options.profile!r}. Use one of {choice}, or upload the file.")
    return options


def build_run(
    request: PaintRequest, config: Config, options: RunOptions, open_picture: OpenPicture, open_mask: OpenPicture
) -> Run:
    """Build the run of a request from its pictures. Raises `ImpastoError` if they and the options do not fit."""
    run = prepare_run(
        open_picture(request.content),
        [open_picture(ref) for ref in request.styles],
        config,
        content_masks=[open_mask(ref) for ref in request.content_masks],
        style_masks=[open_mask(ref) for ref in request.style_masks],
        protect=open_mask(request.protect) if request.protect is not None else None,
        **({"init": open_picture(request.init)} if request.init is not None else {}),
        **options.model_dump(exclude_defaults=True),
    )
    run.workload  # noqa: B018 - raises an error if pictures and options do not fit together
    return run
