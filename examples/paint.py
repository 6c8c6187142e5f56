"""Paint one picture: what one photo depicts, in the manner of one painting.

python examples/paint.py [painted.png]
"""

from __future__ import annotations

import sys

import impasto
from impasto import samples


def main(output: str = "painted.png", **options: int) -> None:
    """Paint, say what came of it, and write the picture with its recipe inside."""
    # Your own pictures go here as paths: stylize("photo.jpg", "painting.jpg").
    photo, painting = samples.photo_path("cat"), samples.paint("swirl")
    result = impasto.stylize(photo, painting, **({"alpha": 5, "size": 384} | options))
    result.save(output)
    print(f"content {result.losses['content']:.3f}, style {result.losses['style']:.3f}, {result.seconds:.0f} s")
    print(f"painted with seed {impasto.read_recipe(output).config.seed}; to repeat it: impasto reproduce {output}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
