"""Artifacts of style transfer, each measured as one number by a pure function of images.

Laws: images are sRGB in [0, 1], (1, 3, H, W). Content and picture have the same size; the style may have any.
Anything that content or style show themselves is no artifact, so a picture is compared with them. Constants and the
ranges in the docstrings come from photos, paintings and results of 160 to 450 px, clean and damaged on purpose.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from impasto.config.wrap import Dims
from impasto.images.color import compute_luma

__all__ = ["MIN_PX", "border", "checkerboard", "haze", "seam", "speckle"]

ROUNDING = 1 / 12 / 255**2
"""Energy of rounding to 8 bits. Less than this is treated as zero."""

ROWS = 256
"""Rows per block, which bounds memory."""

RING_PX = 8
"""Width of the border. A network's padding reaches a few pixels deep, whatever the size of the picture."""

WINDOW_PX = 64
"""Side of a window of the spectrum. It puts 8 bins between the frequencies that are compared."""

MIN_PX = WINDOW_PX
"""Smallest side that can be measured."""

PERIODS_PX = (2, 4, 8)
"""Strides of pooling, and of AlexNet's first layer."""


def speckle(image: Tensor, content: Tensor, style: Tensor) -> float:
    """Measure isolated pixels, relative to the larger of content's and style's own: up to 1 is clean.

    The excess e of a pixel is its distance to the range of its eight neighbors, in each channel; the result
    compares means of e². Strokes, edges and thin lines have no excess, unlike in a difference to a 3×3 median.
    Painted pictures measure 0.15 to 0.8; one white pixel in 500 gives 2 to 22; AlexNet on plain pixels 2.
    """
    reference = max(_excess_energy(content), _excess_energy(style))
    return _excess_energy(image) / max(reference, ROUNDING)


def border(image: Tensor, content: Tensor) -> float:
    """Measure how far the outer 8 px differ from the next 8, beyond the content's own difference: 0 is clean.

    Each side, without its corners, has two numbers: |Δ mean color| / deviation of the picture, and |ln of the ratio
    of contrasts|, where contrast is the root mean square of differences along the side. What exceeds the content's
    is added up, and the root mean square over the four sides is returned. Painted pictures measure 0.1 to 0.3; edges
    that are a fifth darker give 0.5 to 1.
    """
    excess = [
        max(0.0, color - content_color) + max(0.0, contrast - content_contrast)
        for (color, contrast), (content_color, content_contrast) in zip(
            _border_steps(image), _border_steps(content), strict=True
        )
    ]
    return math.sqrt(sum(value**2 for value in excess) / len(excess))


def haze(image: Tensor, content: Tensor, style: Tensor) -> float:
    """Measure the share of the tonal range that is lost: 0 is clean, 1 is flat.

    The tonal range is the distance from the 2nd to the 98th percentile of luma. It is compared with the smaller of
    content's and style's, because a picture may have either.
    """
    reference = min(_tonal_range(content), _tonal_range(style))
    return max(0.0, reference - _tonal_range(image)) / max(reference, math.sqrt(ROUNDING))


def checkerboard(image: Tensor) -> float:
    """Compare spectral energy at periods of exactly 2, 4 or 8 px with nearby frequencies: about 1 is clean.

    The spectrum of luma is averaged over windows of 64 px (Welch 1967), so it does not depend on the size of the
    picture. At each frequency (i/p, j/p), the mean of 3×3 bins is divided by the larger mean of the bins 2 to 5
    away across or down, and averaged over the frequencies of a period p; the result is the largest of the three
    periods. Clean and noisy pictures measure 0.7 to 1.2; a grid with 0.6 times the root mean square difference of
    neighboring pixels gives 3 or more; AlexNet on plain pixels 2. Periods of 7 and 9 px count in part.
    """
    power = _spectrum(compute_luma(image)[0, 0])
    return max(_peak_ratio_of_period(power, period) for period in PERIODS_PX)


def seam(image: Tensor, wrap: Dims) -> float:
    """Compare the steps across the edges of a picture that repeats with the steps inside: about 1 is clean.

    A step is the root mean square difference of neighboring pixels; the result is the largest ratio of the dimensions
    `wrap`. Pictures painted with `wrap` measure 0.6 to 1.5, others 3 to 6.
    """
    ratios = []
    for dim in wrap:
        across = image.narrow(dim, 0, 1) - image.narrow(dim, -1, 1)
        inside = image.diff(dim=dim).square().mean()
        ratios.append(math.sqrt(float(across.square().mean()) + ROUNDING) / math.sqrt(float(inside) + ROUNDING))
    return max(ratios, default=0.0)


