"""Feature maps: what each layer of the network answers to, early layers to deep."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from impasto.core.image import thumbnail
from impasto.errors import ConfigError
from impasto.insight.inputs import load_view_image, prepare_view
from impasto.insight.view_options import require_used_options
from impasto.render.grid import Cell, draw_grid
from impasto.render.heatmap import heatmap

__all__ = ["features"]

CELL_PX = 160
STRONGEST = 8


def features(picture: Any, *, layers: Any = None, strongest: int = STRONGEST, **options: Any) -> Tensor:
    """A sheet (1, 3, H, W) with the `strongest` feature maps of each layer, a row for a layer.

    `layers` are names, as a list or comma-separated; without them, the network's style layers and its content
    layers. A map's strength is its share of the layer's energy, which stands beneath it. Each map is scaled to its
    own largest value (the thousandth part above is cut). Options are those of `stylize` that mean something where
    nothing is painted; `size` is 256. Raises `ImageError`, `LayerError`, `ConfigError`, `WeightsError`.
    """
    if not isinstance(strongest, int) or strongest < 1:
        raise ConfigError(f"strongest = {strongest!r}: that many maps cannot be shown. Ask for 1 or more.")
    require_used_options("features", options)
    ready = prepare_view(picture, **(options | ({"content_layers": layers} if layers else {})))
    looked_at = ready.config.content_layers if layers else (*ready.config.style_layers, *ready.config.content_layers)
    chosen = {layer.name for layer in looked_at}
    image = load_view_image(ready, picture, chosen)
    found = ready.engine.features(image, chosen)
    names, rows = ["the picture"], [[Cell(thumbnail(image, CELL_PX, enlarge=True))]]
    for layer in sorted(chosen, key=ready.encoder.network.names.index):
        maps = found[layer][0].float()
        names.append(f"{layer}, {maps.shape[0]} maps")
        rows.append(_row(maps, strongest))
    height, width = image.shape[2:]
    title = f"What {ready.encoder.network.name} sees"
    note = f"The {strongest} strongest maps of each layer, and their shares of its energy. {width}×{height} px"
    return draw_grid(rows, names=names, title=title, note=note)


def _row(maps: Tensor, strongest: int) -> list[Cell]:
    energy = maps.square().sum(dim=(1, 2))
    shares = energy / energy.sum().clamp(min=1e-30)
    best = shares.argsort(descending=True, stable=True)[:strongest]
    return [
        Cell(
            heatmap(maps[channel], CELL_PX, highest=float(torch.quantile(_sampled(maps[channel]), 0.999))),
            f"#{int(channel)}  {float(shares[channel]):.1%}",
        )
        for channel in best
    ]


def _sampled(values: Tensor) -> Tensor:
    """At most some hundred thousand of the values: torch's quantile takes no more than 16 million."""
    flat = values.flatten()
    return flat[:: max(1, flat.numel() // 500_000)]
