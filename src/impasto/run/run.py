"""One run: pictures and options in, a stream of steps, a result out.

A `Run` owns what belongs to one picture: its plan, the changes of α, the loss trace and the latest step. Iterate over
its steps with `run.loop`.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from torch import Tensor

from impasto import __version__, images
from impasto.config import Config, Inputs, Plan, ResolvedConfig, RunOptions
from impasto.config.wrap import fit_sides
from impasto.core.encoder import Encoder
from impasto.core.evaluate import Engine
from impasto.core.image import fit
from impasto.core.method import Progress, ResumePoint, finalize, stylize_steps
from impasto.core.run_inputs import RunInputs
from impasto.core.temporal import Reference
from impasto.core.tensor_store import RamStore
from impasto.core.views import count_views
from impasto.engine.disk_store import DiskStore
from impasto.engine.local_tiles import TileBackendFactory
from impasto.engine.memory import Workload, vector_bytes
from impasto.engine.planning import Estimate, estimate, make_plan, planned_needs
from impasto.engine.torch_state import torch_state
from impasto.errors import DivergenceError
from impasto.files import remove_abandoned_folders, user_cache_folder
from impasto.images import OutputProfile
from impasto.images.detail import is_flat
from impasto.run.alpha_schedule import AlphaSchedule
from impasto.run.checkpoint import Checkpoint, write_checkpoint
from impasto.run.loading import count_regions, load_inputs, open_inputs, require_init, style_length_px, style_shares
from impasto.run.loss_trace import LossTrace
from impasto.run.model_cache import ModelCache
from impasto.run.paper import place_on_paper
from impasto.run.print_note import PrintNote, describe_print
from impasto.run.recipe import AlphaChange, Recipe, StopPoint
from impasto.run.result import Result
from impasto.run.settling import lengthen_unsettled
from impasto.run.sizes import Sizes, find_sizes

__all__ = ["Run"]

logger = logging.getLogger("impasto")


@dataclass(eq=False)
class Run:
    """One picture to paint: from what, how, and the network that measures it.

    `recorded_plan` and `recorded_config` repeat an earlier run exactly; without them a plan is chosen for this machine,
    and the config is resolved for the size of the picture. `recorded_profile` is used in place of the options'. A
    frame of a clip keeps to its `reference`. Runs that share a `cache` share networks and measurements. `schedule`
    holds the changes of α, past and still to come.
    """

    inputs: Inputs
    config: Config
    options: RunOptions = field(default_factory=RunOptions)
    recorded_plan: Plan | None = None
    cache: ModelCache = field(default_factory=ModelCache)
    schedule: AlphaSchedule = field(default_factory=AlphaSchedule)
    tile_backend: TileBackendFactory | None = None
    recorded_config: ResolvedConfig | None = None
    recorded_profile: OutputProfile | None = None
    reference: Reference | None = None
    trace: LossTrace = field(default_factory=LossTrace, init=False)
    latest: Progress | None = field(default=None, init=False)

    @cached_property
    def plan(self) -> Plan:
        """The plan: device, precision, tiles and threads, chosen once."""
        with torch_state():
            return self.recorded_plan or make_plan(self.options, self.workload)

    @cached_property
    def opened_inputs(self) -> Inputs:
        """The inputs, with each picture opened and hashed once for the whole run. Raises `ImageError`."""
        return open_inputs(self.inputs, self.options.max_megapixels)

    def close_inputs(self) -> None:
        """Close the pictures until they are needed again, when many runs wait at once."""
        self.__dict__.pop("opened_inputs", None)

    @cached_property
    def sizes(self) -> Sizes:
        """The sizes of the picture and of what is painted. Raises `ImageError`, `ConfigError`."""
        return find_sizes(self.opened_inputs.content, self.recorded_config or self.config)

    @property
    def size(self) -> tuple[int, int]:
        """The height and width of the picture, without the paper around. Raises `ImageError`, `ConfigError`."""
        return self.sizes.frame.size

    @cached_property
    def print_note(self) -> PrintNote | None:
        """The resolution that the pictures have in a print. Raises `ImageError`, `ConfigError`."""
        opened, scales = self.opened_inputs, style_shares(self.opened_inputs, self.planned, *self.sizes.target)
        return describe_print(
            opened.content, opened.styles, [scale for _, scale in scales], self.sizes.frame, self.planned
        )

    @cached_property
    def planned(self) -> ResolvedConfig:
        """The config with every value filled in for the sizes of the pictures alone. Raises `ImageError`."""
        return self.recorded_config or self._resolve(flat=False)

    @cached_property
    def resolved(self) -> ResolvedConfig:
        """The config of the run: as planned, but with a start that suits the styles. Raises `ImageError`."""
        styles = self.opened_inputs.styles
        if self.recorded_config is not None or self.config.init is not None or not all(map(is_flat, styles)):
            return self.planned
        return self._resolve(flat=True)

    def _resolve(self, *, flat: bool) -> ResolvedConfig:
        sizes, count = self.sizes, len(self.inputs.styles)
        return self.config.resolve(*sizes.target, styles=count, flat=flat, supersample=sizes.supersample)

    @cached_property
    def workload(self) -> Workload:
        """The sizes and options that memory and time depend on. Raises `ImageError`, `ConfigError`."""
        require_init(self.inputs, self.config)
        (height, width), config, opened = self.sizes.target, self.planned, self.opened_inputs
        styles = tuple(
            fit(style.height, style.width, style_length_px(style, scale, config, height, width), enlarge=True)
            for style, (_, scale) in zip(opened.styles, style_shares(opened, config, height, width), strict=True)
        )
        styles *= count_views(config.style_augment)
        regions = count_regions(opened, config)
        return Workload(*fit_sides(height, width, config.side_multiples), styles, config, regions)

    @cached_property
    def profile(self) -> OutputProfile:
        """The color profile of the output. Raises `ConfigError`."""
        return self.recorded_profile or images.load_profile(self.options.profile)

    def estimate(self) -> Estimate:
        """Estimate the time, memory and disk space of this run, within about a third."""
        with torch_state(self.plan.threads):
            expected = estimate(self.workload, self.plan)
        return replace(expected, note=self.print_note.text if self.print_note else "")

    @cached_property
    def encoder(self) -> Encoder:
        """The frozen network, loaded at first use. Raises `WeightsError`."""
        with torch_state():
            return self.cache.encoder(self.config, self.inputs.weights, self.plan.device)

    @cached_property
    def engine(self) -> Engine:
        """The engine that the plan names. Raises `OutputError` if its disk store would not fit the disk."""
        store = DiskStore(user_cache_folder() / "scratch") if self.plan.on_disk else None
        if store is not None:
            store.require(vector_bytes(self.workload, self._lbfgs_history))
        return self.cache.engine(self.plan, self.encoder, store, self.tile_backend)

    def _computing(self) -> contextlib.AbstractContextManager[None]:
        return torch_state(self.plan.threads, self._planned_bytes)

    @cached_property
    def _planned_bytes(self) -> float:
        return planned_needs(self.workload, self.plan).memory_bytes

    @property
    def _lbfgs_history(self) -> int:
        """The history that memory allows, which may be shorter than the configured one."""
        return self.plan.lbfgs_history or self.planned.lbfgs_history

    def steps(self, checkpoint: Checkpoint | None = None) -> Generator[Progress, None, None]:
        """Return the run as a stream of steps, or the steps after `checkpoint`. Close the generator to stop.

        Loads the pictures at once. Raises `ImageError`, `ConfigError`, `WeightsError`; `RecipeError` if the checkpoint
        belongs to another run or is damaged.
        """
        remove_abandoned_folders()
        self.profile  # noqa: B018 - raises if there is none
        if self.print_note is not None:
            logger.log(logging.WARNING if self.print_note.is_low else logging.INFO, "%s", self.print_note.text)
        config = self.resolved.model_copy(update={"lbfgs_history": self._lbfgs_history})
        resume_point = None
        with self._computing():
            inputs = load_inputs(self.opened_inputs, self.resolved, self.options, self.engine)
            inputs = replace(inputs, reference=self.reference)
            if checkpoint is None:
                self.trace.clear()
            else:
                checkpoint.require_same_run(self._recipe(inputs, *checkpoint.position))
                self.trace.restore(checkpoint.trace_state)
                resume_point = checkpoint.load(self.engine.store)
                if resume_point.scale == len(inputs.scales):
                    inputs = self._settle(inputs, resume_point.state.iteration)
        return self._record(inputs, config, resume_point)

    def _record(
        self, inputs: RunInputs, config: ResolvedConfig, resume_point: ResumePoint | None
    ) -> Generator[Progress, None, None]:
        """Yield the steps, and more until the picture has settled."""
        while True:
            last = yield from self._record_planned(inputs, config, resume_point)
            if last is None or last.is_last:
                return
            inputs, resume_point = last.inputs, last

    def _record_planned(
        self, inputs: RunInputs, config: ResolvedConfig, resume_point: ResumePoint | None
    ) -> Generator[Progress, None, Progress | None]:
        """Yield the planned steps. Return the last one, whose inputs may have more; None if the run is over."""

        def alpha_at(scale: int, iteration: int) -> float:
            return self.schedule.alpha_at(scale, iteration, config.alpha)

        last = None
        steps = stylize_steps(inputs, config, engine=self.engine, alpha_at=alpha_at, resume_point=resume_point)
        with contextlib.closing(steps):
            while True:
                try:
                    with self._computing():  # not around `yield`: the caller has a state of its own
                        progress = next(steps, None)
                except DivergenceError as error:
                    if self.latest is None:
                        raise
                    logger.warning("%s The run ends here, with the picture of the step before.", error)
                    return None
                if progress is None:
                    return last
                self.trace.record(progress)
                if progress.is_last:
                    progress = replace(progress, inputs=self._settle(inputs, progress.iteration))
                self.latest = last = progress
                yield progress

    def _settle(self, inputs: RunInputs, iteration: int) -> RunInputs:
        return lengthen_unsettled(inputs, iteration, self.config, self.schedule, self.trace)

    def set_alpha(self, alpha: float) -> AlphaChange:
        """Continue with another α after the latest step."""
        return self.schedule.change(self._require_step(), alpha)

    def save_checkpoint(self, path: Path) -> None:
        """Write the state after the latest step. Raises `OutputError`; an older checkpoint is kept then."""
        progress = self._require_step()
        recipe = self._recipe(progress.inputs, progress.scale, progress.iteration)
        write_checkpoint(path, progress, recipe, self.trace.state, self.engine.store)

    def result(self) -> Result:
        """Return the picture after the latest step, at full size, with its recipe."""
        began = time.perf_counter()
        progress = self._require_step()
        with self._computing():
            image, losses = finalize(progress, self.resolved, engine=self.engine)
        image, alpha = self.place_on_paper(image, progress.inputs)
        stopped = None if progress.is_last else StopPoint(scale=progress.scale, iteration=progress.iteration)
        recipe = self._recipe(progress.inputs, progress.scale, progress.iteration)
        return Result(
            image=image,
            alpha=alpha,
            losses=losses.as_floats(),
            iterations=progress.iteration if progress.scale == len(progress.inputs.scales) else 0,
            evaluations=progress.evaluations,
            seconds=progress.elapsed_s + time.perf_counter() - began,
            recipe=recipe.model_copy(update={"stopped": stopped, "trace": self.trace.columns()}),
            store=self.engine.store,
            profile=self.profile,
            peak=progress.inputs.content.peak,
        )

    def place_on_paper(self, painted: Tensor, inputs: RunInputs) -> tuple[Tensor, Tensor | None]:
        """Return a painting and its alpha at the size of the picture, on the white paper of a print."""
        store = self.engine.store if self.plan.on_disk else RamStore()
        return place_on_paper(painted.cpu(), inputs, self.opened_inputs.content, self.sizes, self.resolved, store)

    def _require_step(self) -> Progress:
        if self.latest is None:
            raise RuntimeError("The run has not taken a step yet: iterate over its steps first.")
        return self.latest

    def _recipe(self, inputs: RunInputs, scale: int, iteration: int) -> Recipe:
        """Describe the run as far as a step of a scale."""
        return Recipe(
            version=__version__,
            config=self.config,
            resolved=self.resolved,
            run=self.options.model_copy(update={"profile": self.profile.name}),
            profile_sha256=self.profile.sha256,
            plan=self.plan,
            inputs=dict(inputs.records),
            weights_name=images.get_name(self.inputs.weights),
            weights_sha256=self.engine.encoder.weights_sha256,
            alpha_changes=self.schedule.changes_before(scale, iteration),
        )
