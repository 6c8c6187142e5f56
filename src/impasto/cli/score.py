"""`impasto score`: how good a picture is, in numbers."""

from __future__ import annotations

import json as json_format
from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from impasto import images
from impasto.cli.console import pull_missing
from impasto.cli.parameters import Json
from impasto.metrics.score import MEANINGS, WEIGHTS, load_score_inputs, load_score_networks, score_images
from impasto.samples.sources import resolve_picture

__all__ = ["score"]

SAMPLE_PX = 512
"""Long side of a painting that ships, where it is the picture to be scored."""


def score(
    content: Annotated[
        str,
        Parameter(
            help="What is depicted: a picture's file, or sample:NAME. One of another aspect is stretched to IMAGE."
        ),
    ],
    style: Annotated[str, Parameter(help="How it should look: a picture's file, or sample:NAME.")],
    image: Annotated[str, Parameter(help="The picture to score: a file of any size, by whatever program.")],
    /,
    *,
    max_megapixels: Annotated[float, Parameter(help="Pictures that claim more pixels are refused.")] = 250.0,
    json: Json = False,
) -> int:
    """Score IMAGE against CONTENT and STYLE, on networks that it was not optimized against.

    Lower is better. Weights that are not here yet are fetched first.
    """
    picture = resolve_picture(image, SAMPLE_PX)
    size_px = max(images.dimensions(picture, max_megapixels=max_megapixels))
    inputs = load_score_inputs(
        resolve_picture(content, size_px), resolve_picture(style, size_px), picture, max_megapixels=max_megapixels
    )
    for name in WEIGHTS:
        pull_missing(name)
    found = asdict(score_images(inputs, load_score_networks()))
    if json:
        print(json_format.dumps(found))
        return 0
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in found.items():
        table.add_row(name, f"{value:.3f}", MEANINGS[name])
    Console(highlight=False, soft_wrap=True, markup=False).print(table)
    return 0
