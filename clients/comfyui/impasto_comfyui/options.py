"""Impasto's options as the inputs of nodes. The studio checks their values."""

from __future__ import annotations

import json
from typing import Any

from impasto_client import PRESETS

__all__ = ["collect", "common_inputs", "option_inputs", "parse_lines", "parse_values"]

AS_PRESET = "as the preset"
"""The choice that leaves an option to the preset."""

CHOICES = {
    "effort": ("draft", "normal", "best"),
    "color": ("palette", "style", "luminance", "match"),
    "network": ("vgg19", "vgg19:torchvision", "vgg16", "alexnet"),
    "wrap": ("none", "x", "y", "both"),
}


def common_inputs() -> dict[str, Any]:
    """Return the inputs that every painting node has, in ComfyUI's form."""
    return {
        "preset": (list(PRESETS), {"tooltip": "Named options; the other inputs override them."}),
        "alpha": (
            "FLOAT",
            {"default": -1.0, "min": -1.0, "max": 1e6, "step": 0.1, "tooltip": "Style strength α; -1 is the preset's."},
        ),
        "size": ("INT", {"default": 512, "min": 16, "max": 16384, "tooltip": "Long side of the painting in pixels."}),
        "seed": ("INT", {"default": 0, "min": 0, "max": 2**63 - 1, "tooltip": "Seed of the noise at the start."}),
    }


def option_inputs() -> dict[str, Any]:
    """Return the inputs of the node for all other options."""
    choices = {name: ([AS_PRESET, *values],) for name, values in CHOICES.items()}
    return {
        **choices,
        "iterations": ("INT", {"default": 0, "min": 0, "max": 10000, "tooltip": "Steps at full size; 0 is automatic."}),
        "style_scale": (
            "FLOAT",
            {"default": 0.0, "min": 0.0, "max": 100.0, "step": 0.1, "tooltip": "Size of strokes; 0 is the preset's."},
        ),
        "more": (
            "STRING",
            {"default": "", "multiline": True, "tooltip": "Any option of Impasto, one a line: padding = reflect"},
        ),
        "url": ("STRING", {"default": "", "tooltip": "Address of the studio; empty is IMPASTO_URL, or this computer."}),
    }


def collect(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the options that a node's inputs set; the rest is left to the preset."""
    options = {name: value for name, value in inputs.items() if value not in (AS_PRESET, "", 0, 0.0)}
    lines = options.pop("more", "")
    return {**options, **parse_lines(lines)}


def parse_lines(text: str) -> dict[str, Any]:
    """Parse options written as `name = value`, one a line. Raises `ValueError`."""
    options = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if line.strip() and not (equals and name.strip() and value.strip()):
            raise ValueError(f"Impasto: {line.strip()!r} is no option. Write name = value, such as: padding = reflect")
        if equals:
            options[name.strip().replace("-", "_")] = _parse(value.strip())
    return options


def parse_values(text: str) -> list[Any]:
    """Parse the values of a sweep, separated by commas. Raises `ValueError`."""
    values = [_parse(part.strip()) for part in text.split(",") if part.strip()]
    if not values:
        raise ValueError("Impasto: the sweep has no values. Write some, separated by commas: 1, 5, 20")
    return values


def _parse(text: str) -> Any:
    """Return a number, a list or a truth value; anything else is text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
