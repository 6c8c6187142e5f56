"""What can go wrong, as types.

::

    ImpastoError                 anything that Impasto says no to; catch this
    ├── InputError               what came in cannot be used
    │   ├── ConfigError          an option, a preset, a combination of options
    │   ├── LayerError           a layer that the network lacks, or that the image is too small for
    │   └── ImageError           a picture that is missing, unreadable, too large, too small
    ├── OutputError              a place that cannot be written
    ├── WeightsError             weights that are missing, wrong, or out of reach
    ├── RecipeError              a picture without a usable recipe, or a recipe whose inputs changed
    └── DivergenceError          a run that could not be brought back from NaN

Each message says what came, what was wanted and what to do, on one line.
"""

from __future__ import annotations


class ImpastoError(Exception):
    """Anything that Impasto says no to."""


class InputError(ImpastoError):
    """What came in cannot be used."""


class ConfigError(InputError):
    """An option, a preset, or a combination of options makes no sense."""


class LayerError(InputError):
    """A layer that the network does not have, or that the image is too small for."""


class ImageError(InputError):
    """A picture that is missing, unreadable, too large or too small."""


class OutputError(ImpastoError, OSError):
    """A place that cannot be written."""


class WeightsError(ImpastoError):
    """Weights that are missing, wrong, or out of reach."""


class RecipeError(ImpastoError):
    """A picture without a usable recipe, or a recipe whose inputs are missing or changed."""


class DivergenceError(ImpastoError):
    """A run that could not be brought back from NaN or an exploding loss."""


def one_line(error: BaseException) -> str:
    """Return an error's message on one line, or its type's name if it has none."""
    return " ".join((str(error) or type(error).__name__).split())
