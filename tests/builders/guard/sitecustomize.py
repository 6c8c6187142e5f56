"""An audit hook that keeps unmarked tests from loading pretrained weights, and from starting a browser or Ray.

Python imports this module at startup in child processes, which have its folder on their PYTHONPATH.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

REFUSED = "IMPASTO_TEST_REFUSED"
"""The environment variable that lists refused markers, and refused files as `marker=path`."""

PROGRAMS = {"gcs_server": "cluster", "raylet": "cluster", "playwright": "browser"}
"""Parts of program paths, each with the marker that allows the program to start."""


def audit(event: str, arguments: tuple[object, ...]) -> None:
    """Raise `RuntimeError` for a refused file or program."""
    if event not in ("open", "subprocess.Popen") or not (refused := os.environ.get(REFUSED)):
        return
    name, entries = str(arguments[0]), refused.split(os.pathsep)
    if event == "open":
        paths = [entry.split("=", 1) for entry in entries if "=" in entry]
        markers = [marker for marker, path in paths if name.startswith(path)]
    else:
        markers = [PROGRAMS[part] for part in Path(name).parts if PROGRAMS.get(part) in entries]
    if markers:
        raise RuntimeError(f"{name} is used by a test without the marker {markers[0]}: mark it, or do without")


def install() -> None:
    """Audit this process."""
    sys.addaudithook(audit)


if REFUSED in os.environ:
    install()
