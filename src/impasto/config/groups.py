"""Headings of the groups that options are shown in: help, the studio's form and the documentation."""

__all__ = ["DESCENT", "MAIN", "MEASURE", "START", "STYLE"]

MAIN = "Picture"
MEASURE = "Content and style"
STYLE = "Strokes and surface"
START = "Noise"
DESCENT = "Optimization"
