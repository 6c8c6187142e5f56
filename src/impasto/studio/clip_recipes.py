"""The recipes inside painted clips, for the form."""

from __future__ import annotations

from impasto.clips.recorded import read_clip_recipe
from impasto.config import Config, RunOptions
from impasto.errors import ConfigError, ImageError, RecipeError
from impasto.images.formats import require_readable_file
from impasto.studio.clips import Clips, name_errors
from impasto.studio.schemas import InputView, RecipeView, clip_options, file_options

__all__ = ["has_clip_recipe", "load_clip_recipe"]


def load_clip_recipe(clips: Clips, sha256: str) -> RecipeView:
    """Read the recipe of an uploaded clip. Raises `RecipeError` if it has none."""
    path = clips.pictures.file(sha256, "clip")
    with name_errors(path):
        recipe = read_clip_recipe(path)
    try:
        config = Config(**recipe["config"])
        inputs = [InputView.of(role, record["name"], record["sha256"]) for role, record in recipe["inputs"].items()]
        return RecipeView(
            overrides=config.overrides(),
            run=file_options(RunOptions(**recipe["run"])),
            video=clip_options(recipe["video"]),
            alphas=[config.alpha],
            inputs=inputs,
            available=[view.role for view in inputs if view.sample or _is_usable(clips, view)],
        )
    except (KeyError, TypeError, AttributeError, ConfigError) as error:
        raise RecipeError(f"The recipe cannot be used: {error}. It may be of another version of Impasto.") from error


def _is_usable(clips: Clips, view: InputView) -> bool:
    """Return True if an input is stored here. Masks of a clip that move are none of the page's."""
    path = clips.store.files.path(view.sha256)
    if not path.is_file() or view.role == "content":
        return path.is_file()
    try:
        require_readable_file(path)
    except ImageError:
        return False
    return True


def has_clip_recipe(clips: Clips, sha256: str) -> bool:
    """Return True if an uploaded clip has a recipe."""
    try:
        load_clip_recipe(clips, sha256)
    except RecipeError:
        return False
    return True
