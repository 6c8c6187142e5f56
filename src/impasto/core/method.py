"""Neural style transfer, top to bottom: three images, of which only the target learns.

    content image ─┐
    style image ───┼→ frozen network → losses → gradient on the target's pixels → next step
    target image ──┘

A run paints from coarse to fine. At each scale it measures the content and the styles once, which gives the targets of
the objective, and then descends. The next scale starts from the enlarged result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from torch import Tensor

from impasto.config import ResolvedConfig
from impasto.config.wrap import Dims, wrapped_dims
from impasto.core.constraints import Constraint
from impasto.core.evaluate import Engine, Evaluator
from impasto.core.image import fit, resize, thumbnail
from impasto.core.neighbors import content_share
from impasto.core.objective import Losses, Objective
from impasto.core.optimize import descend
from impasto.core.optimizer_state import OptimizerState
from impasto.core.pyramid import Scale
from impasto.core.run_inputs import RunInputs
from impasto.core.target_image import initial_target, resize_to_scale, upscale_target
from impasto.core.targets import Query, build_objective
from impasto.core.temporal import TemporalTerm
from impasto.core.tensor_store import RamStore, TensorStore, clamp_unit
from impasto.core.views import view_regions, view_styles

__all__ = [
    "AlphaAt",
    "Progress",
    "ResumePoint",
    "finalize",
    "render",
    "render_small",
    "render_thumbnail",
    "stylize_steps",
]

AlphaAt = Callable[[int, int], float]
"""(scale, iteration) -> α of that step, both counted from 1."""


@dataclass(frozen=True)
class ResumePoint:
    """A point to continue a run from, to the bit: after a step of this scale, counted from 1.

    `matches` are those of this scale, where styles are compared by neighbors.
    """

    scale: int
    state: OptimizerState
    earlier_evaluations: int
    elapsed_s: float
    matches: Tensor | None

    @property
    def evaluations(self) -> int:
        """The evaluations of all scales so far."""
        return self.earlier_evaluations + self.state.evaluations


@dataclass(frozen=True)
class Progress(ResumePoint):
    """A run after one step. `image` is a view that is valid until the next step.

    `gradient_rms` is the root mean square of d(numel × total)/d(pixel).
    """

    inputs: RunInputs
    objective: Objective
    alpha: float
    image: Tensor
    losses: Losses
    gradient_rms: float

    @property
    def iteration(self) -> int:
        """The step at this scale, counted from 1."""
        return self.state.iteration

    @property
    def size(self) -> Scale:
        """The scale in pixels, with its planned steps."""
        return self.inputs.scales[self.scale - 1]

    @property
    def step(self) -> int:
        """The step among those of all scales, counted from 1."""
        return sum(scale.iterations for scale in self.inputs.scales[: self.scale - 1]) + self.iteration

    @property
    def planned_steps(self) -> int:
        """The steps of all scales."""
        return sum(scale.iterations for scale in self.inputs.scales)

    @property
    def fraction(self) -> float:
        """The share of the work that is done, in steps times pixels."""
        work = [scale.iterations * scale.height * scale.width for scale in self.inputs.scales]
        return (sum(work[: self.scale - 1]) + self.iteration * self.size.height * self.size.width) / sum(work)

    @property
    def is_last(self) -> bool:
        """True after the last step of the run."""
        return self.scale == len(self.inputs.scales) and self.iteration == self.size.iterations

    def __repr__(self) -> str:
        from impasto.core.display import describe_losses

        size = f"{self.size.width}×{self.size.height} px"
        losses = describe_losses(self.losses.as_floats())
        return f"Progress(step {self.step} of {self.planned_steps}, {size}, {losses})"

    def _repr_html_(self) -> str:
        from impasto.core.display import MAX_PX, figure_html

        return figure_html(render_thumbnail(self, MAX_PX, RamStore()), repr(self))


def stylize_steps(
    inputs: RunInputs,
    config: ResolvedConfig,
    *,
    engine: Engine,
    alpha_at: AlphaAt | None = None,
    resume_point: ResumePoint | None = None,
) -> Generator[Progress, None, None]:
    """Yield the steps of a run, or those after `resume_point`. Close the generator to stop.

    `alpha_at` is called before each step; the default is `config.alpha`. Raises `LayerError` before the first step.
    """
    began = time.perf_counter() - (resume_point.elapsed_s if resume_point else 0)
    alpha_at = alpha_at or (lambda scale, iteration: config.alpha)
    _require_sizes(inputs, config, engine)
    last = resume_point
    for number in range(last.scale if last else 1, len(inputs.scales) + 1):
        for progress in _paint_scale(inputs, number, config, engine, alpha_at, last, began):
            last = progress
            yield progress


def _require_sizes(inputs: RunInputs, config: ResolvedConfig, engine: Engine) -> None:
    """Raise `LayerError` if an image is too small for a layer."""
    style_layers = [name for name, _ in config.style_layers]
    layers = [*(name for name, _ in config.content_layers), *style_layers]
    engine.encoder.require_size(inputs.content.pixels, layers, what="The target, like the content, at")
    for style in inputs.styles:
        name = style.picture.name or "image"
        engine.encoder.require_size(style.picture.pixels, style_layers, what=f"The style {name} at")


def _paint_scale(
    inputs: RunInputs,
    number: int,
    config: ResolvedConfig,
    engine: Engine,
    alpha_at: AlphaAt,
    last: ResumePoint | None,
    began: float,
) -> Generator[Progress, None, None]:
    """Yield the steps of one scale, or those after `last`. After a change of α, L-BFGS starts without curvature."""
    scale, store, state = inputs.scales[number - 1], engine.store, None
    earlier_evaluations = last.evaluations if last else 0
    if last is not None and last.scale == number:
        target, state, earlier_evaluations = last.state.image, last.state, last.earlier_evaluations
        query = Query(matches=last.matches)
    else:
        target, query = _start_scale(inputs, number, config, store, last, alpha_at(number, 1))
    objective = objective_at(inputs, scale, config, engine, query)
    constraint = inputs.constraint_at(scale, store, objective.wrap)
    wrappers = [part for part in (inputs.temporal_term_at(scale, store), constraint) if part is not None]
    iteration = state.iteration if state else 0
    alpha = alpha_at(number, max(iteration, 1))
    while iteration < scale.iterations:
        alpha_before, alpha = alpha, alpha_at(number, iteration + 1)
        if state is not None and alpha != alpha_before:
            state = state.without_curvature()
        evaluate, precise = _evaluators(engine, objective, alpha, wrappers)
        precise = precise if number == len(inputs.scales) else None
        steps = descend(evaluate, target, config, scale.iterations, precise=precise, store=store, state=state)
        for state, point in steps:
            iteration, elapsed_s = state.iteration, time.perf_counter() - began
            image = constraint.apply(point.image) if constraint else point.image
            measured = alpha, image, point.losses, point.gradient_rms
            so_far = number, state, earlier_evaluations, elapsed_s, objective.matches
            yield Progress(*so_far, inputs, objective, *measured)
            if iteration < scale.iterations and alpha_at(number, iteration + 1) != alpha:
                break


# region start of a scale
def _start_scale(
    inputs: RunInputs, number: int, config: ResolvedConfig, store: TensorStore, last: ResumePoint | None, alpha: float
) -> tuple[Tensor, Query]:
    """Return the target that a scale starts from, and the query for neighbors."""
    scale = inputs.scales[number - 1]
    if last is None:
        return initial_target(inputs.initial_picture(config.init), config, scale, store), Query()
    image, before = inputs.fill_margins(last.state.image, store), inputs.scales[last.scale - 1]
    target = upscale_target(image, inputs.content.pixels, before, scale, config, store)
    return target, Query(target, content_share(alpha))


# endregion


def _evaluators(
    engine: Engine, objective: Objective, alpha: float, wrappers: Sequence[TemporalTerm | Constraint]
) -> tuple[Evaluator, Evaluator | None]:
    """Return the evaluator for the steps of a scale, and a more precise one if there is one."""
    evaluate, precise = engine.evaluator(objective, alpha), engine.precise_evaluator(objective, alpha)
    for wrapper in wrappers:
        evaluate, precise = wrapper.wrap(evaluate), wrapper.wrap(precise) if precise is not None else None
    return evaluate, precise


def finalize(progress: Progress, config: ResolvedConfig, *, engine: Engine) -> tuple[Tensor, Losses]:
    """Return the picture after a step, at full size, and the losses of its target in float32."""
    inputs, full = progress.inputs, progress.inputs.scales[-1]
    target, picture = render(progress, engine.store)
    objective = progress.objective
    if progress.size is not full:  # at a coarse scale, the targets have another size
        objective = objective_at(inputs, full, config, engine, Query(target, content_share(progress.alpha)))
    losses, term = engine.measure(objective, target, progress.alpha), inputs.temporal_term_at(full, engine.store)
    return picture, losses if term is None else term.add(losses, target)


def render(progress: Progress, store: TensorStore) -> tuple[Tensor, Tensor]:
    """Return the target after a step, clamped and at full size, and the picture that it becomes."""
    inputs, full, wrap = progress.inputs, progress.inputs.scales[-1], progress.objective.wrap
    target = clamp_unit(store, resize(progress.image, full.height, full.width, wrap))
    if inputs.move_colors is not None:
        target = inputs.move_colors(target)
    target = picture = _constrain(inputs, target, store, wrap)
    if inputs.picture_size != (full.height, full.width):  # painted a little larger, because edges meet
        picture = _constrain(inputs, clamp_unit(store, resize(target, *inputs.picture_size, wrap)), store, wrap)
    return target, inputs.finish(picture) if inputs.finish is not None else picture


def _constrain(inputs: RunInputs, image: Tensor, store: TensorStore, wrap: Dims) -> Tensor:
    """Apply the constraint to a resized image: resizing mixes both sides of a mask's edge."""
    height, width = image.shape[2:]
    constraint = inputs.constraint_at(Scale(height, width, 0), store, wrap)
    return image if constraint is None else constraint.apply(image)


