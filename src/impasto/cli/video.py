"""`impasto video`. Its `--help` does not load torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from impasto.cli.options import with_options
from impasto.cli.parameters import Json, Preset, Quiet, Weights
from impasto.config import Config, RunOptions
from impasto.config.video import PICTURES_ONLY, VideoOptions

__all__ = ["video"]

ClipOutput = Annotated[
    Path | None,
    Parameter(
        name=["-o", "--output"],
        help="File to write: .mp4, .mov, .mkv, .webm, .gif or .webp; or a folder, for its frames as PNG. Default: a "
        "new name made from the inputs.",
    ),
]
ClipMask = Annotated[
    list[Path] | None,
    Parameter(
        help="Gray mask that is white where a style applies, one for each style: a picture, or a clip or folder with a "
        "mask for each frame.",
        negative="",
    ),
]


@with_options(VideoOptions, Config, RunOptions, without=PICTURES_ONLY)
def video(
    clip: Annotated[
        Path,
        Parameter(
            help="The clip: a video, an animation, a folder or a pattern of numbered pictures; or a photo, with "
            "--seconds."
        ),
    ],
    style: Annotated[
        list[str],
        Parameter(help="The painting: a file or sample:NAME. Several are blended.", negative=""),
    ],
    /,
    *,
    output: ClipOutput = None,
    preset: Preset = "painterly",
    content_mask: ClipMask = None,
    style_mask: Annotated[
        list[Path] | None, Parameter(help="Part of a style to use for a region: a gray FILE.", negative="")
    ] = None,
    protect: Annotated[
        Path | None, Parameter(help="Gray mask, white where the clip stays unchanged: a picture, a clip or a folder.")
    ] = None,
    weights: Weights = None,
    preview: Annotated[
        bool, Parameter(negative="", help="Paint four frames small, on one sheet, to choose options by.")
    ] = False,
    resume: Annotated[
        bool, Parameter(negative="", help="Continue after an interruption; the frames are the same.")
    ] = False,
    keep_frames: Annotated[bool, Parameter(negative="", help="Keep the folder of frames beside the clip.")] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Annotated[bool, Parameter(negative="", help="Also print which plan was chosen, and why.")] = False,
    **options: Any,
) -> int:
    """Paint CLIP in the manner of STYLE, frame by frame, without flicker."""
    from impasto.cli.clip_work import paint_clip

    masks = {"content_masks": content_mask or (), "style_masks": style_mask or (), "protect": protect}
    return paint_clip(
        clip,
        style,
        options | masks | {"weights": weights},
        output,
        preset=preset,
        preview=preview,
        resume=resume,
        keep_frames=keep_frames,
        json_output=json,
        quiet=quiet,
        verbose=verbose,
    )
