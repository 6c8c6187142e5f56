"""Grids of runs: pictures that are still to be painted, beside pictures that exist.

The runs of a grid usually share a `ModelCache`, so that networks are loaded once and no input is measured twice.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from impasto.core.display import Sheet
from impasto.core.method import Progress
from impasto.render.grid import Cell, draw_grid
from impasto.run import Result, Run, iterate

__all__ = ["GridCell", "GridProgress", "RunGrid"]

EMPTY_LEVEL = 0.9
"""Brightness of a cell that is not painted yet."""


@dataclass
class GridCell:
    """A run and, once it is painted, its result; `caption` makes the line below from the result."""

    name: str
    run: Run
    caption: Callable[[Result], str] = lambda result: ""
    result: Result | None = None


@dataclass(frozen=True)
class GridProgress:
    """A step of a grid: the cell, as `number` (from 1) of `count`, and the progress of its run."""

    cell: str
    number: int
    count: int
    progress: Progress


@dataclass(frozen=True)
class RunGrid:
    """Runs and pictures in rows and columns, with labels. `cells` are the runs, in the order of painting."""

    rows: Sequence[Sequence[GridCell | Tensor | Cell | None]]
    column_labels: Sequence[str] = ()
    row_labels: Sequence[str] = ()
    title: str = ""
    note: str = ""
    cells: list[GridCell] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cells", [cell for row in self.rows for cell in row if isinstance(cell, GridCell)])

    def steps(self) -> Generator[GridProgress, None, None]:
        """Paint cell after cell as a stream of steps. Close it to stop."""
        for number, cell in enumerate(self.cells, start=1):
            for progress in iterate(cell.run):
                yield (step := GridProgress(cell.name, number, len(self.cells), progress))
            self.finish_cell(step)

    def finish_cell(self, step: GridProgress) -> None:
        """Set the result of a cell: call it where painting stops early."""
        cell, progress = self.cells[step.number - 1], step.progress
        cell.result = cell.run.result()
        cell.run.close_inputs()
        if not progress.is_last:
            cell.caption = lambda result: f"stopped at step {progress.iteration} of {progress.size.iterations}"

    def draw(self) -> Sheet:
        """Draw the grid as it is now, (1, 3, H, W). Cells that are not painted are empty."""
        rows = [[_draw_cell(cell) for cell in row] for row in self.rows]
        return draw_grid(
            rows, column_labels=self.column_labels, row_labels=self.row_labels, title=self.title, note=self.note
        )

    def paint(self) -> Sheet:
        """Paint all cells and draw the grid."""
        for _ in self.steps():
            pass
        return self.draw()

    def _repr_png_(self) -> bytes:
        return self.draw()._repr_png_()


def _draw_cell(cell: GridCell | Tensor | Cell | None) -> Tensor | Cell | None:
    if not isinstance(cell, GridCell):
        return cell
    if cell.result is None:
        empty = torch.full((1, 3, *cell.run.sizes.frame.canvas), EMPTY_LEVEL)
        cell.run.close_inputs()
        return Cell(empty, "not painted")
    return Cell(cell.result.image, cell.caption(cell.result))