def render_small(progress: Progress, height: int, width: int) -> Tensor:
    """Return the target after a step at a small size, clamped, with its colors moved."""
    target = resize(progress.image, height, width, progress.objective.wrap).clamp(0, 1)
    return progress.inputs.move_colors(target) if progress.inputs.move_colors is not None else target


def render_thumbnail(progress: Progress, long_side_px: int, store: TensorStore) -> Tensor:
    """Return the picture after a step, reduced to a long side. It is small at a coarse scale."""
    if progress.inputs.finish is not None or progress.inputs.paint_mask is not None:
        return thumbnail(render(progress, store)[1], long_side_px)
    height, width = progress.image.shape[2:]
    return render_small(progress, *fit(height, width, long_side_px, enlarge=False))


def objective_at(
    inputs: RunInputs, scale: Scale, config: ResolvedConfig, engine: Engine, query: Query | None = None
) -> Objective:
    """Build the objective of one scale, from content and styles at the size of that scale."""
    device = engine.encoder.device
    content = resize_to_scale(inputs.content.pixels, scale, wrapped_dims(config.wrap))
    content = inputs.fill_margins(content, engine.store).to(device)
    minimum_px = engine.encoder.minimum_px(name for name, _ in config.style_layers)
    styles = [(style.share, style.resize_to_scale(scale, minimum_px).to(device)) for style in inputs.styles]
    views, regions = view_styles(styles, config.style_augment), view_regions(inputs.regions, config.style_augment)
    return build_objective(engine, content, views, config, regions, query=query)
