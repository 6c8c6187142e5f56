"""Draw the thumbnails of the sample paintings, which the studio shows until the paintings are drawn.

python scripts/draw_thumbnails.py
"""

from __future__ import annotations

import io

from PIL import Image

from impasto import samples


def draw_thumbnail(name: str) -> bytes:
    """Draw a painting as a small JPEG."""
    picture, content = Image.fromarray(samples.paint(name)), io.BytesIO()
    picture.thumbnail((samples.THUMBNAIL_PX, samples.THUMBNAIL_PX), Image.Resampling.LANCZOS)
    picture.save(content, "JPEG", quality=75, optimize=True)
    return content.getvalue()


def main() -> None:
    """Write the thumbnail of each painting."""
    for name in samples.PAINTINGS:
        path = samples.thumbnail_path(name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(draw_thumbnail(name))


if __name__ == "__main__":
    main()
