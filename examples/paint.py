"""Paint one picture: what one photo depicts, in the manner of one painting.

python examples/paint.py [painted.png]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import impasto
from impasto import samples


def main(output: str = "painted.png", **options: Any) -> None:
    """Paint, say what came of it, and write the picture with its recipe inside."""
    # region painting
    # Your own pictures go here as paths: stylize("photo.jpg", "painting.jpg").
    photo, painting = samples.photo_path("cat"), samples.paint("swirl")
    result = impasto.stylize(photo, painting, **({"alpha": 5, "size": 384} | options))
    result.save(output)
    # endregion
    print(f"content {result.losses['content']:.3f}, style {result.losses['style']:.3f}, {result.seconds:.0f} s")
    config = impasto.read_recipe(Path(output)).config
    print(f"The picture knows how it was painted: alpha {config.alpha:g}, seed {config.seed}, {config.network}.")


if __name__ == "__main__":
    main(*sys.argv[1:2])
