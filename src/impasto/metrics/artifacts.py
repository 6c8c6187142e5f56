"""What must not be in a good picture, each as a number: pure functions of images.

Laws: images are sRGB in [0, 1], (1, 3, H, W). A content has the size of the picture it is compared with; a style
any. What content or style have themselves is no defect, so each is measured against them. The constants were
chosen on photos, paintings and painted pictures from 160 to 450 px, clean and spoiled on purpose: what they said
then stands with each.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.images.color import luma

__all__ = ["LEAST_PX", "border", "checkerboard", "haze", "speckle"]

ROUNDING = 1 / 12 / 255**2
"""Energy of rounding to 8 bits: what is less is nothing."""

ROWS = 256
"""Worked on at a time."""

RING = 8
"""Pixels. A network's padding is felt a few pixels deep, whatever the size of the picture."""

WINDOW = 64
"""Pixels a side of what a spectrum is taken of: 8 bins between the frequencies that are looked at."""

LEAST_PX = WINDOW
"""The smallest side that can be looked at."""

PERIODS = (2, 4, 8)
"""Pixels: the strides of pooling, and AlexNet's first one."""


def speckle(image: Tensor, content: Tensor, style: Tensor) -> float:
    """Energy of lone pixels over the larger of content's and style's own: up to 1 is clean.

    A pixel's excess e is how far it lies outside the range of its eight neighbors, in each channel; the energy
    is the mean of e². Strokes, edges and thin lines have none, which a difference to a 3×3 median has. Painted
    pictures had 0.15 to 0.8, and 2 to 22 with one white pixel in 500; one by AlexNet on plain pixels 2.
    """
    own = max(_lone_energy(content), _lone_energy(style))
    return _lone_energy(image) / max(own, ROUNDING)


def border(image: Tensor, content: Tensor) -> float:
    """How much the outermost 8 pixels differ from the next 8 more than the content's do: 0 is clean.

    For each side without its corners, |Δ mean color| / deviation of the picture, and |ln of the ratio of
    contrasts|, where contrast is the root mean square of differences along the side; what exceeds the content's of
    both is added, and the root mean square over the four sides taken. Painted pictures had 0.1 to 0.3; with edges
    a fifth darker, 0.5 to 1.
    """
    excess = [
        max(0.0, color - own_color) + max(0.0, contrast - own_contrast)
        for (color, contrast), (own_color, own_contrast) in zip(_steps(image), _steps(content), strict=True)
    ]
    return math.sqrt(sum(value**2 for value in excess) / len(excess))


def haze(image: Tensor, content: Tensor, style: Tensor) -> float:
    """Share of the tonal range that is lost: 0 is clean, 1 is flat.

    The range is that of brightness from the 2nd to the 98th percentile; it is compared with the smaller of
    content's and style's, for a picture may have either.
    """
    own = min(_tonal_range(content), _tonal_range(style))
    return max(0.0, own - _tonal_range(image)) / max(own, math.sqrt(ROUNDING))


def checkerboard(image: Tensor) -> float:
    """Spectral energy at periods of exactly 2, 4 or 8 px over that of frequencies beside them: about 1 is clean.

    The spectrum is that of brightness in windows of 64 px, averaged over the picture (Welch 1967), so that its size
    does not matter. For each of the frequencies (i/p, j/p): the mean of 3×3 bins over the larger mean of those 2
    to 5 bins away across or down; averaged over the frequencies of each period p, the largest of the three. Clean
    pictures had 0.7 to 1.2, with noise too; with a grid 0.6 times as high as neighboring pixels differ (root mean
    square) 3 or more; one by AlexNet on plain pixels 2. Periods of 7 and 9 px count in part.
    """
    power = _spectrum(luma(image)[0, 0])

    def mean(row: int, column: int, down: range, across: range) -> float:
        rows = torch.tensor([(row + step) % WINDOW for step in down])
        columns = torch.tensor([(column + step) % WINDOW for step in across])
        return float(power[rows[:, None], columns].mean())

    def peak(row: int, column: int) -> float:
        near, before, after = range(-1, 2), range(-5, -1), range(2, 6)
        across = (mean(row, column, near, before) + mean(row, column, near, after)) / 2
        down = (mean(row, column, before, near) + mean(row, column, after, near)) / 2
        return mean(row, column, near, near) / (max(across, down) + ROUNDING)

    def of_period(period: int) -> float:
        places = range(0, WINDOW, WINDOW // period)
        peaks = [peak(row, column) for row in places for column in places if row or column]
        return sum(peaks) / len(peaks)

    return max(of_period(period) for period in PERIODS)


def _spectrum(gray: Tensor) -> Tensor:
    """Mean power (WINDOW, WINDOW) of the windows of a gray image (H, W), half over each other."""
    hann = torch.hann_window(WINDOW)[:, None] * torch.hann_window(WINDOW)  # a window's edges do not meet
    total, count = torch.zeros(WINDOW, WINDOW), 0
    for top in range(0, gray.shape[0] - WINDOW + 1, WINDOW // 2):
        windows = gray[top : top + WINDOW].unfold(1, WINDOW, WINDOW // 2).transpose(0, 1)  # (count, WINDOW, WINDOW)
        level = windows - windows.mean(dim=(1, 2), keepdim=True)
        total += torch.fft.fft2(level * hann).abs().square_().sum(dim=0)
        count += len(windows)
    return total / (count * hann.square().sum())


def _lone_energy(image: Tensor) -> float:
    total = 0.0
    for top in range(0, image.shape[2], ROWS):
        # A row above and below belongs to what is looked at; beyond the picture its last pixels go on.
        first, last = max(0, top - 1), min(image.shape[2], top + ROWS + 1)
        rows = F.pad(image[:, :, first:last], (1, 1, top == 0, last < top + ROWS + 1), mode="replicate")
        around = torch.stack([_shifted(rows, dy, dx) for dy in range(3) for dx in range(3) if (dy, dx) != (1, 1)])
        here = _shifted(rows, 1, 1)
        excess = (here - around.amax(dim=0)).clamp_(min=0) + (around.amin(dim=0) - here).clamp_(min=0)
        total += float(excess.square_().sum())
    return total / image.numel()


def _shifted(rows: Tensor, dy: int, dx: int) -> Tensor:
    height, width = rows.shape[2:]
    return rows[:, :, dy : height - 2 + dy, dx : width - 2 + dx]


def _steps(image: Tensor) -> list[tuple[float, float]]:
    """For each side, the step from its ring to the next one, in color and in contrast."""
    deviation = max(float(image.flatten(2).std(dim=2).mean()), math.sqrt(ROUNDING))
    turned = image.transpose(2, 3)
    steps = []
    for side in (image, image.flip(2), turned, turned.flip(2)):  # each with its own edge on top
        middle = side[..., 2 * RING : -2 * RING]  # the corners are the other sides' too
        outer, inner = middle[:, :, :RING], middle[:, :, RING : 2 * RING]
        color = (outer.mean(dim=(2, 3)) - inner.mean(dim=(2, 3))).square().mean().sqrt()
        steps.append((float(color) / deviation, abs(math.log(_contrast(outer) / _contrast(inner)))))
    return steps


def _contrast(strip: Tensor) -> float:
    """Along the strip only: a step across it is no contrast of its own."""
    return math.sqrt(float(strip.diff(dim=3).square().mean()) + ROUNDING)


def _tonal_range(image: Tensor) -> float:
    levels = luma(image).flatten().numpy()
    low, high = (round(share * (len(levels) - 1)) for share in (0.02, 0.98))
    sorted_there = np.partition(levels, (low, high))
    return float(sorted_there[high] - sorted_there[low])
