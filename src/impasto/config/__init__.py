"""Every option, defined once: what shapes the picture, what it starts from, how the run is carried out."""

from impasto.config.model import Options
from impasto.config.options import Config, ResolvedConfig
from impasto.config.run_options import Inputs, Plan, RunOptions

__all__ = ["Config", "Inputs", "Options", "Plan", "ResolvedConfig", "RunOptions"]
