"""Galleries: an HTML page of many pictures, written beside them, that makes no network requests."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from impasto.files import atomic_write

__all__ = ["GalleryEntry", "write_gallery"]

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif }}
body {{ margin: 2rem clamp(1rem, 4vw, 4rem) }}
h1 {{ font-size: 1.4rem; font-weight: 600 }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(min(260px, 100%), 1fr)); gap: 1.5rem 1.25rem }}
figure {{ margin: 0 }}
img, video {{ display: block; width: 100%; aspect-ratio: 4 / 3; object-fit: contain; background: #8881 }}
figcaption {{ margin-top: .4rem; overflow-wrap: anywhere }}
small {{ display: block; opacity: .7; font-variant-numeric: tabular-nums }}
li {{ overflow-wrap: anywhere }}
</style>
<h1>{title}</h1>
<main>
{figures}
</main>
{missing}
</html>
"""


VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".webm")
"""Clips that browsers play; an animation is an image."""


@dataclass(frozen=True)
class GalleryEntry:
    """A picture, by its file name, or in `missing` the reason why there is none."""

    name: str
    caption: str
    losses: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    missing: str = ""


def write_gallery(path: Path, entries: Sequence[GalleryEntry]) -> None:
    """Write the page. Raises `OutputError`."""
    present = [entry for entry in entries if not entry.missing]
    missing = "\n".join(
        f"<li>{html.escape(entry.name)}: {html.escape(entry.missing)}</li>" for entry in entries if entry.missing
    )
    page = PAGE.format(
        title=f"{len(present)} pictures" if len(present) != 1 else "1 picture",
        figures="\n".join(map(_figure, present)),
        missing=f"<h2>Missing</h2>\n<ul>\n{missing}\n</ul>" if missing else "",
    )
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")  # file names may be any bytes


def _figure(entry: GalleryEntry) -> str:
    name = quote(entry.name)
    losses = ", ".join(f"{loss} {entry.losses[loss]:.3g}" for loss in ("content", "style") if loss in entry.losses)
    lines = "".join(f"<small>{html.escape(line)}</small>" for line in (losses, entry.note) if line)
    label = html.escape(entry.caption)
    if Path(entry.name).suffix.lower() in VIDEO_SUFFIXES:
        shown = f'<video src="{name}" aria-label="{label}" controls loop muted playsinline preload="metadata"></video>'
    else:
        shown = f'<a href="{name}"><img src="{name}" alt="{label}" loading="lazy"></a>'
    return f"<figure>{shown}<figcaption>{html.escape(entry.caption)}{lines}</figcaption></figure>"