def _peak_ratio_of_period(power: Tensor, period_px: int) -> float:
    bins = range(0, WINDOW_PX, WINDOW_PX // period_px)
    ratios = [_peak_ratio(power, row, column) for row in bins for column in bins if row or column]
    return sum(ratios) / len(ratios)


def _peak_ratio(power: Tensor, row: int, column: int) -> float:
    """Divide the power at a bin by the power of the bins 2 to 5 away."""

    def mean(row_offsets: range, column_offsets: range) -> float:
        rows = torch.tensor([(row + offset) % WINDOW_PX for offset in row_offsets])
        columns = torch.tensor([(column + offset) % WINDOW_PX for offset in column_offsets])
        return float(power[rows[:, None], columns].mean())

    near, before, after = range(-1, 2), range(-5, -1), range(2, 6)
    across = (mean(near, before) + mean(near, after)) / 2
    down = (mean(before, near) + mean(after, near)) / 2
    return mean(near, near) / (max(across, down) + ROUNDING)


def _spectrum(gray: Tensor) -> Tensor:
    """Average the power (WINDOW_PX, WINDOW_PX) over half-overlapping windows of a gray image (H, W)."""
    hann = torch.hann_window(WINDOW_PX)[:, None] * torch.hann_window(WINDOW_PX)  # opposite edges of a window differ
    total, count = torch.zeros(WINDOW_PX, WINDOW_PX), 0
    for top in range(0, gray.shape[0] - WINDOW_PX + 1, WINDOW_PX // 2):
        rows = gray[top : top + WINDOW_PX]
        windows = rows.unfold(1, WINDOW_PX, WINDOW_PX // 2).transpose(0, 1)  # (count, WINDOW_PX, WINDOW_PX)
        centered = windows - windows.mean(dim=(1, 2), keepdim=True)
        total += torch.fft.fft2(centered * hann).abs().square_().sum(dim=0)
        count += len(windows)
    return total / (count * hann.square().sum())


def _excess_energy(image: Tensor) -> float:
    total = 0.0
    for top in range(0, image.shape[2], ROWS):
        # A block needs the row above and below. At the edges of the picture, its last pixels are repeated.
        first, last = max(0, top - 1), min(image.shape[2], top + ROWS + 1)
        rows = F.pad(image[:, :, first:last], (1, 1, top == 0, last < top + ROWS + 1), mode="replicate")
        neighbors = torch.stack([_shift(rows, dy, dx) for dy in range(3) for dx in range(3) if (dy, dx) != (1, 1)])
        center = _shift(rows, 1, 1)
        excess = (center - neighbors.amax(dim=0)).clamp_(min=0) + (neighbors.amin(dim=0) - center).clamp_(min=0)
        total += float(excess.square_().sum())
    return total / image.numel()


def _shift(rows: Tensor, dy: int, dx: int) -> Tensor:
    height, width = rows.shape[2:]
    return rows[:, :, dy : height - 2 + dy, dx : width - 2 + dx]


def _border_steps(image: Tensor) -> list[tuple[float, float]]:
    """Measure, for each side, the step from the outer ring to the next one, in color and in contrast."""
    deviation = max(float(image.flatten(2).std(dim=2).mean()), math.sqrt(ROUNDING))
    transposed = image.transpose(2, 3)
    steps = []
    for side in (image, image.flip(2), transposed, transposed.flip(2)):  # each with its own edge on top
        middle = side[..., 2 * RING_PX : -2 * RING_PX]  # corners belong to other sides too
        outer, inner = middle[:, :, :RING_PX], middle[:, :, RING_PX : 2 * RING_PX]
        color = (outer.mean(dim=(2, 3)) - inner.mean(dim=(2, 3))).square().mean().sqrt()
        steps.append((float(color) / deviation, abs(math.log(_contrast(outer) / _contrast(inner)))))
    return steps


def _contrast(ring: Tensor) -> float:
    """Measure contrast along the ring only, so that a step across it does not count."""
    return math.sqrt(float(ring.diff(dim=3).square().mean()) + ROUNDING)


def _tonal_range(image: Tensor) -> float:
    levels = compute_luma(image).flatten().numpy()
    low, high = (round(share * (len(levels) - 1)) for share in (0.02, 0.98))
    partitioned = np.partition(levels, (low, high))
    return float(partitioned[high] - partitioned[low])
