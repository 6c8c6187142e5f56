"""More steps for a picture whose loss still falls fast after those that were planned."""

from __future__ import annotations

import logging

from impasto.config import Config
from impasto.config.schedule import MAX_STEPS, SETTLING_STEPS, UNSETTLED_FALL
from impasto.core.run_inputs import RunInputs
from impasto.run.alpha_schedule import AlphaSchedule
from impasto.run.loss_trace import LossTrace

__all__ = ["lengthen_unsettled"]

logger = logging.getLogger("impasto")


def lengthen_unsettled(
    inputs: RunInputs, iteration: int, config: Config, schedule: AlphaSchedule, trace: LossTrace
) -> RunInputs:
    """Return inputs with the steps that a run has after this step at full size: more if it has not settled."""
    while iteration > inputs.scales[-1].iterations:  # given more before
        inputs = inputs.lengthen(SETTLING_STEPS)
    fall, last = trace.recent_fall(SETTLING_STEPS), len(inputs.scales)
    steps = range(max(1, iteration - SETTLING_STEPS), iteration + 1)
    has_one_alpha = len({schedule.alpha_at(last, step, config.alpha) for step in steps}) == 1
    is_open = config.iterations is None and iteration == inputs.scales[-1].iterations
    if not (is_open and has_one_alpha) or fall is None or fall <= UNSETTLED_FALL:
        return inputs
    message = "The picture has not settled: its loss fell by %.0f %% in the last %d steps."
    if config.effort == "draft" or iteration >= MAX_STEPS:
        logger.warning(f"{message} Give it more with --iterations.", 100 * fall, SETTLING_STEPS)
        return inputs
    logger.info(f"{message} It gets as many again.", 100 * fall, SETTLING_STEPS)
    return inputs.lengthen(SETTLING_STEPS)
