"""Views of what the network sees: features, style and content separated and recombined, reports on runs.

A view is an image tensor (1, 3, H, W), or a `RunGrid` that is still to be painted.
"""

from impasto.insight.command import stylize_command
from impasto.insight.features import features
from impasto.insight.gram import GramView, gram, gram_distance
from impasto.insight.reconstructions import reconstruct, texture
from impasto.insight.report import Report, build_picture_report, build_report, build_run_report, write_report
from impasto.insight.run_grid import GridCell, GridProgress, RunGrid
from impasto.insight.sweeps import Sweep, parse_sweep, recombine, sweep
from impasto.render.film import Film
from impasto.render.film_frame import Frame

__all__ = [
    "Film",
    "Frame",
    "GramView",
    "GridCell",
    "GridProgress",
    "Report",
    "RunGrid",
    "Sweep",
    "build_picture_report",
    "build_report",
    "build_run_report",
    "features",
    "gram",
    "gram_distance",
    "parse_sweep",
    "recombine",
    "reconstruct",
    "stylize_command",
    "sweep",
    "texture",
    "write_report",
]
