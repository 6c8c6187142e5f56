"""The composition root: pictures and options in, a run out, over the fastest evaluator there is.

`impasto.stylize` and `impasto.stylize_steps` live here, and so does `Run`, which everything that
paints goes through.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from impasto import __version__, images
from impasto.config import Config, Inputs, Plan, RunOptions
from impasto.core.encoder import Encoder
from impasto.core.evaluate import Engine
from impasto.core.image import fit
from impasto.core.method import Progress, ResumePoint, RunInputs, finalize
from impasto.core.method import stylize_steps as run_steps
from impasto.core.tensor_store import TensorStore
from impasto.engine.disk_store import DiskStore
from impasto.engine.memory import Workload, disk_bytes
from impasto.engine.planning import Estimate, estimate, make_plan
from impasto.errors import ConfigError
from impasto.run.alpha_schedule import AlphaSchedule
from impasto.run.checkpoint import Checkpoint, write_checkpoint
from impasto.run.loading import load_inputs, require_init, style_shares
from impasto.run.loss_trace import LossTrace
from impasto.run.model_cache import ModelCache
from impasto.run.recipe import Recipe, Stop
from impasto.weights import cache_folder

__all__ = [
    "ModelCache",
    "Result",
    "Run",
    "as_tuple",
    "finish",
    "load_inputs",
    "prepare_run",
    "stylize",
    "stylize_steps",
]


@dataclass(frozen=True)
class Result:
    """A finished picture: pixels (1, 3, H, W) in [0, 1], alpha (1, 1, H, W) if the content had it.

    `losses` are those of exactly these pixels, at full size in float32; with color = "luminance", of
    what was painted before the colors were put back.
    """

    image: Tensor
    alpha: Tensor | None
    losses: dict[str, float]
    iterations: int
    evaluations: int
    seconds: float
    recipe: Recipe
    store: TensorStore

    def save(self, path: str | Path, *, bits: int | None = None, quality: int | None = None) -> Path:
        """Write the picture with its recipe inside. Raises `OutputError`, `ConfigError`."""
        given = {name: value for name, value in (("bits", bits), ("quality", quality)) if value is not None}
        run = RunOptions(**(self.recipe.run.model_dump() | given))
        note = self.recipe.model_copy(update={"run": run}).to_json()
        images.save(Path(path), self.image, self.alpha, bits=run.bits, quality=run.quality, note=note, store=self.store)
        return Path(path)


@dataclass(frozen=True)
class Run:
    """One run, ready to go: what to paint, how, and the network that measures it.

    `recorded_plan` is given to repeat a run exactly; otherwise a plan is chosen for this machine. Sessions of one
    `atelier` share networks and what they measured. `tracer` writes down how the run goes; `helm` changes its α.
    """

    inputs: Inputs
    config: Config
    run: RunOptions = field(default_factory=RunOptions)
    recorded_plan: Plan | None = None
    atelier: ModelCache = field(default_factory=ModelCache)
    tracer: LossTrace = field(default_factory=LossTrace)
    helm: AlphaSchedule = field(default_factory=AlphaSchedule)

    @cached_property
    def plan(self) -> Plan:
        """What `auto` came to."""
        return self.recorded_plan or make_plan(self.run, self.work)

    @cached_property
    def work(self) -> Workload:
        """What the memory and time of this run depend on. Raises `ImageError`, `ConfigError`."""
        require_init(self.inputs, self.config)
        config, limit = self.config, self.run.max_megapixels
        size = images.dimensions(self.inputs.content, max_megapixels=limit)
        height, width = fit(*size, config.size, enlarge=config.enlarge)
        styles = tuple(
            fit(*images.dimensions(style, max_megapixels=limit), math.ceil(scale * max(height, width)), enlarge=False)
            for style, (_, scale) in zip(
                self.inputs.styles, style_shares(self.inputs, config, height, width), strict=True
            )
        )
        return Workload(height, width, styles, config, self._regions(limit))

    def _regions(self, max_megapixels: float) -> int:
        """How many parts the picture falls into, or a little more: 0 without masks. Raises `ImageError`."""
        masks = self.inputs.content_masks, self.inputs.style_masks
        each = [sum(images.count_regions(mask, max_megapixels=max_megapixels) for mask in of) for of in masks]
        return max(*each, int(self.inputs.protect is not None))

    def estimate(self) -> Estimate:
        """What this run will take, within about a third."""
        return estimate(self.work, self.plan)

    @cached_property
    def encoder(self) -> Encoder:
        """The frozen network, loaded at first use. Raises `WeightsError`."""
        return self.atelier.encoder(self.config, self.inputs.weights, self.plan.device)

    @cached_property
    def engine(self) -> Engine:
        """What measures, as the plan says. Raises `OutputError` if its scratch would not fit the disk."""
        scratch = DiskStore(cache_folder().parent / "scratch") if self.plan.scratch else None
        if scratch is not None:
            scratch.require(disk_bytes(self.work, self.plan.lbfgs_history or self.config.lbfgs_history))
        return self.atelier.engine(self.plan, self.encoder, scratch)

    def steps(self, since: Checkpoint | None = None) -> Generator[Progress, None, None]:
        """The run as a stream of steps, or what is left of it `since` a checkpoint; close it to stop.

        Raises `RecipeError` if the checkpoint is of another run, or damaged.
        """
        if self.plan.threads != torch.get_num_threads():
            torch.set_num_threads(self.plan.threads)
        scene = load_inputs(self.inputs, self.config, self.run, self.engine)
        # The recipe keeps the history asked for; the run has what the memory allows.
        config = self.config.model_copy(update={"lbfgs_history": self.plan.lbfgs_history or self.config.lbfgs_history})

        def begin(config: Config, since: ResumePoint | None) -> Generator[Progress, None, None]:
            return run_steps(scene, config, engine=self.engine, since=since)

        if since is None:
            return self.tracer.followed(self.helm.steps(begin, config))
        since.require(self._recipe(scene, *since.place))
        config = self.helm.config_at(*since.place, config)
        left = self.helm.steps(begin, config, since.standing(self.engine.store))
        return self.tracer.followed(left, since.traced)

    def keep(self, progress: Progress, path: Path) -> None:
        """Write a checkpoint of this step. Raises `OutputError`; what was there is kept then."""
        recipe = self._recipe(progress.scene, progress.scale, progress.iteration)
        write_checkpoint(path, progress, recipe, self.tracer.rows, self.engine.store)

    def _recipe(self, scene: RunInputs, scale: int, iteration: int) -> Recipe:
        recipe = recipe_of(scene, self.inputs, self.config, engine=self.engine, run=self.run, plan=self.plan)
        return recipe.model_copy(update={"turns": self.helm.before(scale, iteration)})

    def finish(self, progress: Progress) -> Result:
        """The picture as it stands at this step."""
        place = progress.scale, progress.iteration
        config = self.helm.config_at(*place, self.config)
        result = finish(progress, self.inputs, config, engine=self.engine, run=self.run, plan=self.plan)
        told = {"config": self.config, "turns": self.helm.before(*place), "trace": self.tracer.trace}
        return replace(result, recipe=result.recipe.model_copy(update=told))

    def paint(self, stop: Stop | None = None) -> Result:
        """Run to the end, or to where a recorded run was stopped."""
        steps = self.steps()
        for progress in steps:
            if stop is not None and stop.is_at(progress.scale, progress.iteration):
                break
        return self.finish(progress)


def finish(
    progress: Progress, inputs: Inputs, config: Config, *, engine: Engine, run: RunOptions, plan: Plan
) -> Result:
    """The picture as it stands, with its recipe."""
    began = time.perf_counter()
    image, losses = finalize(progress, config, engine=engine)
    scene = progress.scene
    recipe = recipe_of(scene, inputs, config, engine=engine, run=run, plan=plan)
    if not progress.is_last:
        stop = Stop(scale=progress.scale, iteration=progress.iteration)
        recipe = recipe.model_copy(update={"stopped": stop})
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


def recipe_of(
    scene: RunInputs, inputs: Inputs, config: Config, *, engine: Engine, run: RunOptions, plan: Plan
) -> Recipe:
    """What makes the picture of a run that goes to its end."""
    return Recipe(
        version=__version__,
        config=config,
        run=run,
        plan=plan,
        inputs=dict(scene.records),
        weights_name=images.name_of(inputs.weights),
        weights_sha256=engine.encoder.weights_sha256,
    )


def prepare_run(content: Any, style: Any, config: Config | None = None, **options: Any) -> Run:
    """A `Run` from pictures and options by name: fields of `Config`, `RunOptions`, `Inputs`.

    A picture given as `init` sets `init="image"`. Options given beside `config` override it. Sessions that are given
    the same `atelier` share what they load.
    """
    if config is not None and not isinstance(config, Config):
        raise ConfigError(f"{config!r} is not a Config. Give options by name: stylize(content, style, alpha=5).")
    files = {"weights": options.pop("weights", None), "protect": options.pop("protect", None)}
    files |= {name: as_tuple(options.pop(name, ())) for name in ("content_masks", "style_masks")}
    start = options.get("init")
    if start is not None and not (isinstance(start, str) and start in ("noise", "content", "style")):
        files["init"] = start
        options["init"] = "image"
    run = {name: options.pop(name) for name in RunOptions.model_fields if name in options}
    atelier = options.pop("atelier", None) or ModelCache()
    # What was not set stays unset, so that layers follow a network given here.
    given = config.model_dump(exclude_unset=True) if config is not None else {}
    inputs = Inputs(content=content, styles=as_tuple(style), **files)
    return Run(inputs, Config(**(given | options)), RunOptions(**run), atelier=atelier)


def as_tuple(values: Any) -> tuple[Any, ...]:
    """Several pictures or values, or one: a text, an array, a number."""
    return tuple(values) if isinstance(values, (list, tuple, range)) else (values,)


def stylize(content: Any, style: Any, config: Config | None = None, **options: Any) -> Result:
    """Paint `content` in the manner of `style` and return the picture.

    Pictures are paths, PIL images, arrays or tensors; a list of them as `style` is blended. `options` are
    fields of `Config` and `RunOptions`; `init` may be a picture; `content_masks`, `style_masks` and `protect` are
    pictures too, and `weights` is a file. Raises subclasses of `ImpastoError`.
    """
    return prepare_run(content, style, config, **options).paint()


def stylize_steps(
    content: Any, style: Any, config: Config | None = None, **options: Any
) -> Generator[Progress, None, None]:
    """The same as a stream of `Progress`, one for each step. Closing the generator cancels."""
    return prepare_run(content, style, config, **options).steps()
