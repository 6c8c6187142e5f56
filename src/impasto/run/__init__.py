"""One run, from files to a finished picture."""

from impasto.run.model_cache import ModelCache
from impasto.run.run import Result, Run, prepare_run, stylize, stylize_steps

__all__ = ["ModelCache", "Result", "Run", "prepare_run", "stylize", "stylize_steps"]
