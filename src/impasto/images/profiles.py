"""Color profiles of output files: read, checked, and applied."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyvips

from impasto.config.run_options import BUILT_IN_PROFILES, SRGB, Intent
from impasto.errors import ConfigError

__all__ = ["OutputProfile", "convert", "load_profile"]

MAX_BYTES = 64 * 10**6
"""Larger than any profile: a press profile has 0.5 to 4 MB."""

SIGNATURE, SIGNATURE_AT, CLASS_AT, SPACE_AT = b"acsp", 36, 12, 16
"""Places in the header of a profile (ICC.1:2022, 7.2)."""

SPACES = {b"RGB ": "rgb", b"CMYK": "cmyk"}
OUTPUT_CLASSES = (b"prtr", b"mntr", b"spac")


@dataclass(frozen=True)
class OutputProfile:
    """A color profile by its name: a built-in one, or the base name of a file. `space` is rgb or cmyk."""

    name: str
    data: bytes
    space: str

    @property
    def is_srgb(self) -> bool:
        """True for the profile of the pixels themselves."""
        return self.name == SRGB

    @property
    def sha256(self) -> str | None:
        """The SHA-256 of a file, None for a built-in profile."""
        return None if self.name in BUILT_IN_PROFILES else hashlib.sha256(self.data).hexdigest()


def load_profile(source: str | Path, *, name: str = "") -> OutputProfile:
    """Read a profile, which is a file or one of the built-in names. Raises `ConfigError`.

    `name` is the file's, if it was stored under another one. Errors tell it, and not the folder.
    """
    if str(source) in BUILT_IN_PROFILES:
        data = bytes(pyvips.Image.profile_load(str(source)))
        return OutputProfile(str(source), data, SPACES[data[SPACE_AT:][:4]])
    path = Path(source)
    shown = name or str(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES)
    except OSError as error:
        choice = ", ".join(BUILT_IN_PROFILES)
        raise ConfigError(
            f"The profile {shown} cannot be read: {error.strerror}. Give a FILE.icc, or {choice}."
        ) from error
    if data[SIGNATURE_AT:][:4] != SIGNATURE:
        raise ConfigError(f"{shown} is no ICC profile. Give the .icc or .icm file of a printer and paper.")
    space = SPACES.get(data[SPACE_AT:][:4])
    if space is None or data[CLASS_AT:][:4] not in OUTPUT_CLASSES:
        kind = " ".join(data[at:][:4].decode("ascii", "replace").strip() for at in (SPACE_AT, CLASS_AT))
        raise ConfigError(
            f"{shown} is a profile for {kind}. Give one of a printer, a press or a screen, in RGB or CMYK."
        )
    profile = OutputProfile(name or path.name, data, space)
    _require_usable(profile, shown)
    return profile


def _require_usable(profile: OutputProfile, shown: str) -> None:
    """Raise `ConfigError` if a pixel cannot be converted to a profile."""
    pixel = pyvips.Image.black(1, 1, bands=3).copy(interpretation="srgb")
    try:
        convert(pixel, profile, "relative", 8).avg()
    except pyvips.Error:
        raise ConfigError(f"{shown} is a damaged ICC profile, or one without the way to it. Give another.") from None


def convert(image: Any, profile: OutputProfile, intent: Intent, bits: int) -> Any:
    """Convert an sRGB image of libvips to a profile, which is then embedded. Alpha is kept beside RGB.

    Relative colorimetric conversion maps black to black (black point compensation). In two steps, because libvips'
    single one is interpolated by LittleCMS: up to 14 of 255 off in CMYK, against 2.
    """
    if profile.is_srgb:
        image = image.copy()
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile.data)
        return image
    options = {"intent": intent, "black_point_compensation": intent == "relative"}
    colors = image[:3].icc_import(input_profile=SRGB, **options).copy()
    colors.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile.data)
    colors = colors.icc_export(depth=bits, **options)
    return colors.bandjoin(image[3].cast(colors.format, shift=True)) if image.bands == 4 else colors
