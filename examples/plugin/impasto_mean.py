"""A style loss in its own package: the means of the channels. Install it, then use `--style-loss mean`."""

from torch import Tensor

from impasto.core.statistics import Moments


def channel_means(moments: Moments) -> Tensor:
    """Compute the mean of each channel, (C,)."""
    return moments.sum / moments.count
