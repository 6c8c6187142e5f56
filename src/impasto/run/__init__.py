"""One run, from files to a finished picture."""

from impasto.run.api import as_tuple, estimate, prepare_run, stylize, stylize_steps
from impasto.run.loop import Observer, drive, iterate
from impasto.run.model_cache import ModelCache
from impasto.run.recipe import Recipe, read_recipe
from impasto.run.recorded import reproduce, resume
from impasto.run.result import Result
from impasto.run.run import Run

__all__ = [
    "ModelCache",
    "Observer",
    "Recipe",
    "Result",
    "Run",
    "as_tuple",
    "drive",
    "estimate",
    "iterate",
    "prepare_run",
    "read_recipe",
    "reproduce",
    "resume",
    "stylize",
    "stylize_steps",
]
