"""Previews of a run: small pictures of its steps, made as often as their cost allows."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from impasto.core.method import Progress, render_thumbnail
from impasto.images import encode_jpeg
from impasto.run.run import Run

__all__ = ["PreviewObserver"]

QUALITY = 80

MIN_INTERVAL_S = 0.25
"""Minimum interval between previews."""


@dataclass
class PreviewObserver:
    """An observer that passes on small JPEGs of the picture as it would be if the run ended at their steps.

    `show` is called with the run, the step and the JPEG; its time counts as the preview's. Previews take at most
    `max_time_share` of the run's time.
    """

    show: Callable[[Run, Progress, bytes], None]
    long_side_px: int
    max_time_share: float = 0.02
    next_s: float = field(default=0.0, init=False)

    def __call__(self, run: Run, progress: Progress) -> None:
        """Make a preview of this step if enough time has passed, or if it is the last step."""
        started_s = time.monotonic()
        if started_s < self.next_s and not progress.is_last:
            return
        small = render_thumbnail(progress, self.long_side_px, run.engine.store)
        self.show(run, progress, encode_jpeg(small, quality=QUALITY))
        cost_s = time.monotonic() - started_s
        self.next_s = started_s + max(MIN_INTERVAL_S, cost_s / self.max_time_share)
