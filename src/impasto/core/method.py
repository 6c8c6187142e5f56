"""Neural style transfer, top to bottom: three images, of which only the target learns.

    content image ─┐
    style image ───┼→ frozen network → losses → gradient on the target's pixels → next step
    target image ──┘

pictures → a pyramid of sizes → at each: targets, then descent → the next size → a picture.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from impasto.config import ResolvedConfig
from impasto.core.descent import State
from impasto.core.evaluate import Engine, build_objective
from impasto.core.image import Picture, fit, resize
from impasto.core.masks import Region
from impasto.core.objective import Losses, Objective
from impasto.core.optimize import descend
from impasto.core.protect import ProtectedImage
from impasto.core.pyramid import Scale
from impasto.core.tensor_store import TensorStore, clamp_unit, clone, iter_chunks

__all__ = ["Progress", "ResumePoint", "RunInputs", "Style", "finalize", "render", "stylize_steps"]


@dataclass(frozen=True)
class Style:
    """A style image, its share of the styles' one, and its long side over that of the target."""

    picture: Picture
    share: float
    scale: float


@dataclass(frozen=True)
class RunInputs:
    """The loaded pictures of a run, and the sizes that the target goes through.

    `retouch` is done to the painted picture in the end, such as putting colors back. `regions` are painted each
    from styles of their own, and `free`, (1, 1, H, W), is 0 where the content stays. `records`, by role, tell whoever
    asks where all this came from.
    """

    content: Picture
    styles: tuple[Style, ...]
    init: Picture | None
    scales: tuple[Scale, ...]
    retouch: Callable[[Tensor], Tensor] | None = None
    regions: tuple[Region, ...] = ()
    free: Tensor | None = None
    records: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ResumePoint:
    """What the same run goes on from, to the bit: after a step of this scale, counted from 1.

    `evaluations` and `restarts` are of the whole run.
    """

    scale: int
    state: State
    evaluations: int
    restarts: int
    elapsed_s: float


@dataclass(frozen=True)
class Progress(ResumePoint):
    """Where a run stands after one step. `image` is a view that is valid until the next step.

    `objective` is what is asked of it at this scale. `gradient_rms` is d(numel × total)/d(pixel), root mean square.
    """

    scene: RunInputs
    image: Tensor
    losses: Losses
    gradient_rms: float
    objective: Objective

    @property
    def iteration(self) -> int:
        """The step of this scale, counted from 1."""
        return self.state.iteration

    @property
    def size(self) -> Scale:
        """The size being painted, and the steps planned there."""
        return self.scene.scales[self.scale - 1]

    @property
    def is_last(self) -> bool:
        """Whether the run ends with this step."""
        return self.scale == len(self.scene.scales) and self.iteration == self.size.iterations


def stylize_steps(
    scene: RunInputs, config: ResolvedConfig, *, engine: Engine, since: ResumePoint | None = None
) -> Generator[Progress, None, None]:
    """The method as a stream of steps, or those `since` some step. Close it to stop; any step can be `finalize`.

    Raises `ImageError`, `LayerError`, `ConfigError` before the first step.
    """
    began = time.perf_counter() - (since.elapsed_s if since else 0)
    encoder, store = engine.encoder, engine.store
    style_layers = [name for name, _ in config.style_layers]
    layers = [*(name for name, _ in config.content_layers), *style_layers]
    encoder.require_size(scene.content.pixels, layers, what="The target, like the content, at")
    for style in scene.styles:
        encoder.require_size(style.picture.pixels, style_layers, what=f"The style {style.picture.name or 'image'} at")
    target: Tensor | None = None
    evaluations = since.evaluations - since.state.evaluations if since else 0
    restarts = since.restarts - since.state.restarts if since else 0
    for number, scale in enumerate(scene.scales, start=1):
        if since and number < since.scale:
            continue
        last: State | None = since.state if since and number == since.scale else None
        # region start of a scale
        objective = objective_at(scene, scale, config, engine)
        if last is not None:
            target = last.image
        elif target is None:
            target = initial_target(scene, config, scale, store)
        else:
            target = upscale_target(target, scene, scene.scales[number - 2], scale, config, store)
        # endregion
        is_full_size = number == len(scene.scales)
        evaluate, refine = engine.evaluator(objective), engine.precise_evaluator(objective) if is_full_size else None
        cover = protect_at(scene, scale, store)
        if cover is not None:
            evaluate, refine = cover.wrap(evaluate), refine and cover.wrap(refine)
        for step in descend(evaluate, target, config, scale.iterations, refine=refine, store=store, since=last):
            last = step
            yield Progress(
                number,
                step,
                evaluations + step.evaluations,
                restarts + step.restarts,
                time.perf_counter() - began,
                scene,
                cover.apply(step.image) if cover else step.image,
                step.losses,
                step.gradient_rms,
                objective,
            )
        assert last is not None  # a scale has at least one step
        target = last.image
        evaluations += last.evaluations
        restarts += last.restarts


def finalize(progress: Progress, config: ResolvedConfig, *, engine: Engine) -> tuple[Tensor, Losses]:
    """The picture as it stands, at the size asked for, and the losses of its target in float32."""
    scene, full = progress.scene, progress.scene.scales[-1]
    # Stopped at a coarse scale, the targets are those of another size.
    objective = progress.objective if progress.size is full else objective_at(scene, full, config, engine)
    target, picture = render(progress, engine.store)
    return picture, engine.measure(objective, target)


