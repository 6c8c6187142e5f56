"""`impasto score`."""

from __future__ import annotations

import json as json_format
from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from impasto import images
from impasto.cli.console import print_table, pull_missing
from impasto.cli.parameters import Json
from impasto.config.run_options import MAX_MEGAPIXELS
from impasto.config.wrap import Wrap
from impasto.metrics.score import MEANINGS, WEIGHTS, load_score_inputs, load_score_networks, score_images
from impasto.samples.sources import resolve_picture

__all__ = ["score"]

SAMPLE_PX = 512
"""Long side of a sample painting that is scored itself."""


def score(
    content: Annotated[
        str,
        Parameter(
            help="The photo: a file, - for standard input, or sample:NAME. It is stretched to the aspect ratio of "
            "IMAGE if they differ."
        ),
    ],
    style: Annotated[str, Parameter(help="The painting: a file, - for standard input, or sample:NAME.")],
    image: Annotated[str, Parameter(help="The picture to score: a file of any size, written by any program.")],
    /,
    *,
    max_megapixels: Annotated[
        float, Parameter(help="Refuse pictures with more pixels, before decoding them.")
    ] = MAX_MEGAPIXELS,
    wrap: Annotated[Wrap, Parameter(help="Edges of IMAGE that are to meet: x, y or both. For the seam.")] = "none",
    json: Json = False,
) -> int:
    """Score IMAGE against CONTENT and STYLE with networks that it was not optimized for.

    Lower is better. Missing weights are downloaded first.
    """
    picture = images.open_image(resolve_picture(image, SAMPLE_PX), max_megapixels=max_megapixels)
    size_px = max(picture.size)
    inputs = load_score_inputs(
        resolve_picture(content, size_px),
        resolve_picture(style, size_px),
        picture,
        max_megapixels=max_megapixels,
        wrap=wrap,
    )
    for name in WEIGHTS:
        pull_missing(name)
    scores = asdict(score_images(inputs, load_score_networks()))
    if json:
        print(json_format.dumps(scores))
        return 0
    print_table((name, f"{value:.3f}", MEANINGS[name]) for name, value in scores.items())
    return 0
