"""Draw docs/comfyui.jpg, the example workflow as ComfyUI lays it out, from the definitions of the nodes.

It is no screenshot, and ComfyUI is not needed:

python scripts/draw_comfyui.py
"""

from __future__ import annotations

import base64
import io
import json
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from browser import draw_page
from PIL import Image

from impasto import samples

ROOT = Path(__file__).parent.parent
CLIENTS = ROOT / "clients"
PLACE = ROOT / "docs" / "comfyui.jpg"
WORKFLOW = CLIENTS / "comfyui" / "impasto_comfyui" / "example_workflows" / "impasto.json"
MARGIN_PX, TITLE_PX, ROW_PX, PICTURE_PX = 30, 28, 22, 200
TEXT_ROWS = 3
"""Rows of a text of several lines."""

TITLES = {"LoadImage": "Load Image", "SaveImage": "Save Image", "PreviewImage": "Preview Image"}
OWN_WIDGETS = {"LoadImage": ("image", "upload"), "SaveImage": ("filename_prefix",)}
"""Names of the widgets of ComfyUI's own nodes."""

COLORS = {"IMAGE": "#64b5f6", "MASK": "#81c784", "IMPASTO_OPTIONS": "#ffb74d"}
OTHER_COLOR = "#9a9a9a"

PAGE = """<!doctype html>
<style>
  main {{ position: relative; width: {width}px; height: {height}px; background: #222; color: #ddd;
         font: 13px/{row}px "DejaVu Sans", sans-serif; }}
  svg {{ position: absolute; left: 0; top: 0; }}
  svg path {{ fill: none; stroke-width: 2.5; }}
  section {{ position: absolute; background: #353535; border-radius: 8px; box-shadow: 0 2px 8px #0008; }}
  h2 {{ margin: 0; padding: 0 12px; height: {title}px; font-size: 13px; line-height: {title}px; color: #bbb;
       background: #2d2d2d; border-radius: 8px 8px 0 0; }}
  .row {{ display: flex; justify-content: space-between; padding: 0 14px; height: {row}px; }}
  .dot {{ position: absolute; width: 10px; height: 10px; border-radius: 5px; }}
  .widget {{ display: flex; justify-content: space-between; height: {row}px; margin: 1px 12px; padding: 0 10px;
            box-sizing: border-box; background: #222; border: 1px solid #555; border-radius: 11px; line-height: 20px; }}
  .widget span:first-child {{ color: #999; }}
  .text {{ height: {text}px; border-radius: 4px; }}
  img {{ display: block; margin: 8px auto 0; height: {picture}px; }}
</style>
<main><svg width="{width}" height="{height}">{links}</svg>{nodes}</main>
"""


def read_nodes() -> tuple[dict[str, Any], dict[str, str]]:
    """Import Impasto's nodes, and return their classes and titles."""
    sys.path += [str(CLIENTS / "comfyui"), str(CLIENTS / "python" / "src")]
    from impasto_comfyui import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

    return NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS


def widgets_of(entry: dict[str, Any], classes: dict[str, Any]) -> Iterator[tuple[str, Any, bool]]:
    """Yield name, value, and whether it has several lines, of each widget of a node."""
    values = iter(entry["widgets_values"])
    if entry["type"] not in classes:
        yield from ((name, next(values), False) for name in OWN_WIDGETS.get(entry["type"], ()))
        return
    for name, (kind, *rest) in classes[entry["type"]].INPUT_TYPES()["required"].items():
        if isinstance(kind, list) or rest:
            yield name, next(values), bool(rest) and rest[0].get("multiline", False)
        if name == "seed":
            yield "control after generate", next(values), False


def place_of(entry: dict[str, Any]) -> tuple[float, float]:
    """Return the left and upper edge of a node's body on the page; ComfyUI's positions leave out the title."""
    x, y = entry["pos"]
    return x, y + MARGIN_PX


