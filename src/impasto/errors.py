"""The exceptions that Impasto raises.

::

    ImpastoError                 base class of all Impasto errors
    ├── InputError               an input cannot be used
    │   ├── ConfigError          an invalid option, preset, or combination of options
    │   ├── LayerError           a layer that the network lacks, or that needs a larger image
    │   ├── ImageError           a picture that is missing, unreadable, too large or too small
    │   └── VideoError           a clip that is missing, unreadable, or holds no moving picture
    │       └── FrameError       a frame of a clip that is damaged, missing, or of another size
    ├── OutputError              a file that cannot be written
    ├── WeightsError             weights that are missing, wrong, or cannot be downloaded
    ├── RecipeError              a picture without a usable recipe, or a recipe whose inputs changed
    ├── DivergenceError          a run that could not recover from NaN
    └── ForkError                a process that was forked after torch had started threads

Each message is one line: what came, what was wanted, and what to do.
"""

from __future__ import annotations


class ImpastoError(Exception):
    """Base class of all Impasto errors."""


class InputError(ImpastoError):
    """An input that cannot be used."""


class ConfigError(InputError):
    """An invalid option, preset, or combination of options."""


class LayerError(InputError):
    """A layer that the network lacks, or that needs a larger image."""


class ImageError(InputError):
    """A picture that is missing, unreadable, too large or too small."""


class VideoError(InputError):
    """A clip that is missing, unreadable, or holds no moving picture."""


class FrameError(VideoError):
    """A frame of a clip that is damaged, missing, or of another size. Frames before it can be used."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number
        """The number of the frame, from 0."""


class OutputError(ImpastoError, OSError):
    """A file that cannot be written."""


class WeightsError(ImpastoError):
    """Weights that are missing, wrong, or cannot be downloaded."""


class RecipeError(ImpastoError):
    """A picture without a usable recipe, or a recipe whose inputs are missing or changed."""


class DivergenceError(ImpastoError):
    """A run that could not recover from NaN or an exploding loss."""


class ForkError(ImpastoError):
    """A process that was forked after torch had started threads, and cannot compute."""


def one_line(error: BaseException) -> str:
    """Return an error's message on one line, or its type's name if it has none."""
    return " ".join((str(error) or type(error).__name__).split())
