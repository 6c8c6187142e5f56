"""The functions that `import impasto` offers for one run."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Unpack

from impasto.config import Config, Inputs, RunOptions
from impasto.config.print_size import NO_PRINT
from impasto.config.types import is_named_start
from impasto.core.method import Progress
from impasto.engine.planning import Estimate
from impasto.errors import ConfigError
from impasto.run.loop import drive, iterate
from impasto.run.result import Result
from impasto.run.run import Run
from impasto.samples.sources import SAMPLE, resolve_picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from impasto.config.option_types import StylizeOptions
    from impasto.config.types import ImageLike

__all__ = ["as_tuple", "estimate", "prepare_run", "stylize", "stylize_steps"]


def prepare_run(content: Any, style: Any, config: Config | None = None, **options: Any) -> Run:
    """Build a `Run` from pictures and options by name: fields of `Config`, `RunOptions` and `Inputs`.

    A picture given as `init` sets `init="image"`. Options given beside `config` override it. Runs that are given the
    same `cache` share networks and measurements. Raises `ConfigError`, `LayerError`.
    """
    if config is not None and not isinstance(config, Config):
        raise ConfigError(f"{config!r} is not a Config. Give options by name: stylize(content, style, alpha=5).")
    files = {"weights": options.pop("weights", None), "protect": options.pop("protect", None)}
    files |= {name: as_tuple(options.pop(name, ())) for name in ("content_masks", "style_masks")}
    start = options.get("init")
    if not is_named_start(start):
        files["init"] = start
        options["init"] = "image"
    shared = {"cache": cache} if (cache := options.pop("cache", None)) is not None else {}
    run_options = RunOptions.take(options)
    given = config.model_dump() if config is not None else {}
    merged = Config(**(given | options))
    if merged.print != NO_PRINT and "size" in options:
        raise ConfigError("`print` and `size` both set the pixels: leave one of them out. For a proof, lower `dpi`.")
    content, *styles = (_find_sample(picture, merged.painted_px) for picture in (content, *as_tuple(style)))
    return Run(Inputs(content=content, styles=tuple(styles), **files), merged, run_options, **shared)


def _find_sample(picture: Any, size_px: int) -> Any:
    return resolve_picture(picture, size_px) if isinstance(picture, str) and picture.startswith(SAMPLE) else picture


def as_tuple(values: Any) -> tuple[Any, ...]:
    """Return a list, tuple or range as a tuple, and anything else as a tuple of one."""
    return tuple(values) if isinstance(values, (list, tuple, range)) else (values,)


def stylize(
    content: ImageLike,
    style: ImageLike | Sequence[ImageLike],
    config: Config | None = None,
    **options: Unpack[StylizeOptions],
) -> Result:
    """Paint `content` in the manner of `style` and return the picture.

    Pictures are paths, `sample:NAME`, bytes or open files, PIL images, arrays or tensors; a list of them as `style` is
    blended. `options` are fields of `Config` and `RunOptions`; `init` may be a picture; `content_masks`, `style_masks`
    and `protect` are pictures too, and `weights` is a file. Raises subclasses of `ImpastoError`.
    """
    return drive(prepare_run(content, style, config, **options))


def stylize_steps(
    content: ImageLike,
    style: ImageLike | Sequence[ImageLike],
    config: Config | None = None,
    **options: Unpack[StylizeOptions],
) -> Generator[Progress, None, None]:
    """Yield the progress of `stylize` after each step. Close the generator to cancel."""
    return iterate(prepare_run(content, style, config, **options))


def estimate(
    content: ImageLike,
    style: ImageLike | Sequence[ImageLike],
    config: Config | None = None,
    **options: Unpack[StylizeOptions],
) -> Estimate:
    """Estimate the time, memory and disk space of `stylize` with the same arguments, within about a third."""
    return prepare_run(content, style, config, **options).estimate()
