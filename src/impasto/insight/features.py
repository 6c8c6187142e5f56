"""Feature maps: what each layer of the network responds to."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from impasto.core.display import Sheet
from impasto.core.image import thumbnail
from impasto.errors import ConfigError
from impasto.insight.inputs import PLAIN_METHOD, load_view_image, prepare_view
from impasto.insight.view_options import require_used_options
from impasto.render.grid import Cell, draw_grid
from impasto.render.heatmap import heatmap

__all__ = ["features"]

CELL_PX = 160
STRONGEST = 8
QUANTILE_SAMPLES = 500_000
"""Values of a map that its quantile is computed from: torch accepts at most 16 million."""


def features(picture: Any, *, layers: Any = None, strongest: int = STRONGEST, **options: Any) -> Sheet:
    """Draw the `strongest` feature maps of each layer as a sheet (1, 3, H, W), one row per layer.

    `layers` are names, as a list or comma-separated (default: the network's style and content layers). The strength of
    a map is its share of the layer's energy, given in the caption. Each map is scaled to its own 99.9 % quantile.
    Options are those of `stylize` that affect features; `size` is 256. Raises `ImageError`, `LayerError`,
    `ConfigError`, `WeightsError`.
    """
    if not isinstance(strongest, int) or strongest < 1:
        raise ConfigError(f"strongest = {strongest!r} is not a number of maps. Give 1 or more.")
    require_used_options("features", options)
    run = prepare_view(picture, **(PLAIN_METHOD | options | ({"content_layers": layers} if layers else {})))
    config, network = run.planned, run.encoder.network
    chosen = {layer.name for layer in (*(() if layers else config.style_layers), *config.content_layers)}
    image = load_view_image(run, picture, chosen)
    maps_by_layer = run.engine.features(image, chosen)
    labels, rows = ["the picture"], [[Cell(thumbnail(image, CELL_PX, enlarge=True))]]
    for layer in sorted(chosen, key=network.names.index):
        maps = maps_by_layer[layer][0].float()
        labels.append(f"{layer}, {maps.shape[0]} maps")
        rows.append(_draw_strongest(maps, strongest))
    height, width = image.shape[2:]
    note = f"The {strongest} strongest maps of each layer, and their shares of its energy. {width}×{height} px"
    return draw_grid(rows, row_labels=labels, title=f"Feature maps of {network.name}", note=note)


def _draw_strongest(maps: Tensor, count: int) -> list[Cell]:
    energy = maps.square().sum(dim=(1, 2))
    shares = energy / energy.sum().clamp(min=1e-30)
    return [
        Cell(
            heatmap(maps[channel], CELL_PX, highest=_high_quantile(maps[channel])), f"#{channel}  {shares[channel]:.1%}"
        )
        for channel in shares.argsort(descending=True, stable=True)[:count].tolist()
    ]


def _high_quantile(values: Tensor) -> float:
    flat = values.flatten()
    return float(torch.quantile(flat[:: max(1, flat.numel() // QUANTILE_SAMPLES)], 0.999))
