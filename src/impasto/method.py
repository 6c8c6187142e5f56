"""Neural style transfer, top to bottom: three images, of which only the target learns.

    content image ─┐
    style image ───┼→ frozen network → losses → gradient on the target's pixels → next step
    target image ──┘

paths → pictures → a pyramid of sizes → at each: targets, then descent → the next size → a result.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from impasto import images
from impasto.config import Config, Inputs, Plan, RunOptions
from impasto.errors import ConfigError
from impasto.evaluate import Engine, objective_for
from impasto.images import Picture
from impasto.objective import Losses, Objective
from impasto.opening import name_of
from impasto.optimize import descend
from impasto.pyramid import Scale, plan_scales
from impasto.recipe import InputRecord, Recipe, Stop
from impasto.store import Store, clamped, copied, pieces

__all__ = ["Progress", "Result", "Scene", "finish", "stylize_steps"]


@dataclass(frozen=True)
class Scene:
    """The loaded pictures of a run, and the sizes that the target goes through."""

    content: Picture
    style: Picture
    init: Picture | None
    scales: tuple[Scale, ...]


@dataclass(frozen=True)
class Progress:
    """Where a run stands after one step. `image` is a view that is valid until the next step.

    `objective` is what is asked of it at this scale; `scale` and `iteration` count from 1; `evaluations`
    and `restarts` are of the whole run.
    """

    scene: Scene
    scale: int
    iteration: int
    image: Tensor
    losses: Losses
    objective: Objective
    evaluations: int
    restarts: int
    elapsed_s: float

    @property
    def size(self) -> Scale:
        """The size being painted, and the steps planned there."""
        return self.scene.scales[self.scale - 1]

    @property
    def is_last(self) -> bool:
        """Whether the run ends with this step."""
        return self.scale == len(self.scene.scales) and self.iteration == self.size.iterations


@dataclass(frozen=True)
class Result:
    """A finished picture: pixels (1, 3, H, W) in [0, 1], alpha (1, 1, H, W) if the content had it.

    `losses` are those of exactly these pixels, at full size in float32.
    """

    image: Tensor
    alpha: Tensor | None
    losses: dict[str, float]
    iterations: int
    evaluations: int
    seconds: float
    recipe: Recipe
    store: Store

    def save(self, path: str | Path, *, bits: int | None = None, quality: int | None = None) -> Path:
        """Write the picture with its recipe inside. Raises `OutputError`, `ConfigError`."""
        given = {name: value for name, value in (("bits", bits), ("quality", quality)) if value is not None}
        run = RunOptions(**(self.recipe.run.model_dump() | given))
        note = self.recipe.model_copy(update={"run": run}).to_json()
        images.save(Path(path), self.image, self.alpha, bits=run.bits, quality=run.quality, note=note, store=self.store)
        return Path(path)


def load_scene(inputs: Inputs, config: Config, run: RunOptions, network_minimum_px: int, store: Store) -> Scene:
    """Load the pictures at the sizes that they are seen at. Raises `ImageError`, `ConfigError`."""
    if (config.init == "image") != (inputs.init is not None):
        raise ConfigError("init = 'image' and a picture to start from go together. Give both, or neither.")

    def load(source: object, *, enlarge: bool = False, long_side_px: int = config.size) -> Picture:
        limit = run.max_megapixels
        return images.load(source, long_side_px=long_side_px, enlarge=enlarge, max_megapixels=limit, store=store)

    content = load(inputs.content, enlarge=config.enlarge)
    height, width = content.pixels.shape[2:]
    style = load(inputs.style, long_side_px=math.ceil(config.style_scale * max(height, width)))
    init = load(inputs.init, long_side_px=4 * config.size) if inputs.init is not None else None
    scales = plan_scales(
        height, width, iterations=config.iterations, scales=config.scales, minimum_px=network_minimum_px
    )
    return Scene(content, style, init, scales)


def stylize_steps(
    inputs: Inputs,
    config: Config,
    *,
    engine: Engine,
    run: RunOptions | None = None,
) -> Generator[Progress, None, None]:
    """The method as a stream of steps. Close the generator to stop; `finish` makes a result of any step.

    Raises `ImageError`, `LayerError`, `ConfigError` before the first step.
    """
    began = time.perf_counter()
    encoder, store = engine.encoder, engine.store
    style_layers = [name for name, _ in config.style_layers]
    layers = [*(name for name, _ in config.content_layers), *style_layers]
    scene = load_scene(inputs, config, run or RunOptions(), encoder.minimum_px(layers), store)
    encoder.require_size(scene.content.pixels, layers, what="The target, like the content,")
    encoder.require_size(scene.style.pixels, style_layers, what="The style image,")
    target: Tensor | None = None
    evaluations = restarts = 0
    for number, scale in enumerate(scene.scales, start=1):
        objective = objective_at(scene, scale, config, engine)
        if target is None:
            target = copied(store, initial_target(scene, config, scale, encoder.device))
        else:
            target = enlarged(target, scene, scene.scales[number - 2], scale, config, store)
        is_full_size = number == len(scene.scales)
        for step in descend(
            engine.evaluator(objective),
            target,
            config,
            scale.iterations,
            refine=engine.refiner(objective) if is_full_size else None,
            store=store,
        ):
            yield Progress(
                scene,
                number,
                step.iteration,
                step.image,
                step.losses,
                objective,
                evaluations + step.evaluations,
                restarts + step.restarts,
                time.perf_counter() - began,
            )
        target = step.image
        evaluations += step.evaluations
        restarts += step.restarts


def finish(
    progress: Progress,
    inputs: Inputs,
    config: Config,
    *,
    engine: Engine,
    run: RunOptions,
    plan: Plan,
    version: str,
) -> Result:
    """The picture as it stands, at the size asked for: clamped, measured in float32, with its recipe."""
    began = time.perf_counter()
    scene, full = progress.scene, progress.scene.scales[-1]
    image = clamped(engine.store, images.resize(progress.image, full.height, full.width))
    # Stopped at a coarse scale, the targets are those of another size.
    objective = progress.objective if progress.size is full else objective_at(scene, full, config, engine)
    losses = engine.measure(objective, image)
    pictures = {"content": scene.content, "style": scene.style, "init": scene.init}
    recipe = Recipe(
        version=version,
        config=config,
        run=run,
        plan=plan,
        inputs={
            role: InputRecord(name=picture.name, sha256=picture.sha256)
            for role, picture in pictures.items()
            if picture is not None
        },
        weights_name=name_of(inputs.weights),
        weights_sha256=engine.encoder.weights_sha256,
        stopped=None if progress.is_last else Stop(scale=progress.scale, iteration=progress.iteration),
    )
    return Result(
        image=image.cpu(),
        alpha=scene.content.alpha,
        losses=losses.as_floats(),
        iterations=progress.iteration if progress.scale == len(scene.scales) else 0,
        evaluations=progress.evaluations,
        seconds=progress.elapsed_s + time.perf_counter() - began,
        recipe=recipe,
        store=engine.store,
    )


def objective_at(scene: Scene, scale: Scale, config: Config, engine: Engine) -> Objective:
    """What is asked of the target at one scale: content and style measured at the size of that scale."""
    content = at_scale(scene.content.pixels, scale)
    least_px = engine.encoder.minimum_px(name for name, _ in config.style_layers)
    style = style_at(scene.style.pixels, scale, config.style_scale, least_px)
    return objective_for(engine, content.to(engine.encoder.device), style.to(engine.encoder.device), config)


def at_scale(pixels: Tensor, scale: Scale) -> Tensor:
    """An image at exactly the target's size of this scale."""
    if pixels.shape[2:] == (scale.height, scale.width):
        return pixels
    return images.resize(pixels, scale.height, scale.width).clamp_(0, 1)


