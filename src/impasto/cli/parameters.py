"""Parameters that several commands share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import CoercionError, Parameter, Token

from impasto.config.run_options import CHECKPOINT_INTERVAL_S, FILM_S
from impasto.errors import ConfigError

if TYPE_CHECKING:
    from impasto.jobs import JobStore

__all__ = [
    "CheckpointInterval",
    "CheckpointParameters",
    "DataDir",
    "Json",
    "MaskParameters",
    "MovedContent",
    "MovedStyles",
    "On",
    "Output",
    "OutputParameters",
    "Preset",
    "Quiet",
    "Weights",
    "Whole",
    "open_store",
    "parse_whole",
]


def parse_whole(kind: Any, tokens: Sequence[Token]) -> Any:
    """Parse a whole number, or `auto` where a value may be left open. Cyclopts by itself rounds 3.5 to 4."""
    text = tokens[0].value
    try:
        return "auto" if text == "auto" and kind is not int else int(text)
    except ValueError:
        raise CoercionError(token=tokens[0], target_type=kind) from None


Whole = Annotated[int, Parameter(converter=parse_whole)]
Output = Annotated[
    Path | None,
    Parameter(
        name=["-o", "--output"],
        help="File to write: .png, .jpg, .webp, .tif or .exr. Default: a new name made from the inputs.",
    ),
]
Preset = Annotated[str, Parameter(help="Name of a preset, or a FILE.toml. Other options override it.")]
Json = Annotated[
    bool, Parameter(name="--json", negative="", help="Print one JSON object on stdout, and all messages on stderr.")
]
Quiet = Annotated[bool, Parameter(negative="", help="Print only errors.")]
On = Annotated[
    str,
    Parameter(
        help="Where to compute: local; ray, a Ray started on this machine; or the address of a Ray cluster, such as "
        "ray://HOST:10001, or auto on one of its machines."
    ),
]
Weights = Annotated[Path | None, Parameter(help="Weights file to use in place of the network's own.")]
MovedContent = Annotated[Path | None, Parameter(help="The content image, if it was moved.")]
MovedStyles = Annotated[
    list[Path] | None, Parameter(help="The style image, if it was moved; give each of several.", negative="")
]
DataDir = Annotated[
    Path | None, Parameter(help="Folder of the queue. Default: IMPASTO_DATA, or the user's data folder.")
]
CheckpointInterval = Annotated[
    float, Parameter(help="Seconds between checkpoints: a crashed worker loses at most this much work.")
]


@Parameter(name="*")
@dataclass(frozen=True)
class OutputParameters:
    """The files and messages of a run."""

    output: Output = None
    preset: Preset = "painterly"
    timelapse: Annotated[
        Path | None,
        Parameter(help="Write a film of the run, from noise to picture: .mp4 (needs impasto[video]), .webp or .gif."),
    ] = None
    timelapse_seconds: Annotated[
        float | None, Parameter(help=f"Length of the film in seconds. [default: {FILM_S:g}]")
    ] = None
    report: Annotated[
        bool, Parameter(negative="", help="Write an HTML report beside the picture, with loss curves.")
    ] = False
    json: Json = False
    quiet: Quiet = False
    verbose: Annotated[bool, Parameter(negative="", help="Also print which plan was chosen, and why.")] = False


@Parameter(name="*")
@dataclass(frozen=True)
class MaskParameters:
    """Masks, and a file of weights."""

    content_mask: Annotated[
        list[Path] | None,
        Parameter(
            help="Gray FILE that is white where a style applies; soft edges blend. Give one for each style, or pairs "
            "with --style-mask. Areas outside all masks stay unchanged. Or one FILE that labels regions by color.",
            negative="",
        ),
    ] = None
    style_mask: Annotated[
        list[Path] | None,
        Parameter(help="Part of a style to use for a region: a gray FILE, or labels in the same colors.", negative=""),
    ] = None
    protect: Annotated[Path | None, Parameter(help="Gray FILE that is white where the photo stays unchanged.")] = None
    weights: Weights = None

    def as_options(self) -> dict[str, Any]:
        """Return the files as keyword arguments of `prepare_run`."""
        masks = {"content_masks": self.content_mask or (), "style_masks": self.style_mask or ()}
        return masks | {"protect": self.protect, "weights": self.weights}


@Parameter(name="*")
@dataclass(frozen=True)
class CheckpointParameters:
    """Checkpoints of a run."""

    checkpoint: Annotated[
        Path | None, Parameter(help="Save the run's state in FILE at intervals, to continue after an interruption.")
    ] = None
    checkpoint_every: Annotated[
        float | None, Parameter(help=f"Seconds between checkpoints. [default: {CHECKPOINT_INTERVAL_S:g}]")
    ] = None
    resume: Annotated[
        bool, Parameter(negative="", help="Continue from the checkpoint if it exists; the pixels are the same.")
    ] = False


def open_store(data_dir: Path | None) -> JobStore:
    """Open the queue in this folder, in IMPASTO_DATA, or in the user's data folder.

    Raises `JobError`, `ConfigError` if this user has no home folder.
    """
    from platformdirs import user_data_path

    from impasto.jobs import JobStore

    folder = data_dir or os.environ.get("IMPASTO_DATA")
    try:
        return JobStore(Path(folder).expanduser() if folder else user_data_path("impasto"))
    except RuntimeError as error:  # such as an unknown user id in a container
        raise ConfigError("This user has no home folder. Give --data-dir FOLDER, or set IMPASTO_DATA.") from error
