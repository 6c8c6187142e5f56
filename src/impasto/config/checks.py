"""Checks of options that depend on each other."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from impasto.config.networks import Network
from impasto.config.types import LayerWeight
from impasto.errors import ConfigError, LayerError

__all__ = ["require_layers", "require_shares"]


def require_layers(option: str, layers: Sequence[LayerWeight] | None, network: Network) -> None:
    """Raise `LayerError` unless the network has all layers and one of them has a weight."""
    for name, _ in layers or ():
        if name not in network.names:
            near = difflib.get_close_matches(name, network.names, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"It has {', '.join(network.names)}."
            raise LayerError(f"{option}: {network.name} has no layer {name!r}. {hint}")
    if layers is not None and not any(weight for _, weight in layers):
        raise LayerError(f"{option}: every weight is 0. Give at least one layer a positive weight.")


def require_shares(shares: Sequence[float] | None) -> None:
    """Raise `ConfigError` unless the shares of several styles are finite, not negative, and not all 0."""
    if shares is None:
        return
    if any(not 0 <= share < float("inf") for share in shares):
        raise ConfigError(f"style_weights = {shares} is out of range: give finite shares of 0 or more.")
    if not any(shares):
        raise ConfigError("style_weights: every share is 0. Give at least one style a positive one.")
