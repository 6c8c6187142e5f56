"""Measurements in a fresh process, whose memory and start-up are its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any


def run_child(code: str, *arguments: str, label: str) -> dict[str, Any]:
    """Run Python code that prints one JSON object, and return it. Ends this program with `label` if it fails."""
    # As in the command line: threads that spin lose most of their time on a machine that is not idle.
    environment = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "10000", "THP_MEM_ALLOC_ENABLE": "1"} | os.environ
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{label} failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
