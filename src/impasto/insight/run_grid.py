"""A wall of pictures that are still to be painted: what several views here are made of.

A wall has panels, each one a run of its own, between pictures that are there already. Runs share an `Atelier`,
so that the network is loaded once and no picture is measured twice.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from impasto.core.method import Progress
from impasto.render.grid import Cell, draw_grid
from impasto.run import Result, Run, iterate

EMPTY = 0.9
"""How bright the place of a picture is that is not painted."""

__all__ = ["GridCell", "GridProgress", "RunGrid"]


@dataclass
class GridCell:
    """A picture to be painted; `caption` writes the line beneath it from its losses."""

    name: str
    session: Run
    caption: Callable[[Result], str] = lambda result: ""
    result: Result | None = None


@dataclass(frozen=True)
class GridProgress:
    """How far a wall is: this panel of so many, and its step."""

    panel: str
    number: int
    count: int
    progress: Progress


@dataclass(frozen=True)
class RunGrid:
    """Panels and pictures in rows and columns, with labels. `paint` it, then take the `sheet`."""

    rows: Sequence[Sequence[GridCell | Tensor | Cell | None]]
    columns: Sequence[str] = ()
    names: Sequence[str] = ()
    title: str = ""
    note: str = ""
    panels: list[GridCell] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "panels", [cell for row in self.rows for cell in row if isinstance(cell, GridCell)])

    def paint(self) -> Generator[GridProgress, None, None]:
        """Paint panel after panel, as a stream of steps; close it to stop."""
        for number, panel in enumerate(self.panels, start=1):
            for progress in iterate(panel.session):
                yield (standing := GridProgress(panel.name, number, len(self.panels), progress))
            self.keep(standing)

    def keep(self, standing: GridProgress) -> None:
        """Hang a panel as it stands, where painting is stopped."""
        panel, progress = self.panels[standing.number - 1], standing.progress
        panel.result = panel.session.result()
        if not progress.is_last:
            panel.caption = lambda result: f"stopped at step {progress.iteration} of {progress.size.iterations}"

    def sheet(self) -> Tensor:
        """What is painted by now, (1, 3, H, W); the place of what is not is empty."""
        rows = [[_hung(cell) for cell in row] for row in self.rows]
        return draw_grid(rows, columns=self.columns, names=self.names, title=self.title, note=self.note)

    def painted(self) -> Tensor:
        """Paint all, and lay it out."""
        for _ in self.paint():
            pass
        return self.sheet()


def _hung(cell: GridCell | Tensor | Cell | None) -> Tensor | Cell | None:
    if not isinstance(cell, GridCell):
        return cell
    if cell.result is None:
        return Cell(torch.full((1, 3, cell.session.workload.height, cell.session.workload.width), EMPTY), "not painted")
    return Cell(cell.result.image, cell.caption(cell.result))
