"""Paint one photo in the style of one painting.

python examples/paint.py [painted.png]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import impasto
from impasto import samples


def main(output: str = "painted.png", **options: Any) -> None:
    """Paint, save the picture with its recipe, and print its losses."""
    # region painting
    # For your own pictures, give paths: stylize("photo.jpg", "painting.jpg").
    photo, painting = samples.photo_path("cat"), samples.paint("swirl")
    result = impasto.stylize(photo, painting, **({"alpha": 5, "size": 384} | options))
    result.save(output)
    # endregion
    print(f"content {result.losses['content']:.3f}, style {result.losses['style']:.3f}, {result.seconds:.0f} s")
    config = impasto.read_recipe(Path(output)).config
    print(f"Recipe: alpha {config.alpha:g}, seed {config.seed}, {config.network}.")


if __name__ == "__main__":
    main(*sys.argv[1:2])
