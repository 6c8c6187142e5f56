"""Parameters that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from platformdirs import user_data_path

from impasto.errors import ConfigError
from impasto.jobs import JobStore

__all__ = [
    "CheckpointInterval",
    "ContentMasks",
    "DataDir",
    "Json",
    "MovedContent",
    "MovedStyles",
    "On",
    "Output",
    "Preset",
    "Protect",
    "Quiet",
    "Report",
    "StyleMasks",
    "Timelapse",
    "TimelapseSeconds",
    "Verbose",
    "Weights",
    "open_store",
]

Output = Annotated[
    Path | None,
    Parameter(
        name=["-o", "--output"],
        help="File to write: .png, .jpg, .webp or .tif. Default: a new name made from the inputs.",
    ),
]
Preset = Annotated[str, Parameter(help="Name of a preset, or a FILE.toml. Other options override it.")]
Json = Annotated[
    bool, Parameter(name="--json", negative="", help="Print one JSON object on stdout, and all messages on stderr.")
]
Quiet = Annotated[bool, Parameter(negative="", help="Print only errors.")]
Verbose = Annotated[bool, Parameter(negative="", help="Also print which plan was chosen, and why.")]
On = Annotated[
    str,
    Parameter(
        help="Where to compute: local; ray, a Ray started on this machine; or the address of a Ray cluster, such as "
        "ray://HOST:10001, or auto on one of its machines."
    ),
]
Timelapse = Annotated[
    Path | None,
    Parameter(help="Write a film of the run, from noise to picture: .mp4 (needs impasto[video]), .webp or .gif."),
]
TimelapseSeconds = Annotated[float | None, Parameter(help="Length of the film in seconds. [default: 6]")]
Report = Annotated[
    bool, Parameter(name="--report", negative="", help="Write an HTML report beside the picture, with loss curves.")
]
Weights = Annotated[Path | None, Parameter(help="Weights file to use in place of the network's own.")]
ContentMasks = Annotated[
    list[Path] | None,
    Parameter(
        help="Gray FILE that is white where a style applies; soft edges blend. Give one for each style, or pairs with "
        "--style-mask. Areas outside all masks stay unchanged. Or one FILE that labels regions by color.",
        negative="",
    ),
]
StyleMasks = Annotated[
    list[Path] | None,
    Parameter(help="Part of a style to use for a region: a gray FILE, or labels in the same colors.", negative=""),
]
Protect = Annotated[Path | None, Parameter(help="Gray FILE that is white where the photo stays unchanged.")]
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


def open_store(data_dir: Path | None) -> JobStore:
    """Open the queue in this folder, in IMPASTO_DATA, or in the user's data folder.

    Raises `JobError`, `ConfigError` if this user has no home folder.
    """
    folder = data_dir or os.environ.get("IMPASTO_DATA")
    try:
        return JobStore(Path(folder).expanduser() if folder else user_data_path("impasto"))
    except RuntimeError as error:  # such as an unknown user id in a container
        raise ConfigError("This user has no home folder. Give --data-dir FOLDER, or set IMPASTO_DATA.") from error