def style_at(pixels: Tensor, scale: Scale, style_scale: float, least_px: int) -> Tensor:
    """The style image, its long side `style_scale` times the target's; never enlarged, no side under `least_px`."""
    height, width = pixels.shape[2:]
    long_side_px = round(style_scale * max(scale.height, scale.width))
    # A narrow style must not shrink below what the network needs only because the target starts small.
    long_side_px = max(long_side_px, math.ceil(least_px * max(height, width) / min(height, width)))
    height, width = images.fit(height, width, long_side_px, enlarge=False)
    return at_scale(pixels, Scale(height, width, 0))


def enlarged(target: Tensor, scene: Scene, before: Scale, scale: Scale, config: Config, store: Store) -> Tensor:
    """The target at the next scale, with the detail that the content gains there.

    At 384 px it ends 1 % lower after 50 steps, and 5 % where α = 50; what it lends is learned over at once
    where the style wants otherwise.
    """
    larger = copied(store, images.resize(target, scale.height, scale.width))
    if config.detail and config.content_weight:
        content = at_scale(scene.content.pixels, scale)
        blurred = images.resize(at_scale(content, before), scale.height, scale.width)
        for pixels, sharp, soft in pieces(store, larger, content, blurred):
            pixels.add_((sharp - soft).to(pixels.device), alpha=config.detail)
    return larger


def covering(pixels: Tensor, scale: Scale) -> Tensor:
    """The middle of an image of any aspect, at the target's size of this scale."""
    height, width = pixels.shape[2:]
    factor = max(scale.height / height, scale.width / width)
    tall, wide = max(scale.height, round(height * factor)), max(scale.width, round(width * factor))
    top, left = (tall - scale.height) // 2, (wide - scale.width) // 2
    resized = images.resize(pixels, tall, wide).clamp(0, 1)
    return resized[:, :, top : top + scale.height, left : left + scale.width].contiguous()


def initial_target(scene: Scene, config: Config, scale: Scale, device: torch.device) -> Tensor:
    """What the target starts as at the coarsest scale: seeded noise around gray, or a picture."""
    pictures = {"content": scene.content, "style": scene.style, "image": scene.init}
    picture = pictures.get(config.init)
    if picture is not None:
        return covering(picture.pixels, scale).to(device)
    # Drawn on the CPU whatever the device, so that a seed means the same everywhere.
    generator = torch.Generator().manual_seed(config.seed)
    noise = torch.randn(1, 3, scale.height, scale.width, generator=generator)
    if config.noise == "pink":
        noise = pink(noise)
    return (0.5 + config.noise_std * noise).to(device)


def pink(white: Tensor) -> Tensor:
    """White noise (1, C, H, W) -> noise whose amplitude falls as 1/f, like that of pictures, of unit variance."""
    height, width = white.shape[2:]
    frequency = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None, :])
    spectrum = torch.fft.rfft2(white) / frequency.clamp(min=1 / max(height, width))
    noise: Tensor = torch.fft.irfft2(spectrum, s=(height, width))
    return (noise - noise.mean()) / noise.std().clamp(min=1e-12)
