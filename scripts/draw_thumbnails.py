"""Draw the thumbnails of the sample paintings, which the studio shows until the paintings are drawn.

python scripts/draw_thumbnails.py
"""

from __future__ import annotations

from PIL import Image

from impasto import samples


def main() -> None:
    """Write a small JPEG of each painting."""
    for name in samples.PAINTINGS:
        picture = Image.fromarray(samples.paint(name))
        picture.thumbnail((samples.THUMBNAIL_PX, samples.THUMBNAIL_PX), Image.Resampling.LANCZOS)
        path = samples.thumbnail_path(name)
        path.parent.mkdir(exist_ok=True)
        picture.save(path, quality=75, optimize=True)


if __name__ == "__main__":
    main()
