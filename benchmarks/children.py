"""Measurements in a fresh process, whose memory and start-up are its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from impasto.process import set_environment


def run_child(code: str, *arguments: str, label: str) -> dict[str, Any]:
    """Run Python code that prints one JSON object, and return it. Ends this program with `label` if it fails."""
    set_environment()  # the child inherits it
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{label} failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
