"""A note inside a picture: PNG text, and XMP for formats that have no text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyvips

from impasto.images.content import NOTE_FIELD
from impasto.images.decode import vips_errors
from impasto.images.opened_image import open_image

__all__ = ["attach_note", "format_xmp", "read_note"]

XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:impasto="urn:impasto:1"><impasto:recipe>{}</impasto:recipe>'
    "</rdf:Description></rdf:RDF></x:xmpmeta>"
)
_XMP_START, _XMP_END = "<impasto:recipe>", "</impasto:recipe>"


def attach_note(image: Any, note: str) -> None:
    """Attach `note` (ASCII) to a libvips image, to be written with it."""
    image.set_type(pyvips.GValue.gstr_type, NOTE_FIELD, note)
    image.set_type(pyvips.GValue.blob_type, "xmp-data", format_xmp(note).encode())


def format_xmp(note: str) -> str:
    """Return an XMP packet that holds `note`."""
    return XMP.format(note.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def read_note(path: Path) -> str | None:
    """Return the note that `save` wrote into a picture, or None. Raises `ImageError` if it is not a picture."""
    opened = open_image(path, max_megapixels=float("inf"))
    with vips_errors(f"{opened.label} cannot be read as an image"):
        image = opened.header()
        for field in image.get_fields():
            if field.startswith("png-comment-") and field.endswith("-impasto"):
                return str(image.get(field))
        if "xmp-data" in image.get_fields():
            xmp = bytes(image.get("xmp-data")).decode("utf-8", "replace")
            _, start, rest = xmp.partition(_XMP_START)
            if start:
                escaped = rest.partition(_XMP_END)[0]
                return escaped.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return None
