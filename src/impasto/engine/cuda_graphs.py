"""CUDA graphs: an evaluation is recorded once, and then repeated as a whole.

An evaluation is about a thousand small operations. Below some 1024 px a card finishes each sooner than Python starts
the next one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from impasto.core.evaluate import Evaluation, Evaluator

__all__ = ["RecordedEvaluator", "can_record"]

RECORDED_LOSSES = frozenset({"gram", "covariance", "centered", "mean-std", "neighbor"})
"""Style losses that read no value and take no roots of matrices. After a failed recording, those fail for good."""


def can_record(style_loss: str) -> bool:
    """Return True if evaluations with this style loss can be recorded."""
    return style_loss in RECORDED_LOSSES


class RecordedEvaluator:
    """An evaluator on a CUDA card that records its second evaluation, and repeats it for images of the same size.

    The first one prepares the libraries, which a recording cannot.
    """

    def __init__(self, evaluate: Evaluator) -> None:
        self.evaluate = evaluate
        self._is_prepared = False
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, image: Tensor) -> Evaluation:
        """Evaluate an image."""
        if not self._is_prepared:
            self._is_prepared = True
            return self.evaluate(image)
        if self._graph is None:
            self._record(image)
        assert self._graph is not None
        self._image.copy_(image)
        self._graph.replay()
        # The next replay writes into the same memory.
        return Evaluation(self._result.losses.copy(), self._result.gradient.clone())

    def _record(self, image: Tensor) -> None:
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._image = image.clone()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            graph.capture_begin(capture_error_mode="thread_local")
            try:
                self._result = self.evaluate(self._image)
            finally:
                graph.capture_end()
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = graph
