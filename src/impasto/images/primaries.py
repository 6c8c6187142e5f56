"""Linear light of other primaries, such as ACEScg or Rec. 2020 -> linear light of sRGB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impasto.errors import ImageError

__all__ = ["REC709", "matrix_to_rec709"]

REC709 = (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329)
"""Chromaticities (x, y) of red, green, blue and white: sRGB's, and OpenEXR's for files that state none."""

SAME = 1e-3
"""Difference of chromaticities that are the same: files round them to three or four digits."""

BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
"""XYZ -> responses of the eye, in which a white point is adapted to another (ICC.1:2022, annex E)."""

Matrix = NDArray[np.floating[Any]]


def matrix_to_rec709(chromaticities: Sequence[float], label: str) -> Matrix | None:
    """Return the matrix from RGB of these chromaticities to that of sRGB, white to white; None if they are the same.

    Raises `ImageError` if they span no colors.
    """
    values = np.asarray(chromaticities, np.float64)
    if values.shape == (8,) and np.allclose(values, REC709, rtol=0, atol=SAME):
        return None
    try:
        with np.errstate(all="ignore"):
            matrix = np.linalg.solve(_to_xyz(np.array(REC709)), _adaptation(values[6:]) @ _to_xyz(values))
    except (np.linalg.LinAlgError, ValueError, IndexError):
        matrix = np.full((3, 3), np.nan)
    if not (np.isfinite(matrix).all() and np.linalg.cond(matrix) < 1e6):
        numbers = ", ".join(f"{value:g}" for value in values.ravel())
        raise ImageError(f"{label} has chromaticities that span no colors: {numbers}. Export it again, as Rec. 709.")
    return matrix


def _to_xyz(chromaticities: Matrix) -> Matrix:
    """Return the matrix from RGB to CIE XYZ. White has Y = 1 (SMPTE RP 177)."""
    primaries = _homogeneous(chromaticities[:6].reshape(3, 2)).T
    return primaries * np.linalg.solve(primaries, _white_xyz(chromaticities[6:]))


def _adaptation(white: Matrix) -> Matrix:
    """Return the matrix that takes colors seen in the light of `white` to those in the light of sRGB's white."""
    before, after = (BRADFORD @ _white_xyz(point) for point in (white, np.array(REC709[6:])))
    return np.linalg.solve(BRADFORD, np.diag(after / before) @ BRADFORD)


def _white_xyz(white: Matrix) -> Matrix:
    xyz: Matrix = _homogeneous(white[None])[0] / white[1]
    return xyz


def _homogeneous(points: Matrix) -> Matrix:
    """Return (x, y, z) of points (x, y), which add up to 1."""
    return np.column_stack([points, 1 - points.sum(axis=1)])
