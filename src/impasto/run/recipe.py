"""What made an image: written into it, read back from it, enough to make it again.

Files are kept as base names with hashes, never as paths: a picture that is shared tells nothing of the
machine that it was painted on.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import Field

from impasto.config import Config, Options, Plan, RunOptions

__all__ = ["AlphaChange", "InputRecord", "Recipe", "Stop", "Trace", "chosen"]


LEADING = ("network", "size")
"""Options that others come to by themselves from."""


def chosen(told: Mapping[str, Any]) -> dict[str, Any]:
    """What was chosen of a config as JSON has it: no option that network and size would have come to by themselves."""
    usual = _usual(*(told.get(name, Config.model_fields[name].default) for name in LEADING))
    return {name: value for name, value in told.items() if value != usual[name]}


@lru_cache(64)  # a queue asks for every job, whenever it changes
def _usual(network: Any, size: int) -> dict[str, Any]:
    by_themselves = Config(network=network, size=size).model_dump(mode="json")
    return by_themselves | {name: Config.model_fields[name].default for name in LEADING}


class InputRecord(Options):
    """A picture that went in: its base name, if it had one, and its SHA-256."""

    name: str | None
    sha256: str


class Stop(Options):
    """Where a run was stopped before its end: after this step of this scale, both counted from 1."""

    scale: int = Field(ge=1)
    iteration: int = Field(ge=1)

    def is_at(self, scale: int, iteration: int) -> bool:
        """Whether it is this step."""
        return (self.scale, self.iteration) == (scale, iteration)


class AlphaChange(Options):
    """Where α was changed while the run went: after this step of this scale, both counted from 1."""

    scale: int = Field(ge=1)
    iteration: int = Field(ge=1)
    alpha: float = Field(ge=0)


class Trace(Options):
    """How a run went: a row for each step that is kept, `numbers` as columns (losses, and the gradient's size)."""

    scale: tuple[int, ...]
    iteration: tuple[int, ...]
    numbers: dict[str, tuple[float, ...]]


class Recipe(Options):
    """Everything that made an image."""

    version: str = Field(description="Impasto's version.")
    config: Config
    run: RunOptions
    plan: Plan
    inputs: dict[str, InputRecord] = Field(
        description="By role: content, style, style_2 …, init, content_mask …, style_mask …, protect."
    )
    weights_name: str | None = Field(description="Base name of the weights file, where one was given.")
    weights_sha256: str
    turns: tuple[AlphaChange, ...] = Field((), description="What α became on the way; it began as the options say.")
    stopped: Stop | None = None
    trace: Trace | None = None

    def to_json(self) -> str:
        """One line of ASCII JSON."""
        return self.model_dump_json(ensure_ascii=True)
