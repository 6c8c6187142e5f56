"""`impasto insight`: see what the network sees."""

from __future__ import annotations

from cyclopts import App

__all__ = ["app"]

app = App(name="insight", help="See what the network sees: features, style, content, and how they recombine.")
for name, module, summary in (
    ("features", "looks", "Show the strongest feature maps of each layer, early layers to deep."),
    ("gram", "looks", "Show Gram matrices as heat maps, and the distances between the styles of pictures."),
    ("reconstruct", "grids", "Paint a picture from its content alone, from noise, once for each layer."),
    ("texture", "grids", "Paint a style alone, from noise, with one layer, with two, and so on."),
    ("recombine", "grids", "Paint every content in every style."),
    ("sweep", "grids", "Paint one pair with several values of one or two options."),
    ("report", "report", "Write a report on a picture's run: one HTML file with images, curves and recipe."),
):
    app.command(f"impasto.cli.insight.{module}:{name}", name=name, help=summary)
