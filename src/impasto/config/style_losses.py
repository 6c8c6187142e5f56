"""The table of style losses: name, help, import path, and whether a loss needs all features of a picture at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

from impasto.config.registry import Registry

__all__ = [
    "STYLE_LOSSES",
    "STYLE_LOSS_NAMES",
    "StyleLossEntry",
    "StyleLossName",
    "can_record",
    "compares_neighbors",
    "describe_dense_losses",
    "describe_style_losses",
    "register_style_loss",
    "uses_dense_layers",
]


@dataclass(frozen=True)
class StyleLossEntry:
    """A style loss by its import path: a function of `Moments`, or a `StyleLoss`.

    With `needs_features` it needs all features of a picture at once, so it works neither in tiles nor with masks.
    With `dense` it gains from more layers than the published method has, and they are its default. With `neighbors`
    features are compared position by position with those of the most similar places of the style. With `takes_roots`
    it takes roots of matrices, which a CUDA graph cannot record.
    """

    help: str
    path: str
    needs_features: bool = False
    dense: bool = False
    neighbors: bool = False
    takes_roots: bool = False


STYLE_LOSSES = {
    "gram": StyleLossEntry("correlations of channels", "impasto.core.statistics:gram_matrix"),
    "covariance": StyleLossEntry(
        "the same, around their means", "impasto.core.statistics:covariance_matrix", dense=True
    ),
    "centered": StyleLossEntry(
        "covariance, and the means with a small weight", "impasto.core.statistics:centered_matrices", dense=True
    ),
    "mean-std": StyleLossEntry("means and deviations", "impasto.core.style_losses:mean_and_std"),
    "wasserstein": StyleLossEntry(
        "distance between Gaussians", "impasto.core.style_losses:WASSERSTEIN", takes_roots=True
    ),
    "sliced-wasserstein": StyleLossEntry(
        "distributions along many directions", "impasto.core.style_losses:SLICED_WASSERSTEIN", needs_features=True
    ),
    "neighbor": StyleLossEntry(
        "the most similar places of the painting, put together",
        "impasto.core.neighbors:neighbor_distance",
        neighbors=True,
    ),
}
"""The losses that ship, by name. A new one is a function of `Moments` and one line."""

STYLE_LOSS_NAMES = Registry("style_loss", "impasto.style_losses", STYLE_LOSSES)

StyleLossName = Annotated[str, AfterValidator(STYLE_LOSS_NAMES.require), STYLE_LOSS_NAMES]


def register_style_loss(name: str, path: str) -> None:
    """Add a style loss to this process by its import path, `module:attribute`. Raises `ConfigError`.

    The object is a function of `Moments`, or a `StyleLoss`. Workers of the queue, the studio and Ray are processes of
    their own: they know a loss of an installed package, which declares it as an entry point of the group
    `impasto.style_losses`.
    """
    STYLE_LOSS_NAMES.register(name, path)


def compares_neighbors(name: str) -> bool:
    """Return True if a style loss compares each position with the most similar place of the style."""
    return name in STYLE_LOSSES and STYLE_LOSSES[name].neighbors


def can_record(name: str) -> bool:
    """Return True if a CUDA graph can record a style loss. Those of packages are not tried: a failure breaks CUDA."""
    entry = STYLE_LOSSES.get(name)
    return entry is not None and not (entry.needs_features or entry.takes_roots)


def uses_dense_layers(name: str) -> bool:
    """Return True if a style loss is compared at the dense layers of a network by default."""
    return name in STYLE_LOSSES and STYLE_LOSSES[name].dense


def describe_dense_losses() -> str:
    """Return the names of the losses that gain from more layers, for help texts."""
    return " and ".join(name for name in STYLE_LOSSES if uses_dense_layers(name))


def describe_style_losses() -> str:
    """Return the losses that ship as the help of the option."""
    limits = {True: "; slower, works neither in tiles nor with masks", False: ""}
    return " ".join(f"{name}: {entry.help}{limits[entry.needs_features]}." for name, entry in STYLE_LOSSES.items())
