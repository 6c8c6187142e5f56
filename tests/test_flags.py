"""Errors on the command line name options as flags, and leave everything else alone."""

from __future__ import annotations

import pytest

from impasto.cli.flags import name_flags


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("alpha = -1.0 is refused: input should be 0 or more.", "--alpha -1.0 is refused: input should be 0 or more."),
        (
            "color = 'luminance' keeps the photo's colors: leave out palette_strength and recolor_content.",
            "--color luminance keeps the photo's colors: leave out --palette-strength and --recolor-content.",
        ),
        ("`effort` and `iterations` both set the steps.", "--effort and --iterations both set the steps."),
        ("style_weights: every share is 0.", "--style-weights: every share is 0."),
        ("end = 3 s is not after start = 5 s.", "--end 3 s is not after --start 5 s."),
        ("scales = 9 does not fit.", "--scales 9 does not fit."),
        ("Raise --memory, lower --size or --dpi.", "Raise --memory, lower --size or --dpi."),
        ("style_scale.png: no such file.", "style_scale.png: no such file."),
        ("photos/color = 1/style_scale: no such file.", "photos/color = 1/style_scale: no such file."),
        (
            "The size of the print: `nothing`, no_option, color.",
            "The size of the print: `nothing`, no_option, color.",
        ),
    ],
)
def test_options_become_flags(text: str, shown: str) -> None:
    assert name_flags(text) == shown