def render(progress: Progress, store: TensorStore) -> tuple[Tensor, Tensor]:
    """The target as it stands, clamped and at the size asked for; and the same retouched."""
    scene, full = progress.scene, progress.scene.scales[-1]
    target = clamp_unit(store, resize(progress.image, full.height, full.width))
    cover = protect_at(scene, full, store)
    if cover is not None:
        target = cover.apply(target)  # exactly, where it was resized
    return target, scene.retouch(target) if scene.retouch else target


def protect_at(scene: RunInputs, scale: Scale, store: TensorStore) -> ProtectedImage | None:
    """What keeps the content where it stays, at one scale; None where all is painted."""
    if scene.free is None:
        return None
    return ProtectedImage(resize_to_scale(scene.content.pixels, scale), resize_to_scale(scene.free, scale), store)


def objective_at(scene: RunInputs, scale: Scale, config: ResolvedConfig, engine: Engine) -> Objective:
    """What is asked of the target at one scale: content and style measured at the size of that scale."""
    device = engine.encoder.device
    content = resize_to_scale(scene.content.pixels, scale).to(device)
    least_px = engine.encoder.minimum_px(name for name, _ in config.style_layers)
    styles = [(style.share, resize_style(style, scale, least_px).to(device)) for style in scene.styles]
    return build_objective(engine, content, styles, config, scene.regions)


def resize_to_scale(pixels: Tensor, scale: Scale) -> Tensor:
    """An image at exactly the target's size of this scale."""
    if pixels.shape[2:] == (scale.height, scale.width):
        return pixels
    return resize(pixels, scale.height, scale.width).clamp_(0, 1)


def resize_style(style: Style, scale: Scale, least_px: int) -> Tensor:
    """A style image at its size for this scale; never enlarged, no side under `least_px`."""
    pixels = style.picture.pixels
    height, width = pixels.shape[2:]
    long_side_px = round(style.scale * max(scale.height, scale.width))
    # A narrow style must not shrink below what the network needs only because the target starts small.
    long_side_px = max(long_side_px, math.ceil(least_px * max(height, width) / min(height, width)))
    height, width = fit(height, width, long_side_px, enlarge=False)
    return resize_to_scale(pixels, Scale(height, width, 0))


def upscale_target(
    target: Tensor, scene: RunInputs, before: Scale, scale: Scale, config: ResolvedConfig, store: TensorStore
) -> Tensor:
    """The target at the next scale, with the detail that the content gains there.

    At 384 px it ends 1 % lower after 50 steps, and 5 % where α = 50; what it lends is learned over at once
    where the style wants otherwise.
    """
    larger = clone(store, resize(target, scale.height, scale.width))
    if config.detail_transfer and config.content_weight:
        content = resize_to_scale(scene.content.pixels, scale)
        blurred = resize(resize_to_scale(content, before), scale.height, scale.width)
        for pixels, sharp, soft in iter_chunks(store, larger, content, blurred):
            pixels.add_((sharp - soft).to(pixels.device), alpha=config.detail_transfer)
    return larger


def resize_to_cover(pixels: Tensor, scale: Scale) -> Tensor:
    """The middle of an image of any aspect, at the target's size of this scale."""
    height, width = pixels.shape[2:]
    factor = max(scale.height / height, scale.width / width)
    tall, wide = max(scale.height, round(height * factor)), max(scale.width, round(width * factor))
    top, left = (tall - scale.height) // 2, (wide - scale.width) // 2
    resized = resize(pixels, tall, wide).clamp(0, 1)
    return resized[:, :, top : top + scale.height, left : left + scale.width].contiguous()


def initial_target(scene: RunInputs, config: ResolvedConfig, scale: Scale, store: TensorStore) -> Tensor:
    """What the target starts as at the coarsest scale: seeded noise around gray, or a picture."""
    pictures = {"content": scene.content, "style": scene.styles[0].picture, "image": scene.init}
    picture = pictures.get(config.init)
    if picture is not None:
        return clone(store, resize_to_cover(picture.pixels, scale))
    # Drawn on the CPU whatever the device, so that a seed means the same everywhere.
    generator = torch.Generator().manual_seed(config.seed)
    target = store.empty((1, 3, scale.height, scale.width))
    for channel in range(3):  # one at a time needs a third of the memory
        noise = torch.randn(scale.height, scale.width, generator=generator)
        if config.init_noise == "pink":
            noise = pink_noise(noise)
        target[0, channel] = noise.mul_(config.noise_std).add_(0.5)
        store.release(target)
    return target


def pink_noise(white: Tensor) -> Tensor:
    """White noise (H, W) -> noise whose amplitude falls as 1/f, like that of pictures, of unit variance."""
    height, width = white.shape
    spectrum = torch.fft.rfft2(white)
    down = torch.fft.fftfreq(height)[:, None]
    across = torch.fft.rfftfreq(width)[None, :]
    spectrum /= torch.hypot(down, across).clamp_(min=1 / max(height, width))
    noise: Tensor = torch.fft.irfft2(spectrum, s=(height, width))
    return noise.sub_(noise.mean()).div_(noise.std(correction=0).clamp(min=1e-12))
