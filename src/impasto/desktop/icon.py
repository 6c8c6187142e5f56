"""The icon of the studio, in the formats that desktops need."""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path

from impasto.files import atomic_write

__all__ = ["write_icon"]

ICONS = {".svg": "studio/page/icon.svg", ".png": "desktop/icon.png"}
"""The icon as it is drawn, and the same at 256 px, because libvips reads no SVG in the process of a studio."""


def write_icon(path: Path) -> None:
    """Write the icon as SVG, PNG, ICO or ICNS, by the suffix of the path. Raises `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    source = resources.files("impasto").joinpath(ICONS.get(path.suffix, ICONS[".png"]))
    with resources.as_file(source) as icon, atomic_write(path) as temporary:
        if path.suffix in ICONS:
            shutil.copyfile(icon, temporary)
            return
        from PIL import Image

        with Image.open(icon) as image:
            image.save(temporary, format=path.suffix.removeprefix("."))
