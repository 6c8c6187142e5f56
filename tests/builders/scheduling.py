"""The order in which pytest-xdist hands out tests: one of three workers is for tests that mostly wait."""

from __future__ import annotations

from xdist.scheduler import LoadGroupScheduling
from xdist.workermanage import WorkerController

WAITING = "cluster"
"""The group of tests that wait for processes that they start, and for timeouts, rather than compute."""


class WaitingAside(LoadGroupScheduling):
    """Hands the group that waits to the last of three or more workers, and all other tests to the rest.

    So it waits while the others compute. Its worker needs little memory.
    """

    def _assign_work_unit(self, node: WorkerController) -> None:
        """Give a worker the next unit that is meant for it, or end the worker if there is none."""
        if len(self.nodes) > 2:
            is_last = node is self.nodes[-1]
            unit = next((name for name in self.workqueue if (name == WAITING) == is_last), None)
            if unit is None:
                node.shutdown()
                return
            self.workqueue.move_to_end(unit, last=False)
        super()._assign_work_unit(node)
