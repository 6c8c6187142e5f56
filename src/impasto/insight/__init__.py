"""See what the network sees: features, style and content apart, how they recombine, and how good a picture is.

Every view is made of the core's own pieces, and gives an image tensor (1, 3, H, W), or a `Wall` that is still to be
painted.
"""

from impasto.insight.features import features
from impasto.insight.gram import GramView, gram
from impasto.insight.mixing import Swept, parse_over, recombine, sweep
from impasto.insight.score import MEANINGS, Score, score
from impasto.insight.stages import reconstruct, texture
from impasto.insight.wall import Standing, Wall

__all__ = [
    "MEANINGS",
    "GramView",
    "Score",
    "Standing",
    "Swept",
    "Wall",
    "features",
    "gram",
    "parse_over",
    "recombine",
    "reconstruct",
    "score",
    "sweep",
    "texture",
]