def slot_place(entry: dict[str, Any], slot: int, *, is_output: bool) -> tuple[float, float]:
    """Return the place of an input's or output's dot on the page."""
    x, y = place_of(entry)
    return x + (entry["size"][0] if is_output else 0), y + ROW_PX * (slot + 0.5) + 4


def draw_node(entry: dict[str, Any], classes: dict[str, Any], titles: dict[str, str]) -> str:
    """Return a node as HTML: title, inputs and outputs, widgets, and the sample picture that it loads."""
    x, y = place_of(entry)
    inputs, outputs = entry["inputs"], entry["outputs"]
    rows = ""
    for row in range(max(len(inputs), len(outputs))):
        left, right = (slots[row]["name"] if row < len(slots) else "" for slots in (inputs, outputs))
        rows += f'<div class="row"><span>{escape(left)}</span><span>{escape(right)}</span></div>'
    for name, value, has_lines in widgets_of(entry, classes):
        shown = "choose file to upload" if name == "upload" else name
        text = "" if name == "upload" else str(value)
        rows += (
            f'<div class="widget{" text" if has_lines else ""}"><span>{shown}</span><span>{escape(text)}</span></div>'
        )
    if entry["type"] == "LoadImage":
        rows += f'<img src="{encode_sample(entry["widgets_values"][0])}">'
    title = entry.get("title") or titles.get(entry["type"]) or TITLES[entry["type"]]
    return (
        f'<section style="left:{x}px;top:{y - TITLE_PX}px;width:{entry["size"][0]}px;padding-bottom:10px">'
        f'<h2>{escape(title)}</h2><div style="padding-top:4px">{rows}</div></section>' + "".join(draw_dots(entry))
    )


def draw_dots(entry: dict[str, Any]) -> Iterator[str]:
    """Yield the dots of a node's inputs and outputs as HTML."""
    for is_output, slots in ((False, entry["inputs"]), (True, entry["outputs"])):
        for number, slot in enumerate(slots):
            x, y = slot_place(entry, number, is_output=is_output)
            color = COLORS.get(slot["type"], OTHER_COLOR)
            yield f'<div class="dot" style="left:{x - 5}px;top:{y - 5}px;background:{color}"></div>'


def draw_link(link: list[Any], entries: dict[int, dict[str, Any]]) -> str:
    """Return a link as SVG."""
    _, source, output, target, slot, kind = link
    x1, y1 = slot_place(entries[source], output, is_output=True)
    x2, y2 = slot_place(entries[target], slot, is_output=False)
    bend = max(60.0, abs(x2 - x1) / 3)
    color = COLORS.get(kind, OTHER_COLOR)
    return f'<path stroke="{color}" d="M{x1} {y1} C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"/>'


def encode_sample(file_name: str) -> str:
    """Return a small sample picture, by the name of the file that `impasto samples write` writes, as a data URL."""
    name = Path(file_name).stem
    with Image.open(samples.photo_path(name) if name in samples.PHOTOS else samples.thumbnail_path(name)) as picture:
        small = picture.convert("RGB")
    small.thumbnail((2 * PICTURE_PX, PICTURE_PX))
    data = io.BytesIO()
    small.save(data, "PNG")
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"


def main() -> None:
    """Draw the workflow."""
    workflow = json.loads(WORKFLOW.read_text(encoding="utf-8"))
    classes, titles = read_nodes()
    entries = {entry["id"]: entry for entry in workflow["nodes"]}
    width = max(entry["pos"][0] + entry["size"][0] for entry in entries.values()) + MARGIN_PX
    height = max(entry["pos"][1] + entry["size"][1] for entry in entries.values()) + 2 * MARGIN_PX
    html = PAGE.format(
        width=width,
        height=height,
        row=ROW_PX,
        title=TITLE_PX,
        text=TEXT_ROWS * ROW_PX,
        picture=PICTURE_PX,
        links="".join(draw_link(link, entries) for link in workflow["links"]),
        nodes="".join(draw_node(entry, classes, titles) for entry in entries.values()),
    )
    draw_page(html, PLACE)


if __name__ == "__main__":
    main()
