"""Content alone and style alone, painted from noise: what a layer knows of a picture.

The two rows of Gatys et al. 2016, figure 1, with the method unchanged: content alone is `alpha` = 0, style alone is
`content_weight` = 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from impasto.insight.inputs import PLAIN_METHOD, load_view_image, prepare_view
from impasto.insight.run_grid import GridCell, RunGrid
from impasto.insight.view_options import require_used_options
from impasto.render.grid import Cell
from impasto.run import Result, Run
from impasto.run.model_cache import ModelCache

__all__ = ["reconstruct", "texture"]

ITERATIONS = 100


def reconstruct(picture: Any, *, layers: Any = None, **options: Any) -> RunGrid:
    """Prepare a picture from its content alone, once for each layer: deep ones lose detail.

    `layers` are names, as a list or comma-separated (default: the last ones before each pooling). Options are those of
    `stylize` that matter here; `size` is 256 and `iterations` 100. Raises `ConfigError` and `LayerError`; painting
    raises what `stylize` raises.
    """
    require_used_options("reconstruct", options)
    # Detail transfer would copy pixels of the content.
    alone = {"alpha": 0.0, "init": "noise"}
    single = _SingleTerm("content", picture, PLAIN_METHOD | {"detail_transfer": 0.0} | options | alone)
    network = single.prepare().encoder.network
    names = single.layer_names(layers) if layers is not None else _before_poolings(network.names)
    note = f"Painted from the features of one layer of {network.name}, with the relative error that remains."
    return single.grid({name: [name] for name in names}, note)


def texture(picture: Any, *, layers: Any = None, **options: Any) -> RunGrid:
    """Prepare a style alone, by the first of `layers`, the first two, and so on.

    More and deeper layers give larger shapes. `layers` are names (default: the published style layers). Options are
    those of `stylize` that matter here; `size` is 256, `iterations` 100, and `style_loss` "gram". Raises `ConfigError`
    and `LayerError`; painting raises what `stylize` raises.
    """
    require_used_options("texture", options)
    single = _SingleTerm("style", picture, PLAIN_METHOD | options | {"content_weight": 0.0})
    names = single.layer_names(layers)
    network = single.prepare().encoder.network
    note = f"Painted from the statistics of one layer of {network.name}, of two layers, and so on."
    return single.grid({f"… and {name}" if at else name: names[: at + 1] for at, name in enumerate(names)}, note)


@dataclass(frozen=True)
class _SingleTerm:
    """Runs with the content term only or the style term only, whose layers vary."""

    term: Literal["content", "style"]
    picture: Any
    options: dict[str, Any]
    cache: ModelCache = field(default_factory=lambda: ModelCache(cache_measurements=True))

    def prepare(self, layers: Any = None) -> Run:
        options = {"iterations": ITERATIONS} | self.options
        if layers is not None:
            options[f"{self.term}_layers"] = layers
        return prepare_view(self.picture, **options, cache=self.cache)

    def layer_names(self, layers: Any) -> list[str]:
        """Parse and check names of layers."""
        return [layer.name for layer in getattr(self.prepare(layers).planned, f"{self.term}_layers")]

    def grid(self, columns: Mapping[str, Sequence[str]], note: str) -> RunGrid:
        """Arrange the picture and a cell for each column, which is a label with its layers."""
        cells = [GridCell(label, self.prepare(tuple(layers)), self._caption) for label, layers in columns.items()]
        return RunGrid(
            [[Cell(load_view_image(self.prepare(), self.picture), "the picture"), *cells]],
            column_labels=["", *columns],
            title=f"{self.term.capitalize()} alone, from noise",
            note=note,
        )

    def _caption(self, result: Result) -> str:
        return f"{100 * result.losses[self.term]:.2g} % off"


def _before_poolings(names: tuple[str, ...]) -> list[str]:
    """Return the last ReLU before each pooling: relu1_2, relu2_2, relu3_4."""
    ends = [names[at - 1] for at, name in enumerate(names) if name.startswith("pool") and at]
    return ends if names[-1].startswith("pool") else [*ends, names[-1]]
