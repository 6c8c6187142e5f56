"""Pictures of the studio, and color profiles: untrusted uploads, samples, thumbnails and downloads."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import AsyncIterable, Callable
from pathlib import Path
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

from impasto import images, samples
from impasto.config import Config
from impasto.config.run_options import SRGB
from impasto.errors import ImageError, RecipeError
from impasto.files import ScratchFolder
from impasto.images import NamedImage, OutputProfile
from impasto.jobs import Job, JobError, JobStore
from impasto.run import read_recipe
from impasto.run.recipe import Recipe
from impasto.samples.sources import SAMPLE, resolve_picture
from impasto.studio.schemas import FileView, InputView, PictureRef, ProfileView, RecipeView, file_options

__all__ = ["FORMATS", "SUFFIXES", "Pictures", "base_name", "can_write", "download_name", "load_recipe", "profile_name"]

MAX_MEGAPIXELS = 120.0
"""Limit of an upload. It is read from the header, so decompression bombs are refused before decoding."""

CHECK_PX = 256
"""Size at which an upload is decoded to check it."""

FORMATS = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "tiff": "image/tiff",
    "exr": "image/x-exr",
}
PROFILE_SUFFIXES = (".icc", ".icm")

SUFFIXES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "tiff": ".tif", "exr": ".exr"}
DEEP_FORMATS = ("png", "tiff", "exr")
"""Formats of 16 bits."""

T = TypeVar("T")

DEFAULT_SIZE_PX = Config.model_fields["size"].default


class Pictures:
    """The pictures of one studio, stored with the files of its queue."""

    def __init__(self, store: JobStore) -> None:
        self.store = store
        self._drawing = threading.Lock()

    async def upload(self, name: str, chunks: AsyncIterable[bytes]) -> FileView:
        """Store an uploaded picture. Raises `ImageError` if it is none or too large; nothing is stored then."""
        return await self.receive(chunks, lambda path: self.add(base_name(name), path))

    async def upload_profile(self, name: str, chunks: AsyncIterable[bytes]) -> ProfileView:
        """Store an uploaded color profile. Raises `ConfigError` if it is none; nothing is stored then."""
        return await self.receive(chunks, lambda path: self._store_profile(base_name(name), path))

    async def receive(self, chunks: AsyncIterable[bytes], store: Callable[[Path], T]) -> T:
        """Write an upload to a temporary file, and store that."""
        with ScratchFolder(self.store.folder) as folder:
            path = folder / "upload"
            with path.open("wb") as file:
                async for chunk in chunks:
                    file.write(chunk)
            return await run_in_threadpool(store, path)  # event streams continue

    def add(self, name: str, path: Path) -> FileView:
        """Decode a file completely, so that a truncated one is refused now and not by the worker, and store it."""
        source = NamedImage(name, path)
        opened = images.open_image(source, max_megapixels=MAX_MEGAPIXELS)
        images.load(opened, long_side_px=CHECK_PX)
        sha256 = self.store.files.add(path)
        return FileView(sha256=sha256, name=name, width=opened.width, height=opened.height, recipe=_has_recipe(path))

    def _store_profile(self, name: str, path: Path) -> ProfileView:
        profile = images.load_profile(path, name=name)
        return ProfileView(sha256=self.store.files.add(path), name=profile_name(name), space=profile.space)

    def source(self, ref: PictureRef, size_px: int) -> NamedImage:
        """Return the picture of a reference. Raises `InputError` (no such sample), `JobError` (no such file)."""
        if ref.sample is not None:
            return self.sample(ref.sample, size_px)
        path = self.file(str(ref.sha256))
        return NamedImage(base_name(ref.name or "picture"), path)

    def file(self, sha256: str, kind: str = "picture") -> Path:
        """Return the path of an uploaded file. Raises `JobError` if it does not exist."""
        path = self.store.files.path(sha256)
        if not path.is_file():
            raise JobError(f"The {kind} {sha256[:12]}… does not exist any more. Upload it again.")
        return path

    def sample(self, name: str, size_px: int) -> NamedImage:
        """Return a sample. Paintings are drawn once for each size. Raises `InputError`."""
        if name not in samples.PAINTINGS:
            photo: NamedImage = resolve_picture(SAMPLE + name, size_px)
            return photo
        folder = self.store.folder / "samples"
        path = folder / f"{name}-{samples.clamp_size(size_px)}.png"
        with self._drawing:  # two requests at once would draw it twice
            if not path.exists():
                folder.mkdir(exist_ok=True)
                images.save(path, images.load(resolve_picture(SAMPLE + name, size_px)).pixels)
        return NamedImage(SAMPLE + name, path)

    def sample_thumbnail(self, name: str, long_side_px: int) -> bytes:
        """Encode a small JPEG of a sample, of a painting without drawing it if it is small enough."""
        if name in samples.PAINTINGS and long_side_px <= samples.THUMBNAIL_PX:
            path = samples.thumbnail_path(name)
            return path.read_bytes() if long_side_px == samples.THUMBNAIL_PX else self.thumbnail(path, long_side_px)
        return self.thumbnail(self.sample(name, DEFAULT_SIZE_PX).pixels, long_side_px)

    def draw_samples(self) -> None:
        """Draw all paintings in advance, at the default size."""
        for name in samples.PAINTINGS:
            self.sample(name, DEFAULT_SIZE_PX)

    def thumbnail(self, path: Path, long_side_px: int) -> bytes:
        """Encode a small JPEG: upright, over white, in a form that every browser shows. Raises `ImageError`."""
        picture = images.load(path, long_side_px=long_side_px, max_megapixels=float("inf"))
        pixels = picture.pixels
        if picture.alpha is not None:
            pixels = pixels * picture.alpha + (1 - picture.alpha)
        return images.encode_jpeg(pixels)

    def result(self, job: Job) -> Path:
        """Return the path of a finished picture. Raises `JobError`."""
        if job.result is None:
            raise JobError(f"Job {job.id} is {job.state} and has no picture yet. Wait until it is done.")
        return self.file(job.result["sha256"])

    def convert_result(self, job: Job, kind: str, folder: Path) -> Path:
        """Write a finished picture in a format, with its recipe inside, to `folder`.

        An EXR holds linear light: the tone curve of the content is inverted. Raises `JobError` without OpenEXR.
        """
        if not can_write(kind):
            raise JobError(f"This studio cannot write {kind.upper()}: install impasto[{kind}] there, or choose TIFF.")
        source = self.result(job)
        path = folder / f"{job.id}{SUFFIXES[kind]}"
        if job.result is not None and job.result["suffix"] == path.suffix:
            shutil.copyfile(source, path)
            return path
        picture = images.load(source, max_megapixels=float("inf"))
        recipe = read_recipe(source)
        options, profile = recipe.run, self._profile(job, recipe)
        if kind == "exr" or (profile.space == "cmyk" and kind != "tiff"):
            profile = images.load_profile(SRGB)
        images.save(
            path,
            picture.pixels,
            picture.alpha,
            bits=options.bits if kind in DEEP_FORMATS else 8,
            quality=options.quality,
            dpi=recipe.config.dpi,
            profile=profile,
            intent=options.intent,
            peak=self._peak(job) if kind == "exr" else 1.0,
            note=images.read_note(source) or "",
        )
        return path

    def _peak(self, job: Job) -> float:
        """Return the peak of the content's tone curve, which is 1 unless it is an OpenEXR."""
        return images.open_image(self.file(str(job.inputs["content"]["sha256"])), max_megapixels=float("inf")).peak

    def _profile(self, job: Job, recipe: Recipe) -> OutputProfile:
        """Return the color profile of a finished picture, which is stored with its job if it is a file."""
        if "profile" not in job.inputs:
            return images.load_profile(recipe.run.profile)
        return images.load_profile(self.file(str(job.inputs["profile"]["sha256"])), name=recipe.run.profile)


