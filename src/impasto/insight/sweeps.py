"""Every content with every style, and one pair over the values of an option: sheets that compare."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from impasto.config import Config
from impasto.core.image import thumbnail
from impasto.errors import ConfigError
from impasto.insight.inputs import SIZE_PX, display_names, load_view_image
from impasto.insight.run_grid import GridCell, RunGrid
from impasto.insight.view_options import require_used_options
from impasto.render.grid import Cell
from impasto.render.text import to_words
from impasto.run import Result, Run, as_tuple, prepare_run
from impasto.run.model_cache import ModelCache

__all__ = ["Sweep", "parse_sweep", "recombine", "sweep"]

MOST_PANELS = 100


def recombine(contents: Any, styles: Any, **options: Any) -> RunGrid:
    """Every content in every style: a row for each content, a column for each style, themselves at the edges.

    Options are those of `stylize`; `size` is 256. Raises `ConfigError`, and what `stylize` raises when painted.
    """
    contents, styles = as_tuple(contents), as_tuple(styles)
    if not contents or not styles:
        raise ConfigError("There is nothing to combine. Give at least one content and one style.")
    require_used_options("recombine", options)
    _require_few(len(contents) * len(styles))
    options = {"size": SIZE_PX} | options
    cache = ModelCache(cache_measurements=True)
    names = display_names([*contents, *styles])
    beside_names, head_names = names[: len(contents)], names[len(contents) :]
    rows = [
        [
            GridCell(f"{name} × {head}", prepare_run(content, style, **options, cache=cache))
            for style, head in zip(styles, head_names, strict=True)
        ]
        for content, name in zip(contents, beside_names, strict=True)
    ]
    first = rows[0][0].session
    side = first.config.size
    heads = [thumbnail(load_view_image(first, style), side) for style in styles]
    beside = [load_view_image(row[0].session, content) for row, content in zip(rows, contents, strict=True)]
    hung: list[list[GridCell | Tensor | Cell | None]] = [[None, *heads]]
    hung += [[image, *row] for image, row in zip(beside, rows, strict=True)]
    return RunGrid(
        hung,
        columns=["", *head_names],
        names=["", *beside_names],
        title="Content and style, held apart and recombined",
    )


@dataclass(frozen=True)
class Sweep:
    """A sweep: its wall, and when that is painted a table of its losses."""

    wall: RunGrid
    settings: tuple[dict[str, Any], ...]

    def table(self) -> list[dict[str, Any]]:
        """A row for each panel that is painted: the options that vary, and what came of them."""
        return [
            setting | panel.result.losses | {"seconds": panel.result.seconds}
            for setting, panel in zip(self.settings, self.wall.panels, strict=True)
            if panel.result
        ]


def sweep(content: Any, style: Any, over: Mapping[str, Any], **options: Any) -> Sweep:
    """One pair over the values of one or two options of `Config`: a column for each value of the first.

    Options that stay are those of `stylize`; `size` is 256. Raises `ConfigError`.
    """
    over = {name: as_tuple(values) for name, values in over.items()}
    if not 1 <= len(over) <= 2 or not all(over.values()):
        raise ConfigError("A sweep goes over one or two options, such as alpha=1,5,25. Give each some values.")
    unknown = ", ".join(name for name in over if name not in Config.model_fields)
    if unknown:
        raise ConfigError(f"{unknown}: no option that shapes the picture. See impasto stylize --help for them.")
    if twice := ", ".join(sorted(over.keys() & options.keys())):
        raise ConfigError(f"{twice} is given, and swept over too. Leave one of them out.")
    require_used_options("sweep", options)
    (across, values), (down, others) = (*over.items(), ("", [None]))[:2]
    _require_few(len(values) * len(others))
    options = {"size": SIZE_PX} | options
    cache = ModelCache(cache_measurements=True)
    settings, rows = [], []
    for other, value in itertools.product(others, values):
        setting = {across: value} | ({down: other} if down else {})
        label = ", ".join(_written(name, chosen) for name, chosen in setting.items())
        settings.append(setting)
        ready: Run = prepare_run(content, style, **(options | setting), cache=cache)
        rows.append(GridCell(label, ready, _losses))
    laid = [rows[first : first + len(values)] for first in range(0, len(rows), len(values))]
    wall = RunGrid(
        laid,
        columns=[_written(across, value) for value in values],
        names=[_written(down, other) for other in others] if down else [],
        title=" in the manner of ".join(display_names([content, style])),
    )
    return Sweep(wall, tuple(settings))


def parse_sweep(texts: Sequence[str], flag: str = "--over") -> dict[str, list[str]]:
    """`alpha=1,5` -> {"alpha": ["1", "5"]}. A dash in a name is an underscore. Raises `ConfigError`.

    Values that have commas of their own are parted by semicolons: `style-layers=relu1_1;relu1_1,relu2_1`.
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
    if count > MOST_PANELS:
        raise ConfigError(f"{count} pictures are more than a sheet can show. Ask for at most {MOST_PANELS}.")


def _written(name: str, value: Any) -> str:
    text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return f"{to_words(name)} = {text}"


def _losses(result: Result) -> str:
    return f"content {result.losses['content']:.3f}  style {result.losses['style']:.3f}"
