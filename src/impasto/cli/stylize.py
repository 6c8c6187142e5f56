"""`impasto stylize` and `impasto demo`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from impasto.cli.checkpointing import EVERY_S, Checkpointing
from impasto.cli.parameters import with_options
from impasto.cli.progress import errors
from impasto.cli.run_command import paint, stem_of
from impasto.cli.run_outputs import RunOutputs
from impasto.config import Config, RunOptions
from impasto.config.presets import load_preset
from impasto.distributed import LOCAL, connected
from impasto.render.film import SECONDS
from impasto.run.run import Run, prepare_run
from impasto.samples.sources import resolve_picture

__all__ = ["demo", "stylize"]

Output = Annotated[
    Path | None,
    Parameter(
        name=["-o", "--output"],
        help="File to write: .png, .jpg, .webp or .tif. Without it a new name is made from the inputs.",
    ),
]
Preset = Annotated[str, Parameter(help="A preset's name, or a FILE.toml. Other options override it.")]
Json = Annotated[
    bool, Parameter(name="--json", negative="", help="Print one JSON object on stdout, all else on stderr.")
]
On = Annotated[
    str,
    Parameter(
        help="Where it is painted: local; ray, one of our own on this machine; or a Ray cluster's address, such as "
        "ray://HOST:10001, or auto on one of its machines."
    ),
]
Quiet = Annotated[bool, Parameter(negative="", help="Print nothing but errors.")]
Timelapse = Annotated[
    Path | None,
    Parameter(help="Write a film of noise becoming the picture: .mp4 (needs impasto[video]), .webp or .gif."),
]
TimelapseSeconds = Annotated[float | None, Parameter(help=f"How long the film is. [default: {SECONDS:g}]")]
WithReport = Annotated[
    bool,
    Parameter(name="--report", negative="", help="Write a report beside the picture: one HTML file, curves and all."),
]


@with_options(Config, RunOptions)
def stylize(
    content: Annotated[str, Parameter(help="What is depicted: a picture's file, or sample:NAME.")],
    style: Annotated[
        list[str], Parameter(help="How it looks: a picture's file, or sample:NAME. Several are blended.", negative="")
    ],
    /,
    *,
    output: Output = None,
    preset: Preset = "painterly",
    content_mask: Annotated[
        list[Path] | None,
        Parameter(
            help="Where a style goes: a gray FILE, white there; soft edges blend. Once for each style, or in pairs "
            "with --style-mask. What no mask covers stays as it is. Or one FILE that labels regions by color.",
            negative="",
        ),
    ] = None,
    style_mask: Annotated[
        list[Path] | None,
        Parameter(help="The part of a style that a region is painted from, or labels of the same colors.", negative=""),
    ] = None,
    protect: Annotated[Path | None, Parameter(help="What stays as it is: a gray FILE, white there.")] = None,
    weights: Annotated[Path | None, Parameter(help="A file of weights in place of the network's own.")] = None,
    timelapse: Timelapse = None,
    timelapse_seconds: TimelapseSeconds = None,
    report: WithReport = False,
    checkpoint: Annotated[
        Path | None, Parameter(help="Keep the run's whole state in FILE, to go on from after anything.")
    ] = None,
    checkpoint_every: Annotated[
        float | None, Parameter(help=f"Seconds between checkpoints. [default: {EVERY_S:g}]")
    ] = None,
    resume: Annotated[
        bool, Parameter(negative="", help="Go on from the checkpoint, if there is one: the same pixels in the end.")
    ] = False,
    on: On = LOCAL,
    json: Json = False,
    quiet: Quiet = False,
    **options: Any,
) -> int:
    """Paint CONTENT in the manner of STYLE."""
    config = load_preset(preset)
    size_px = options.get("size", config.size)
    styles = [resolve_picture(name, size_px) for name in style]
    ready = prepare_run(
        resolve_picture(content, size_px),
        styles,
        config,
        content_masks=content_mask or (),
        style_masks=style_mask or (),
        protect=protect,
        weights=weights,
        **options,
    )
    keepsakes = RunOutputs(timelapse, timelapse_seconds, report)
    saving = Checkpointing(checkpoint, resume, checkpoint_every)
    saving.open()
    if saving.since is not None:
        ready = replace(ready, recorded_plan=saving.since.recipe.plan)
    stem = stem_of(content, *style)
    with _spread(ready, on, quiet=quiet) as spreading:
        return paint(spreading, output, stem=stem, json_output=json, quiet=quiet, keepsakes=keepsakes, saving=saving)


@contextlib.contextmanager
def _spread(ready: Run, on: str, *, quiet: bool) -> Iterator[Run]:
    """The same session, its tiles measured where `on` says."""
    if on == LOCAL:
        yield ready
        return
    with connected(on) as cluster:
        from impasto.distributed.tile_backend import spread

        with spread(ready, cluster, tell=lambda told: errors.print(f"impasto: {told}")) as (spreading, team):
            if not quiet:
                errors.print(f"in {spreading.plan.block} px blocks by {team.count} actors on {cluster.nodes} machines")
            yield spreading


@with_options(Config, RunOptions)
def demo(
    *,
    output: Output = None,
    preset: Preset = "painterly",
    timelapse: Timelapse = None,
    timelapse_seconds: TimelapseSeconds = None,
    report: WithReport = False,
    json: Json = False,
    quiet: Quiet = False,
    **options: Any,
) -> int:
    """Paint a photo that ships with Impasto in a style drawn by its own code."""
    config = load_preset(preset)
    size_px = options.get("size", config.size)
    photo, painting = resolve_picture("sample:cat", size_px), resolve_picture("sample:swirl", size_px)
    return paint(
        prepare_run(photo, painting, config, **options),
        output,
        stem="impasto_demo",
        json_output=json,
        quiet=quiet,
        keepsakes=RunOutputs(timelapse, timelapse_seconds, report),
    )
