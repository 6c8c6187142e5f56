"""CUDA graphs: an evaluation is recorded once, and then repeated as a whole.

An evaluation is about a thousand small operations. Below some 1024 px a card finishes each sooner than Python starts
the next one.
"""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor

from impasto.core.evaluate import Evaluation, Evaluator

__all__ = ["RecordedEvaluator"]

RECORDED_PX = 1 << 21
"""Pixels up to which recordings pay: a card takes longer for the work than Python for the calls with more."""


class RecordedEvaluator:
    """An evaluator on a CUDA card that records its second evaluation, and repeats it for images of the same size.

    The first one prepares the libraries, which a recording cannot. A recording has memory of its own; where there is
    too little, images are evaluated as before.
    """

    def __init__(self, evaluate: Evaluator, record: Evaluator) -> None:
        self.evaluate, self.record, self._calls = evaluate, record, 0
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, image: Tensor) -> Evaluation:
        """Evaluate an image."""
        self._calls += 1
        if self._calls == 2 and image.shape[2] * image.shape[3] <= RECORDED_PX:
            self._graph = self._try_to_record(image)
        if self._graph is None:
            return self.evaluate(image)
        self._image.copy_(image)
        self._graph.replay()
        # The next replay writes into the same memory.
        return Evaluation(self._result.losses.copy(), self._result.gradient.clone())

    def _try_to_record(self, image: Tensor) -> torch.cuda.CUDAGraph | None:
        for _ in range(2):
            with contextlib.suppress(torch.OutOfMemoryError):
                return self._record(image)
            torch.cuda.empty_cache()  # what the first evaluation used
        return None

    def _record(self, image: Tensor) -> torch.cuda.CUDAGraph:
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._image = image.clone()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            graph.capture_begin(capture_error_mode="thread_local")
            try:
                self._result = self.record(self._image)
            finally:
                graph.capture_end()
        torch.cuda.current_stream().wait_stream(stream)
        return graph
