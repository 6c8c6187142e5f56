"""Scores of pictures for clients, one at a time."""

from __future__ import annotations

import threading
from dataclasses import asdict

from impasto import images, weights
from impasto.errors import ImageError, WeightsError
from impasto.metrics.score import WEIGHTS, score
from impasto.studio.pictures import DEFAULT_SIZE_PX, Pictures
from impasto.studio.schemas import ScoreRequest

__all__ = ["compute_score"]

MAX_MEGAPIXELS = 8.0
"""Limit of a picture to score, in the process that serves the page: one megapixel takes seconds."""

_scoring = threading.Lock()


def compute_score(pictures: Pictures, request: ScoreRequest) -> dict[str, float]:
    """Score a picture. Raises `ImpastoError` if a picture or the networks that judge are missing."""
    if missing := [name for name in WEIGHTS if not weights.is_cached(name)]:
        raise WeightsError(
            f"A score downloads nothing here, and {', '.join(missing)} is missing. "
            f"Get it with: impasto weights pull {' '.join(missing)}"
        )
    content, style, image = (
        pictures.source(ref, DEFAULT_SIZE_PX) for ref in (request.content, request.style, request.image)
    )
    width, height = images.open_image(image).size
    if width * height > MAX_MEGAPIXELS * 1e6:
        raise ImageError(
            f"{image.name} has {width}x{height} px; the studio scores up to {MAX_MEGAPIXELS:g} megapixels. "
            "Use impasto score for it."
        )
    with _scoring:
        return asdict(score(content, style, image, wrap=request.wrap))
