"""Print sizes: paper by name or by its sides, lengths with units, and the pixels that they come to."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field

from impasto.config.model import option
from impasto.errors import ConfigError

__all__ = [
    "BLEED",
    "DPI",
    "FIT",
    "MM_PER_INCH",
    "NO_PRINT",
    "PRINT",
    "Fit",
    "Millimeters",
    "Paper",
    "PrintSize",
    "Resolution",
    "parse_millimeters",
    "parse_paper",
    "require_px",
]

PRINTING = "Print"

MM_PER_INCH = 25.4

UNITS_MM = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "in": MM_PER_INCH, "inch": MM_PER_INCH, '"': MM_PER_INCH}

PAPERS_MM = {
    "a0": (841, 1189),
    "a1": (594, 841),
    "a2": (420, 594),
    "a3": (297, 420),
    "a4": (210, 297),
    "a5": (148, 210),
    "a6": (105, 148),
    "a7": (74, 105),
    "letter": (8.5 * MM_PER_INCH, 11 * MM_PER_INCH),
    "legal": (8.5 * MM_PER_INCH, 14 * MM_PER_INCH),
    "tabloid": (11 * MM_PER_INCH, 17 * MM_PER_INCH),
}
"""Portrait sizes: ISO 216 and ANSI."""

NO_PRINT = "none"

MAX_SIDE_PX = 100_000

NUMBER, UNIT = r"(\d+(?:\.\d+)?|\.\d+)", r'(mm|cm|m|inch|in|")?'
SIDES = re.compile(rf"{NUMBER} ?{UNIT} ?[x×] ?{NUMBER} ?{UNIT}")
NAMED = re.compile(r"([a-z]\w*?)(?: ?-? ?(landscape|portrait))?")

Fit = Literal["crop", "pad", "inside"]


class Paper(NamedTuple):
    """The sides of a paper. One that `turns` has the photo's orientation."""

    width_mm: float
    height_mm: float
    turns: bool = False

    def turned_to(self, height: int, width: int) -> Paper:
        """Return the paper as it lies under a photo of this size."""
        if not self.turns:
            return self
        short_mm, long_mm = sorted(self[:2])
        return Paper(long_mm, short_mm) if width > height else Paper(short_mm, long_mm)

    def size_px(self, dpi: float, bleed_mm: float = 0.0) -> tuple[int, int]:
        """Return height and width in pixels, with a bleed on each side."""
        height, width = (round((side + 2 * bleed_mm) / MM_PER_INCH * dpi) for side in (self.height_mm, self.width_mm))
        return height, width


def parse_paper(text: str) -> Paper:
    """Parse a print size: `A4`, `A3 landscape`, `40x30cm`, `8x10in`. Raises `ConfigError`."""
    plain = " ".join(str(text).lower().split())
    if sides := SIDES.fullmatch(plain):
        width, unit, height, last_unit = sides.groups()
        unit, last_unit = unit or last_unit, last_unit or unit
        if unit is None:
            raise ConfigError(f"{text!r} has no unit. Write {plain}cm, {plain}mm or {plain}in.")
        paper = Paper(float(width) * UNITS_MM[unit], float(height) * UNITS_MM[last_unit])
        if not min(paper[:2]) > 0:
            raise ConfigError(f"A print of {text} has no area. Give both sides more than 0.")
        return paper
    named = NAMED.fullmatch(plain)
    if named is None or named[1] not in PAPERS_MM:
        names = ", ".join(sorted(PAPERS_MM)).replace("a", "A", 8)
        raise ConfigError(f"{text!r} is no print size. Write WIDTHxHEIGHT with a unit, such as 40x30cm, or {names}.")
    paper = Paper(*PAPERS_MM[named[1]], turns=named[2] is None)
    return Paper(paper.height_mm, paper.width_mm) if named[2] == "landscape" else paper


def _normalize(value: Any) -> Any:
    """Return a print size as text in one spelling. Raises `ConfigError`."""
    if value is None or str(value).strip().lower() in ("", NO_PRINT):
        return NO_PRINT
    parse_paper(value)
    plain = " ".join(str(value).lower().split())
    return plain[0].upper() + plain[1:] if plain[0] == "a" else plain.replace("×", "x")


PrintSize = Annotated[str, BeforeValidator(_normalize)]
"""A print size as text, or "none"."""


def parse_millimeters(value: Any) -> Any:
    """`"3mm"`, `"0.125in"` or a number of millimeters -> millimeters. Raises `ConfigError`."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(rf"\s*{NUMBER}\s*{UNIT}\s*", value.lower())
    if match is None:
        raise ConfigError(f"{value!r} is no length. Write 3mm, 0.3cm or 0.125in.")
    return float(match[1]) * UNITS_MM[match[2] or "mm"]


Millimeters = Annotated[float, BeforeValidator(parse_millimeters), Field(ge=0, le=1000)]
Resolution = Annotated[float, Field(gt=0, le=10_000)]


def require_px(paper: Paper, bleed_mm: float, dpi: float) -> None:
    """Raise `ConfigError` if a print has no pixels, or too many."""
    height, width = paper.size_px(dpi, bleed_mm)
    if min(paper.size_px(dpi)) < 1 or max(height, width) > MAX_SIDE_PX:
        raise ConfigError(
            f"The print comes to {width}x{height} px, and a side must have 1 to {MAX_SIDE_PX}. "
            f"{'Lower' if max(height, width) > MAX_SIDE_PX else 'Raise'} `dpi`, or choose another size."
        )


PRINT = option(
    NO_PRINT,
    group=PRINTING,
    label="Print size",
    description="Size of a print, which sets the pixels in place of --size: WIDTHxHEIGHT such as 40x30cm or 8x10in, or "
    "a paper such as A4, which lies as the photo does, or A4 landscape. none: pixels by --size.",
    example="20x20mm",
)
DPI = option(
    300,
    group=PRINTING,
    label="Pixels per inch (dpi)",
    description="Pixels per inch of the print. It is written into PNG, JPEG, TIFF and EXR.",
    example=150,
)
FIT = option(
    "crop",
    group=PRINTING,
    description="Fit of the photo to the print. crop: fill the paper, and cut off what is left over equally at both "
    "ends. pad: paint the whole photo as large as fits, on white paper. inside: the same without the paper.",
    example="inside",
)
BLEED = option(
    0,
    group=PRINTING,
    label="Bleed (mm)",
    description="Margin to add on each side of the print, which is cut off after printing: 3mm, 0.125in, or a number "
    "of millimeters.",
    example="3mm",
)
