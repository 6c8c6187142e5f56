"""Options of the way from the start to the picture: start, optimizer, steps and scales."""

from __future__ import annotations

from typing import Literal

from impasto.config.groups import DESCENT, MAIN, START
from impasto.config.layer_chain import LARGE_PX
from impasto.config.model import Options, option
from impasto.config.networks import describe_by_network
from impasto.config.schedule import (
    COARSEST_PX,
    EFFORTS,
    MAX_STEPS,
    NEIGHBOR_COARSEST_PX,
    SETTLING_STEPS,
    UNSETTLED_FALL,
)
from impasto.config.style_losses import describe_dense_losses
from impasto.config.types import Auto, FourierPower, ScaleCount, Share, Start, StepCount

__all__ = ["DescentOptions"]

_FOURIER_POWER = describe_by_network(lambda network: f"{network.fourier_power:g}")
_ITERATIONS = describe_by_network(lambda network: network.iterations)
_DENSE_LOSSES = describe_dense_losses()


class DescentOptions(Options):
    """Options of the way from the start to the picture."""

    init: Auto[Start] = option(
        None,
        group=MAIN,
        label="Start",
        description="Start of the target. recolored: the photo in the painting's colors. image: a picture given as "
        "input. auto: noise, or recolored for a painting of flat colors and with "
        "--content-loss self-similarity.",
        example="style",
    )
    init_noise: Literal["pink", "white"] = option(
        "pink", group=START, description="Spectrum of the noise. pink: 1/f, like photos.", example="white"
    )
    noise_std: float = option(
        0.02,
        group=START,
        ge=0,
        le=1,
        description="Standard deviation of the noise, for pixels between 0 and 1.",
        example=0.2,
    )
    seed: int = option(0, group=START, ge=0, lt=2**63, description="Seed of the noise.", example=3)
    optimizer: Literal["lbfgs", "adam"] = option(
        "lbfgs", group=DESCENT, description="Optimization algorithm.", example="adam"
    )
    parametrization: Literal["fourier", "pixels"] = option(
        "fourier",
        group=DESCENT,
        description="Variables to optimize: pixels, or Fourier coefficients weighted toward low frequencies, which "
        "need fewer steps and leave less grain.",
        example="pixels",
    )
    fourier_power: Auto[FourierPower] = option(
        None,
        group=DESCENT,
        description=f"Strength of that weighting: higher is smoother. auto: {_FOURIER_POWER}.",
        example=3,
    )
    clamp: bool = option(
        True,
        group=DESCENT,
        description="Clamp the target to [0, 1] before it is measured. Off: clamp the finished picture only.",
        example=False,
    )
    iterations: Auto[StepCount] = option(
        None,
        group=MAIN,
        label="Steps",
        description=f"Number of steps at full size. auto: {_ITERATIONS}; by --effort. More, up to {MAX_STEPS}, while "
        f"the loss falls by over {UNSETTLED_FALL:.0%} in {SETTLING_STEPS} steps.",
        example=3,
    )
    effort: Literal["draft", "normal", "best"] = option(
        "normal",
        group=MAIN,
        description=f"Time to spend, where --iterations is auto: draft has {EFFORTS['draft']:g} times the steps, best "
        f"{EFFORTS['best']:g} times, for cleaner strokes. It chooses --supersample too.",
        example="best",
    )
    scales: Auto[ScaleCount] = option(
        None,
        group=DESCENT,
        description="Number of sizes, each twice the one before; the coarse ones paint large structure. auto: from "
        f"about {COARSEST_PX} px, or {NEIGHBOR_COARSEST_PX} with --style-loss neighbor. 1: full size only.",
        example=2,
    )
    detail_transfer: Auto[Share] = option(
        None,
        group=DESCENT,
        description="Share of the photo's fine detail that is added when the target is enlarged, which saves a tenth "
        "of the steps. auto: 1; 0 where the style is to paint the detail: with --style-loss neighbor, and above "
        f"{LARGE_PX} px as painted with {_DENSE_LOSSES}.",
        example=0.5,
    )
    lbfgs_history: int = option(
        20,
        group=DESCENT,
        label="L-BFGS history",
        ge=1,
        le=1000,
        description="Number of steps that L-BFGS remembers.",
        example=1,
    )
    learning_rate: float = option(0.05, group=DESCENT, gt=0, le=100, description="Step size of Adam.", example=0.3)
