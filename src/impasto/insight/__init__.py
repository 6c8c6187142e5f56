"""See what the network sees: features, style and content apart, how they recombine, and how good a picture is.

Every view is made of the core's own pieces, and gives an image tensor (1, 3, H, W), or a `RunGrid` that is still to be
painted.
"""

from impasto.insight.features import features
from impasto.insight.gram import GramView, distance, gram
from impasto.insight.reconstructions import reconstruct, texture
from impasto.insight.report import Report, command_of, write_report
from impasto.insight.run_grid import GridCell, GridProgress, RunGrid
from impasto.insight.sweeps import Sweep, parse_sweep, recombine, sweep
from impasto.metrics.lpips import lpips
from impasto.metrics.score import MEANINGS, Score, score
from impasto.render.chart import draw_chart
from impasto.render.film import Film, Frame
from impasto.render.grid import Cell, draw_grid
from impasto.render.heatmap import heatmap

__all__ = [
    "MEANINGS",
    "Cell",
    "Film",
    "Frame",
    "GramView",
    "GridCell",
    "GridProgress",
    "Report",
    "RunGrid",
    "Score",
    "Sweep",
    "command_of",
    "distance",
    "draw_chart",
    "draw_grid",
    "features",
    "gram",
    "heatmap",
    "lpips",
    "parse_sweep",
    "recombine",
    "reconstruct",
    "score",
    "sweep",
    "texture",
    "write_report",
]
