"""Content alone and style alone, from noise: what a layer keeps of a picture.

The two rows of Gatys et al. 2016, figure 1, by the method itself: content alone is `alpha` = 0, style alone
`content_weight` = 0.
"""

from __future__ import annotations

from typing import Any

from impasto.compose import Atelier, Result, session
from impasto.insight.looking import SIZE_PX, opened, seen
from impasto.insight.sheet import Cell
from impasto.insight.wall import Panel, Wall

__all__ = ["reconstruct", "texture"]

ITERATIONS = 100


def reconstruct(picture: Any, *, layers: Any = None, **options: Any) -> Wall:
    """A picture from its content alone, from noise, once for each layer: deep ones keep what, not how.

    `layers` are names, as a list or comma-separated; without them, those that stand before each pooling. Options
    are those of `stylize`; `size` is 256 and `iterations` 100. Raises `LayerError` and the like when painted.
    """
    # What the content lends at an enlargement was not reconstructed from anything.
    options = {"iterations": ITERATIONS, "detail": 0.0, "size": SIZE_PX} | options | {"alpha": 0.0, "init": "noise"}
    atelier = Atelier(remember=True)
    probe = opened(picture, **options, atelier=atelier)
    network = probe.encoder.network
    names = _listed(layers, "content_layers", picture, options) or _before_poolings(network.names)
    panels = [
        Panel(name, session(picture, picture, **options, content_layers=(name,), atelier=atelier), _content_left)
        for name in names
    ]
    return Wall(
        [[Cell(seen(probe, picture), "the picture"), *panels]],
        columns=["", *names],
        title="Content alone, from noise",
        note=f"What the features of one layer of {network.name} say of a picture, and the energy that is still off.",
    )


def texture(picture: Any, *, upto: Any = None, **options: Any) -> Wall:
    """A style alone, from noise, by 1, 2, … of the layers `upto`: the more and deeper, the larger its forms.

    Without `upto`, the network's style layers. Options are those of `stylize`; `size` is 256 and `iterations` 100.
    """
    options = {"iterations": ITERATIONS, "detail": 0.0, "size": SIZE_PX} | options | {"content_weight": 0.0}
    atelier = Atelier(remember=True)
    probe = opened(picture, **options, atelier=atelier)
    names = _listed(upto, "style_layers", picture, options) or [layer.name for layer in probe.config.style_layers]
    panels = [
        Panel(
            f"up to {name}",
            session(picture, picture, **options, style_layers=tuple(names[:count]), atelier=atelier),
            _style_left,
        )
        for count, name in enumerate(names, start=1)
    ]
    return Wall(
        [[Cell(seen(probe, picture), "the picture"), *panels]],
        columns=["", names[0], *(f"… and {name}" for name in names[1:])],
        title="Style alone, from noise",
        note=f"The Gram matrices of one layer of {probe.encoder.network.name}, of two, and so on.",
    )


def _listed(layers: Any, field: str, picture: Any, options: dict[str, Any]) -> list[str]:
    """Names of layers, checked as the option that they are given to."""
    if layers is None:
        return []
    config = opened(picture, **(options | {field: layers})).config
    return [layer.name for layer in getattr(config, field)]


def _before_poolings(names: tuple[str, ...]) -> list[str]:
    """The last ReLU before each pooling: relu1_2, relu2_2, relu3_4 …"""
    ends = [names[at - 1] for at, name in enumerate(names) if name.startswith("pool") and at]
    return ends if names[-1].startswith("pool") else [*ends, names[-1]]


def _content_left(result: Result) -> str:
    return f"{100 * result.losses['content']:.2g} % off"


def _style_left(result: Result) -> str:
    return f"{100 * result.losses['style']:.2g} % off"
