"""Content alone and style alone, from noise: what a layer keeps of a picture.

The two rows of Gatys et al. 2016, figure 1, by the method itself: content alone is `alpha` = 0, style alone
`content_weight` = 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from impasto.insight.inputs import load_view_image, prepare_view
from impasto.insight.run_grid import GridCell, RunGrid
from impasto.insight.view_options import require_used_options
from impasto.render.grid import Cell
from impasto.run import Result, Run
from impasto.run.model_cache import ModelCache

__all__ = ["reconstruct", "texture"]

ITERATIONS = 100


def reconstruct(picture: Any, *, layers: Any = None, **options: Any) -> RunGrid:
    """A picture from its content alone, from noise, once for each layer: deep ones keep what, not how.

    `layers` are names, as a list or comma-separated; without them, those that stand before each pooling. Options
    are those of `stylize` that mean something here; `size` is 256 and `iterations` 100. Raises `ConfigError`,
    `LayerError` and the like, also when painted.
    """
    require_used_options("reconstruct", options)
    # What the content lends at an enlargement was not reconstructed from anything.
    alone = _Alone("content", picture, {"detail_transfer": 0.0} | options | {"alpha": 0.0, "init": "noise"})
    network = alone.session().encoder.network
    names = alone.layers(layers) if layers is not None else _before_poolings(network.names)
    note = f"What the features of one layer of {network.name} say of a picture, and the energy that is still off."
    return alone.wall({name: [name] for name in names}, note)


def texture(picture: Any, *, upto: Any = None, **options: Any) -> RunGrid:
    """A style alone, from noise, by 1, 2, … of the layers `upto`: the more and deeper, the larger its forms.

    Without `upto`, the network's style layers. Options are those of `stylize` that mean something here; `size` is
    256 and `iterations` 100. Raises `ConfigError`, `LayerError` and the like, also when painted.
    """
    require_used_options("texture", options)
    alone = _Alone("style", picture, options | {"content_weight": 0.0})
    names = alone.layers(upto)
    note = f"The Gram matrices of one layer of {alone.session().encoder.network.name}, of two, and so on."
    return alone.wall({f"… and {name}" if at else name: names[: at + 1] for at, name in enumerate(names)}, note)


@dataclass(frozen=True)
class _Alone:
    """One side of the method by itself, over layers that vary."""

    part: Literal["content", "style"]
    picture: Any
    options: dict[str, Any]
    cache: ModelCache = field(default_factory=lambda: ModelCache(cache_measurements=True))

    def session(self, layers: Any = None) -> Run:
        options = {"iterations": ITERATIONS} | self.options
        if layers is not None:
            options[f"{self.part}_layers"] = layers
        return prepare_view(self.picture, **options, cache=self.cache)

    def layers(self, asked: Any) -> list[str]:
        """Names of layers, checked as the option that they are given to."""
        return [layer.name for layer in getattr(self.session(asked).config, f"{self.part}_layers")]

    def wall(self, columns: Mapping[str, Sequence[str]], note: str) -> RunGrid:
        """The picture, and a panel for each of `columns`, which are layers by what they are called."""
        panels = [GridCell(name, self.session(tuple(layers)), self._left) for name, layers in columns.items()]
        return RunGrid(
            [[Cell(load_view_image(self.session(), self.picture), "the picture"), *panels]],
            columns=["", *columns],
            title=f"{self.part.capitalize()} alone, from noise",
            note=note,
        )

    def _left(self, result: Result) -> str:
        return f"{100 * result.losses[self.part]:.2g} % off"


def _before_poolings(names: tuple[str, ...]) -> list[str]:
    """The last ReLU before each pooling: relu1_2, relu2_2, relu3_4 …"""
    ends = [names[at - 1] for at, name in enumerate(names) if name.startswith("pool") and at]
    return ends if names[-1].startswith("pool") else [*ends, names[-1]]
