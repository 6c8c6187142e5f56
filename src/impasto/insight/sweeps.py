"""Grids that compare: every content with every style, and one pair over the values of options."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from impasto.config import Config
from impasto.core.image import thumbnail
from impasto.errors import ConfigError
from impasto.insight.inputs import display_names, load_view_image, with_view_size
from impasto.insight.run_grid import GridCell, RunGrid
from impasto.insight.view_options import require_used_options
from impasto.render.grid import Cell
from impasto.render.text import to_words
from impasto.run import Result, as_tuple, prepare_run
from impasto.run.model_cache import ModelCache

__all__ = ["Sweep", "parse_sweep", "recombine", "sweep"]

MAX_CELLS = 100


def recombine(contents: Any, styles: Any, **options: Any) -> RunGrid:
    """Prepare every content in every style: one row for each content, one column for each style.

    Options are those of `stylize`; `size` is 256. Raises `ConfigError`; painting raises what `stylize` raises.
    """
    contents, styles = as_tuple(contents), as_tuple(styles)
    if not contents or not styles:
        raise ConfigError("There is nothing to combine. Give at least one content and one style.")
    require_used_options("recombine", options)
    _require_few(len(contents) * len(styles))
    options = with_view_size(options)
    cache = ModelCache(cache_measurements=True)
    names = display_names([*contents, *styles])
    content_names, style_names = names[: len(contents)], names[len(contents) :]
    cells = [
        [
            GridCell(f"{content_name} × {style_name}", prepare_run(content, style, **options, cache=cache))
            for style, style_name in zip(styles, style_names, strict=True)
        ]
        for content, content_name in zip(contents, content_names, strict=True)
    ]
    first = cells[0][0].run
    header = [thumbnail(load_view_image(first, style), first.config.longest_px) for style in styles]
    rows: list[list[GridCell | Tensor | Cell | None]] = [[None, *header]]
    for content, row in zip(contents, cells, strict=True):
        rows.append([load_view_image(row[0].run, content, frame=row[0].run.sizes.frame), *row])
    return RunGrid(
        rows,
        column_labels=["", *style_names],
        row_labels=["", *content_names],
        title="Content and style, separated and recombined",
    )


@dataclass(frozen=True)
class Sweep:
    """A grid over the values of options, and the options of each of its cells."""

    grid: RunGrid
    settings: tuple[dict[str, Any], ...]

    def table(self) -> list[dict[str, Any]]:
        """Return a row for each painted cell: the options that vary, the losses, the seconds."""
        return [
            setting | cell.result.losses | {"seconds": cell.result.seconds}
            for setting, cell in zip(self.settings, self.grid.cells, strict=True)
            if cell.result
        ]

    def _repr_png_(self) -> bytes:
        return self.grid._repr_png_()


def sweep(content: Any, style: Any, over: Mapping[str, Any], **options: Any) -> Sweep:
    """Prepare one pair over the values of one or two options of `Config`.

    Columns are the values of the first option, rows those of the second. All other options are those of `stylize`;
    `size` is 256. Raises `ConfigError`.
    """
    values = {name: as_tuple(each) for name, each in over.items()}
    _require_sweep(values, options)
    (column_option, column_values), (row_option, row_values) = (*values.items(), ("", [None]))[:2]
    options = with_view_size(options)
    cache = ModelCache(cache_measurements=True)
    settings, rows = [], []
    for row_value in row_values:
        row = []
        for column_value in column_values:
            setting = {column_option: column_value} | ({row_option: row_value} if row_option else {})
            label = ", ".join(itertools.starmap(_label, setting.items()))
            run = prepare_run(content, style, **(options | setting), cache=cache)
            row.append(GridCell(label, run, _write_losses))
            settings.append(setting)
        rows.append(row)
    grid = RunGrid(
        rows,
        column_labels=[_label(column_option, value) for value in column_values],
        row_labels=[_label(row_option, value) for value in row_values] if row_option else [],
        title=" in the style of ".join(display_names([content, style])),
    )
    return Sweep(grid, tuple(settings))


def _require_sweep(values: Mapping[str, tuple[Any, ...]], options: Mapping[str, Any]) -> None:
    """Raise `ConfigError` unless one or two known options have values, and are not given otherwise."""
    if not 1 <= len(values) <= 2 or not all(values.values()):
        raise ConfigError("A sweep goes over one or two options, such as alpha=1,5,25. Give each at least one value.")
    if unknown := ", ".join(name for name in values if name not in Config.model_fields):
        raise ConfigError(f"{unknown} cannot be swept. Use an option that shapes the picture: impasto stylize --help.")
    if both := ", ".join(sorted(values.keys() & options.keys())):
        raise ConfigError(f"{both} is given, and swept over too. Remove one of them.")
    require_used_options("sweep", options)
    _require_few(math.prod(map(len, values.values())))


def parse_sweep(texts: Sequence[str], flag: str = "--over") -> dict[str, list[str]]:
    """Parse `alpha=1,5` -> {"alpha": ["1", "5"]}. Dashes in names become underscores. Raises `ConfigError`.

    Semicolons separate values that contain commas: `style-layers=relu1_1;relu1_1,relu2_1`.
    """
    over: dict[str, list[str]] = {}
    for text in texts:
        name, sign, values = text.partition("=")
        name = name.strip().replace("-", "_")
        if not sign or not name:
            raise ConfigError(f"{flag} {text!r} is not NAME=VALUE,VALUE. Write it as alpha=1,5,25.")
        if name in over:
            raise ConfigError(f"{flag} has {name} twice. Give all its values at once.")
        over[name] = [value.strip() for value in values.split(";" if ";" in values else ",") if value.strip()]
    return over


def _require_few(count: int) -> None:
    if count > MAX_CELLS:
        raise ConfigError(f"{count} pictures are too many for one sheet. Ask for at most {MAX_CELLS}.")


def _label(name: str, value: Any) -> str:
    text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return f"{to_words(name)} = {text}"


def _write_losses(result: Result) -> str:
    return f"content {result.losses['content']:.3f}  style {result.losses['style']:.3f}"
