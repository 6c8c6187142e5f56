"""A note inside a picture: as PNG text, and as XMP for the formats that have only that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyvips

from impasto.images.decode import open_image, vips_errors

__all__ = ["attach", "read_note"]

NOTE_FIELD = "png-comment-0-impasto"
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:impasto="urn:impasto:1"><impasto:recipe>{}</impasto:recipe>'
    "</rdf:Description></rdf:RDF></x:xmpmeta>"
)
_XMP_OPEN, _, _XMP_CLOSE = XMP.partition("{}")


def attach(image: Any, note: str) -> None:
    """Put `note` (ASCII) into a libvips image, to be written with it."""
    escaped = note.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    image.set_type(pyvips.GValue.gstr_type, NOTE_FIELD, note)
    image.set_type(pyvips.GValue.blob_type, "xmp-data", XMP.format(escaped).encode())


def read_note(path: Path) -> str | None:
    """The note that `save` put into a picture, or None. Raises `ImageError` if it is no picture."""
    with vips_errors(f"{path} cannot be read as an image"):
        image, _ = open_image(path, max_megapixels=float("inf"))
        for field in image.get_fields():
            if field.startswith("png-comment-") and field.endswith("-impasto"):
                return str(image.get(field))
        if "xmp-data" in image.get_fields():
            xmp = bytes(image.get("xmp-data")).decode("utf-8", "replace")
            _, opened, rest = xmp.partition(_XMP_OPEN[-len("<impasto:recipe>") :])
            if opened:
                escaped = rest.partition(_XMP_CLOSE[: len("</impasto:recipe>")])[0]
                return escaped.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return None
