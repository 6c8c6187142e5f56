"""Image -> losses and their gradient, plainly, by autograd. Every faster engine is tested against this one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from impasto.config import ResolvedConfig
from impasto.core.encoder import Encoder, Features
from impasto.core.masks import Region, downsample_masks
from impasto.core.objective import Losses, Measured, Objective, StyleParts, make_objective
from impasto.core.statistics import Moments, compute_moments_by_region
from impasto.core.style_losses import find_style_loss
from impasto.core.tensor_store import RamStore, TensorStore

__all__ = ["AutogradEngine", "Engine", "Evaluation", "Evaluator", "build_objective"]


@dataclass(frozen=True)
class Evaluation:
    """Losses of an image, and d(total)/d(image), (1, 3, H, W), which is the receiver's to change."""

    losses: Losses
    gradient: Tensor


Evaluator = Callable[[Tensor], Evaluation]


class Engine(Protocol):
    """How pictures are measured. All engines give the same answers; they differ in time and memory."""

    encoder: Encoder
    store: TensorStore

    def features(self, image: Tensor, layers: Iterable[str]) -> Features:
        """Features of an image (1, 3, H, W) at `layers`."""

    def moments(
        self, image: Tensor, layers: Iterable[str], guides: dict[str, Tensor] | None = None
    ) -> dict[str, tuple[Moments, ...]]:
        """Moments of its features at `layers`, for each region that `guides` (R, h, w) by layer have, or the whole."""

    def measure(self, objective: Objective, image: Tensor) -> Losses:
        """Losses without a gradient, for the report on a finished picture."""

    def evaluator(self, objective: Objective) -> Evaluator:
        """What descent asks at every step."""

    def precise_evaluator(self, objective: Objective) -> Evaluator | None:
        """A more precise evaluator for the last steps, if there is one."""


def build_objective(
    engine: Engine,
    content: Tensor,
    styles: Sequence[tuple[float, Tensor]],
    config: ResolvedConfig,
    regions: Sequence[Region] = (),
) -> Objective:
    """Measure the content and each style (share, image) once; sizes may differ. Raises `LayerError`.

    With `regions`, each is painted from the styles that it names; without, the whole from all of them.
    """
    features = engine.features(content, [name for name, _ in config.content_layers])
    layers = [name for name, _ in config.style_layers]
    if not regions:
        whole = _whole(engine, styles, layers, needs_features=find_style_loss(config.style_loss).needs_features)
        return make_objective(features, content, [(1.0, whole)], {}, config, engine.store)
    guides = downsample_masks(
        [region.mask for region in regions], engine.encoder.network, layers, content, engine.store
    )
    painted = zip((region.share for region in regions), _by_region(engine, styles, layers, regions), strict=True)
    return make_objective(features, content, list(painted), guides, config, engine.store)


def _whole(
    engine: Engine, styles: Sequence[tuple[float, Tensor]], layers: Sequence[str], *, needs_features: bool
) -> StyleParts:
    def measured(image: Tensor) -> Mapping[str, Measured]:
        if needs_features:
            return engine.features(image, layers)
        return {layer: whole for layer, (whole,) in engine.moments(image, layers).items()}

    seen = [(share, measured(image)) for share, image in styles]
    return {layer: [(share, found[layer]) for share, found in seen] for layer in layers}


def _by_region(
    engine: Engine, styles: Sequence[tuple[float, Tensor]], layers: Sequence[str], regions: Sequence[Region]
) -> list[StyleParts]:
    """Each style measured once, for all regions that use it."""
    parts: list[StyleParts] = [{layer: [] for layer in layers} for _ in regions]
    for number, (_, image) in enumerate(styles):
        users = [
            (into, use)
            for into, region in zip(parts, regions, strict=True)
            for use in region.uses
            if use.style == number
        ]
        if not users:
            continue
        guides = downsample_masks([use.mask for _, use in users], engine.encoder.network, layers, image, engine.store)
        found = engine.moments(image, layers, guides)
        for layer in layers:
            for (into, use), moments in zip(users, found[layer], strict=True):
                into[layer].append((use.share, moments))
    return parts


class AutogradEngine:
    """Takes the whole image at once and lets autograd write the chain rule."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.store: TensorStore = RamStore(encoder.device)

    @torch.no_grad()
    def features(self, image: Tensor, layers: Iterable[str]) -> Features:
        """Features of an image."""
        return self.encoder(image, layers)

    @torch.no_grad()
    def moments(
        self, image: Tensor, layers: Iterable[str], guides: dict[str, Tensor] | None = None
    ) -> dict[str, tuple[Moments, ...]]:
        """Moments of its features."""
        found = self.encoder(image, layers)
        return {
            layer: compute_moments_by_region(features, (guides or {}).get(layer)) for layer, features in found.items()
        }

    @torch.no_grad()
    def measure(self, objective: Objective, image: Tensor) -> Losses:
        """Losses without a gradient."""
        return objective.losses(image, self.encoder(image, objective.layers))

    def evaluator(self, objective: Objective) -> Evaluator:
        """Losses and gradient of the whole image."""

        def evaluate(image: Tensor) -> Evaluation:
            pixels = image.detach().requires_grad_()
            with torch.enable_grad():
                losses = objective.losses(pixels, self.encoder(pixels, objective.layers))
                (gradient,) = torch.autograd.grad(losses.total, pixels)
            return Evaluation(losses.detach(), gradient)

        return evaluate

    def precise_evaluator(self, objective: Objective) -> Evaluator | None:
        """None: it is precise."""
        return None
