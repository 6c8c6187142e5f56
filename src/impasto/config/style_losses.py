"""The table of style losses: name and help. Their functions are in `core/style_losses.py`."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from impasto.config.registry import Registry

__all__ = ["HELP", "STYLE_LOSS_NAMES", "StyleLossName", "register_style_loss"]

HELP = {
    "gram": "correlations of channels",
    "covariance": "the same, around their means",
    "mean-std": "means and deviations",
    "wasserstein": "distance between Gaussians",
    "sliced-wasserstein": "distributions along many directions; slower, and cannot be tiled",
    "nearest": "the most similar feature vectors; slower, and cannot be tiled",
}

STYLE_LOSS_NAMES = Registry("style_loss", "impasto.style_losses", HELP)

StyleLossName = Annotated[str, AfterValidator(STYLE_LOSS_NAMES.require), STYLE_LOSS_NAMES]


def register_style_loss(name: str, path: str) -> None:
    """Add a style loss by its import path, `module:attribute`: a function of `Moments`, or a `StyleLoss`.

    An installed package declares an entry point of the group `impasto.style_losses` instead. Raises `ConfigError`.
    """
    STYLE_LOSS_NAMES.register(name, path)
