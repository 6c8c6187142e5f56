"""A style loss in an installed package, whose steps are slow while a file exists: they wait, and use no processor.

So a run can be stopped halfway without being long.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from torch import Tensor

from impasto.config.style_losses import STYLE_LOSS_NAMES
from impasto.core.statistics import Moments, gram_matrix

NAME, FILE = "slow-gram", "IMPASTO_TEST_SLOW"
"""The name of the loss, and the environment variable with the path of the file."""

SLOW_STEPS = ["--style-loss", NAME, "--iterations", "20"]
"""Options of a run that takes about 20 s while the file exists, and 2 s otherwise."""


def slow_gram(moments: Moments) -> Tensor:
    """Compute the Gram matrix, after a while if the file exists."""
    if Path(os.environ[FILE]).exists():
        time.sleep(0.1)  # once for each layer
    return gram_matrix(moments)


def set_slow(slow: bool) -> None:
    """Make the steps of all runs with this loss slow, or normal again."""
    file = Path(os.environ[FILE])
    file.touch() if slow else file.unlink(missing_ok=True)


def register() -> None:
    """Let this process use the loss without installing it."""
    STYLE_LOSS_NAMES.register(NAME, f"{__name__}:{slow_gram.__name__}")


def install(folder: Path) -> None:
    """Install the package in a folder."""
    metadata = folder / "slow_gram-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: slow_gram\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[impasto.style_losses]\n{NAME} = {__name__}:{slow_gram.__name__}\n")


def environment(folder: Path) -> dict[str, str]:
    """Return the variables of processes that know the loss, installed in this folder."""
    paths = [str(folder), str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, paths)), FILE: str(folder / "slow")}
