"""Jobs of the studio within ComfyUI: its progress bar, its previews, its cancel button."""

from __future__ import annotations

import contextlib
import io
import os
from typing import Any

from impasto_client import DEFAULT_URL, Client, Failed, Job, JobFailedError, Preview, Progress, StudioError
from PIL import Image

from .convert import png_to_array

__all__ = ["ask_version", "connect", "paint"]

POLL_S = 0.25
"""Maximum seconds until a click on cancel is noticed."""

PREVIEW_PX = 512


def connect(options: dict[str, Any]) -> Client:
    """Return the studio of the options, or of IMPASTO_URL. Its token is never part of a workflow, which is shared."""
    url = options.get("url") or os.environ.get("IMPASTO_URL") or DEFAULT_URL
    return Client(url, os.environ.get("IMPASTO_TOKEN") or None)


def ask_version(options: dict[str, Any]) -> str:
    """Return the version of the studio, or nothing if none answers."""
    try:
        return connect(options).check()
    except StudioError:
        return ""


def paint(jobs: list[Job]) -> list[Any]:
    """Wait for jobs and return their pictures as arrays. If ComfyUI cancels, or one fails, all are cancelled."""
    # Only ComfyUI has these modules.
    import comfy.model_management
    import comfy.utils

    bar = comfy.utils.ProgressBar(1000 * len(jobs))
    try:
        pictures = []
        for number, job in enumerate(jobs):
            preview = None
            for event in job.watch(every_s=POLL_S):
                comfy.model_management.throw_exception_if_processing_interrupted()
                if isinstance(event, Preview):
                    preview = ("JPEG", Image.open(io.BytesIO(event.jpeg)), PREVIEW_PX)
                if isinstance(event, Progress):  # the bar raises an exception, too, if ComfyUI cancels
                    bar.update_absolute(round(1000 * (number + event.fraction)), preview=preview)
                    preview = None
                if isinstance(event, Failed):
                    raise JobFailedError(f"Impasto: {event.message}")
            pictures.append(png_to_array(job.result()))
            bar.update_absolute(1000 * (number + 1))
        return pictures
    except BaseException:
        for job in jobs:
            with contextlib.suppress(StudioError):  # it has ended, or the studio is gone
                job.cancel()
        raise
