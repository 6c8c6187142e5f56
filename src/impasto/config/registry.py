"""Names that other packages can extend: built-in ones, registered ones, and entry points of installed packages.

An entry is a lazy import path, `module:attribute`, so listing names imports neither torch nor the other package.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Collection
from functools import cached_property
from importlib import metadata
from typing import Any

from impasto.errors import ConfigError

__all__ = ["Registry"]


class Registry:
    """The names of one option, such as `style_loss`, and the import paths of those from other packages."""

    def __init__(self, option: str, entry_points: str, built_in: Collection[str]) -> None:
        self.option, self.entry_points, self.built_in = option, entry_points, built_in
        self._registered: dict[str, tuple[str, str]] = {}

    @cached_property
    def _installed(self) -> dict[str, tuple[str, str]]:
        """Import path and package by name, as declared by installed packages."""
        points = metadata.entry_points(group=self.entry_points)
        return {point.name: (point.value, point.dist.name if point.dist else "unknown") for point in points}

    @property
    def names(self) -> list[str]:
        """All names, built-in ones first."""
        return list(dict.fromkeys([*self.built_in, *self._installed, *self._registered]))

    def register(self, name: str, path: str) -> None:
        """Add a name for this process, with the import path of its object. Raises `ConfigError` for a bad entry."""
        if name in self.names:
            raise ConfigError(f"{self.option} {name!r} exists already. Choose another name.")
        if not name or len(path.split(":")) != 2:
            raise ConfigError(f"{self.option} {name!r}: {path!r} is not an import path. Write module:attribute.")
        self._registered[name] = path, path.partition(".")[0].partition(":")[0]

    def require(self, name: str) -> str:
        """Return `name` if it is known. Raises `ConfigError`."""
        if name in self.built_in or name in self.names:
            return name
        near = difflib.get_close_matches(name, self.names, n=1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        known = ", ".join(map(repr, self.names))
        raise ConfigError(f"{self.option} = {name!r} is not known. {hint}Use one of {known}.")

    def load(self, name: str) -> Any:
        """Import the object of a name from another package. Raises `ConfigError` naming the package."""
        path, package = (self._installed | self._registered)[self.require(name)]
        module, _, attribute = path.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise ConfigError(
                f"{self.option} {name!r} of the package {package} cannot be loaded ({reason}). "
                f"Update or uninstall {package}."
            ) from error
