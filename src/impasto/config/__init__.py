"""Every option, written once: what shapes a picture, what it starts from, how a run is carried out."""

from impasto.config.options import Config, Inputs, Options, Plan, ResolvedConfig, RunOptions

__all__ = ["Config", "Inputs", "Options", "Plan", "ResolvedConfig", "RunOptions"]