def can_write(kind: str) -> bool:
    """Return True if files of a format can be written here. EXR needs the extra of its name."""
    return kind != "exr" or images.import_openexr() is not None


def base_name(name: str, default: str = "picture") -> str:
    """Remove folders and control characters from a client's file name. It is only displayed, never used as a path."""
    return re.sub(r"[\x00-\x1f\x7f]", "", re.split(r"[/\\]", name)[-1])[:255].strip() or default


def profile_name(name: str) -> str:
    """Return the base name of a color profile, with a suffix, so that it is none of the built-in names."""
    plain = base_name(name)
    return plain if Path(plain).suffix.lower() in PROFILE_SUFFIXES else f"{plain[:251]}.icc"


def download_name(job: Job, suffix: str) -> str:
    """Make a file name for a result."""
    stems = (Path(base_name(str(job.inputs[role]["name"]))).stem[:60] for role in ("content", "style"))
    joined = "_".join(re.sub(r"[^\w.+-]", "_", stem.removeprefix(SAMPLE)).strip("._") or "picture" for stem in stems)
    return f"{joined}_{job.id}{suffix}"


def load_recipe(store: JobStore, sha256: str) -> RecipeView:
    """Read the recipe of an uploaded picture. Raises `RecipeError` if it has none."""
    recipe = read_recipe(store.files.path(sha256))
    inputs = [InputView.of(role, record.name, record.sha256) for role, record in recipe.inputs.items()]
    if recipe.profile_sha256 is not None:
        inputs.append(InputView.of("profile", recipe.run.profile, recipe.profile_sha256))
    return RecipeView(
        overrides=recipe.config.overrides(),
        run=file_options(recipe.run),
        alphas=[recipe.config.alpha, *(change.alpha for change in recipe.alpha_changes)],
        inputs=inputs,
        available=[view.role for view in inputs if view.sample or store.files.path(view.sha256).is_file()],
    )


def _has_recipe(path: Path) -> bool:
    try:
        read_recipe(path)
    except (RecipeError, ImageError):
        return False
    return True
