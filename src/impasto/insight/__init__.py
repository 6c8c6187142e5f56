"""See what the network sees: features, style and content apart, how they recombine, and how good a picture is.

Every view is made of the core's own pieces, and gives an image tensor (1, 3, H, W), or a `Wall` that is still to be
painted.
"""

from impasto.insight.charts import chart
from impasto.insight.features import features
from impasto.insight.film import Film, View
from impasto.insight.gram import GramView, distance, gram
from impasto.insight.heat import heat
from impasto.insight.lpips import lpips
from impasto.insight.mixing import Swept, parse_over, recombine, sweep
from impasto.insight.report import Report, command_of, write_report
from impasto.insight.score import MEANINGS, Score, score
from impasto.insight.sheet import Cell, lay_out
from impasto.insight.stages import reconstruct, texture
from impasto.insight.wall import Panel, Standing, Wall

__all__ = [
    "MEANINGS",
    "Cell",
    "Film",
    "GramView",
    "Panel",
    "Report",
    "Score",
    "Standing",
    "Swept",
    "View",
    "Wall",
    "chart",
    "command_of",
    "distance",
    "features",
    "gram",
    "heat",
    "lay_out",
    "lpips",
    "parse_over",
    "recombine",
    "reconstruct",
    "score",
    "sweep",
    "texture",
    "write_report",
]
