"""One run as a person sees it: output checked first, progress shown, Ctrl-C obeyed, nothing lost."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from pathlib import Path

from impasto import images
from impasto.cli.checkpointing import Checkpointing
from impasto.cli.progress import announce, display, errors, pull_missing
from impasto.cli.run_outputs import RunOutputs
from impasto.cli.signals import signals
from impasto.config.roles import pictures_by_role
from impasto.core.method import Progress, render
from impasto.core.tensor_store import RamStore
from impasto.engine.allocation import keep_freed_memory
from impasto.errors import OutputError
from impasto.files import require_distinct
from impasto.run.recipe import Stop
from impasto.run.run import Result, Run
from impasto.samples.sources import SAMPLE

__all__ = ["free_name", "paint", "stem_of"]

LONGEST_STEM = 180
"""Bytes. Files may have names of 255, and ours get an ending and a number."""


def free_name(stem: str, suffix: str = ".png") -> Path:
    """A file that does not exist yet: `stem.png`, `stem_2.png`, …"""
    candidate, number = Path(f"{stem}{suffix}"), 1
    while os.path.lexists(candidate):
        number += 1
        candidate = Path(f"{stem}_{number}{suffix}")
    return candidate


def stem_of(*names: str) -> str:
    """A short and harmless stem for a file made from these."""
    joined = "_".join(Path(name.removeprefix(SAMPLE)).stem[:80] for name in names)
    clean = re.sub(r"[^\w.+-]", "_", joined).lstrip("-")
    return clean.encode()[:LONGEST_STEM].decode(errors="ignore") or "picture"


def _check_inputs(session: Run, written: list[Path]) -> None:
    """Find out before anything is fetched or painted: an input that is none, or that would be replaced."""
    pictures = pictures_by_role(session.inputs).values()
    require_distinct(written, [*pictures, session.inputs.weights])
    for picture in pictures:
        images.sha256_of(picture)


def paint(
    session: Run,
    output: Path | None,
    *,
    stem: str,
    suffix: str = ".png",
    json_output: bool = False,
    quiet: bool = False,
    stop: Stop | None = None,
    keepsakes: RunOutputs | None = None,
    saving: Checkpointing | None = None,
) -> int:
    """Run `session` and write its picture to `output`, or to a free name made of `stem`.

    The exit status is 0, or 128 plus the signal that stopped it; then the picture so far was written.
    """
    run, config = session.run, session.config
    keepsakes, saving = keepsakes or RunOutputs(), saving or Checkpointing()
    keep_freed_memory()
    progress: Progress | None = None
    with contextlib.ExitStack() as stack:
        # From the start: what is raised inside a callback of libvips is lost, and must be remembered.
        caught = stack.enter_context(signals())
        images.require_output(output or free_name(stem, suffix), bits=run.bits)
        place = output or free_name(stem, suffix)
        kept = [saving.path] if saving.path is not None else []
        _check_inputs(session, [place, *keepsakes.check(place), *kept])
        announce(session, quiet=quiet)
        if session.inputs.weights is None:
            pull_missing(config.network, quiet=quiet)
        bar = stack.enter_context(display(quiet=quiet))
        steps = session.steps(saving.since)
        if saving.since is not None and keepsakes.film is not None and not quiet:
            errors.print("impasto: the film begins where the run goes on")
        for number, progress in enumerate(steps, start=1):
            if number == 1:
                full = progress.scene.scales[-1]
                images.require_output(
                    output or free_name(stem, suffix), bits=run.bits, height=full.height, width=full.width
                )
                caught.painting = True
            bar.show(progress)
            keepsakes.saw(progress)
            saving.saw(progress, session)
            if run.save_every and number % run.save_every == 0:
                _snapshot(progress, output or Path(f"{stem}{suffix}"), number, run.quality)
            if caught.signal or (stop and stop.is_at(progress.scale, progress.iteration)):
                break
        assert progress is not None  # a plan has at least one step
        if caught.signal and not progress.is_last:
            if not quiet:
                errors.print("stopping: writing the picture so far (again to give up)")
            saving.keep(progress, session)
        result = session.finish(progress)
        written = _save(result, output or free_name(stem, suffix))
        if progress.is_last:
            saving.done()
        try:
            beside = keepsakes.write(result, session, written)
        except OutputError as error:
            raise OutputError(f"{error} The picture is there: {written}") from error
    _report(result, written, beside, json_output=json_output, quiet=quiet)
    return 128 + caught.signal if caught.signal else 0


def _save(result: Result, path: Path) -> Path:
    """Write the picture; if its place fails now, keep it somewhere else and say where."""
    try:
        return result.save(path)
    except OutputError as error:
        kept = _keep_elsewhere(result, path.name)
        if kept is None:
            raise
        raise OutputError(f"{error} The picture was kept as {kept}") from error


def _keep_elsewhere(result: Result, name: str) -> Path | None:
    with contextlib.suppress(OSError):
        folder = Path(tempfile.mkdtemp(prefix="impasto-"))
        try:
            return result.save(folder / name)
        except OSError:
            folder.rmdir()
    return None


def _snapshot(progress: Progress, output: Path, number: int, quality: int) -> None:
    _, pixels = render(progress, RamStore())
    path = free_name(str(output.with_name(f"{output.stem}-{number:04d}")), output.suffix)
    try:
        images.save(path, pixels, progress.scene.content.alpha, quality=quality)
    except OutputError as error:  # a snapshot that fails is no reason to lose the run
        errors.print(f"impasto: {error}")


def _report(result: Result, path: Path, beside: list[Path], *, json_output: bool, quiet: bool) -> None:
    height, width = result.image.shape[2:]
    if json_output:
        recipe = result.recipe
        report = {
            "output": str(path),
            "beside": [str(place) for place in beside],
            "width": width,
            "height": height,
            "losses": result.losses,
            "iterations": result.iterations,
            "evaluations": result.evaluations,
            "seconds": round(result.seconds, 3),
            "seed": recipe.config.seed,
            "device": recipe.plan.device,
            "network": recipe.config.network,
            "weights_sha256": recipe.weights_sha256,
            "config": recipe.config.model_dump(mode="json"),
            "stopped": recipe.stopped.model_dump() if recipe.stopped else None,
        }
        print(json.dumps(report))
    elif not quiet:
        losses = result.losses
        print(
            f"{path}  {width}x{height} px in {result.seconds:.0f} s  "
            f"total {losses['total']:.4g} = content {losses['content']:.4g}, style {losses['style']:.4g}"
        )
        for place in beside:
            print(place)
