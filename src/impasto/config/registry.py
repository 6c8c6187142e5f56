"""Names that other packages can extend: built-in ones, registered ones, and entry points of installed packages.

An entry is a lazy import path, `module:attribute`, so listing names imports neither torch nor the other package.
"""

from __future__ import annotations

import difflib
import importlib
import logging
from collections.abc import Collection
from functools import cached_property
from importlib import metadata
from typing import Any

from impasto.errors import ConfigError

__all__ = ["Registry", "import_object"]

logger = logging.getLogger("impasto")


class Registry:
    """The names of one option, such as `style_loss`, and the import paths of those from other packages.

    A built-in name always means the built-in: a package that declares it too is reported in the log. A name that two
    packages declare is an error when it is used.
    """

    def __init__(self, option: str, entry_points: str, built_in: Collection[str]) -> None:
        self.option, self.entry_points, self.built_in = option, entry_points, built_in
        self._registered: dict[str, str] = {}
        self._reported: set[str] = set()

    @cached_property
    def _installed(self) -> dict[str, dict[str, str]]:
        """Import path by name and package, as declared by installed packages."""
        declared: dict[str, dict[str, str]] = {}
        for point in metadata.entry_points(group=self.entry_points):
            declared.setdefault(point.name, {})[point.dist.name if point.dist else "unknown"] = point.value
        return declared

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
        self._registered[name] = path

    def require(self, name: str) -> str:
        """Return `name` if it is known, and means one thing. Raises `ConfigError`."""
        self._report_clashes()
        packages = self._installed.get(name, {})
        if name in self.built_in or name in self._registered or len(packages) == 1:
            return name
        if packages:
            several = " and ".join(sorted(packages))
            raise ConfigError(f"{self.option} {name!r} is declared by {several}. Uninstall all but one of them.")
        near = difflib.get_close_matches(name, self.names, n=1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        known = ", ".join(map(repr, self.names))
        raise ConfigError(f"{self.option} = {name!r} is not known. {hint}Use one of {known}.")

    def load(self, name: str) -> Any:
        """Import the object of a name from another package. Raises `ConfigError` naming the package."""
        self.require(name)
        path = self._registered.get(name) or next(iter(self._installed[name].values()))
        package = next(iter(self._installed.get(name, {})), path.partition(".")[0].partition(":")[0])
        try:
            return import_object(path)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise ConfigError(
                f"{self.option} {name!r} of the package {package} cannot be loaded ({reason}). "
                f"Update or uninstall {package}."
            ) from error

    def _report_clashes(self) -> None:
        """Log each name that an installed package declares in vain, once."""
        for name in self._installed.keys() - self._reported:
            packages = " and ".join(sorted(self._installed[name]))
            if name in self.built_in:
                logger.warning("%s %r of %s is ignored: that name is built in", self.option, name, packages)
            elif len(self._installed[name]) > 1:
                logger.warning("%s %r is declared by %s, so it cannot be used", self.option, name, packages)
            self._reported.add(name)


def import_object(path: str) -> Any:
    """Return the object at an import path, `module:attribute`."""
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)
