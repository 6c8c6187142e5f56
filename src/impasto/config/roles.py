"""The names of a run's pictures: `content`, `style`, `style_2`, …, `init`, `content_mask` …, `protect`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from impasto.config import Inputs

__all__ = ["KINDS", "assign_roles", "build_inputs", "kind_of", "pictures_by_role", "role_names"]

KINDS = {
    "content": "content",
    "style": "styles",
    "init": "init",
    "content_mask": "content_masks",
    "style_mask": "style_masks",
    "protect": "protect",
}
"""Kinds of pictures, and the field of `Inputs` that each is."""

T = TypeVar("T")


def role_names(kind: str, count: int) -> list[str]:
    """Return the roles of several pictures of one kind: `style`, `style_2` and so on."""
    return [kind if number == 1 else f"{kind}_{number}" for number in range(1, count + 1)]


def kind_of(role: str) -> str:
    """Return the kind of a role: `style` of `style_2`."""
    return re.sub(r"_\d+$", "", role)


def assign_roles(kind: str, pictures: Sequence[T]) -> dict[str, T]:
    """Return pictures of one kind by role."""
    return dict(zip(role_names(kind, len(pictures)), pictures, strict=True))


def pictures_by_role(inputs: Inputs) -> dict[str, Any]:
    """Return every input picture by role, without weights."""
    found: dict[str, Any] = {}
    for kind, field in KINDS.items():
        value = getattr(inputs, field)
        if value is not None:
            found |= assign_roles(kind, value) if isinstance(value, tuple) else {kind: value}
    return found


def build_inputs(pictures: Mapping[str, Any], weights: Any = None) -> Inputs:
    """Build inputs from pictures by role. Raises `ConfigError` if one is missing."""
    given: dict[str, Any] = {}
    for kind, field in KINDS.items():
        found = [picture for role, picture in pictures.items() if kind_of(role) == kind]
        if field != kind:
            given[field] = tuple(found)
        elif found:
            given[field] = found[0]
    return Inputs(**given, weights=weights)
