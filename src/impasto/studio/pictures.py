"""Pictures in and out of the studio: uploads that are never trusted, those that ship, small looks, downloads."""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
from collections.abc import AsyncIterable
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from impasto import images, samples
from impasto.config import Config
from impasto.errors import ImageError, RecipeError
from impasto.images import NamedImage
from impasto.jobs import Job, JobError, JobStore
from impasto.run import read_recipe
from impasto.run.recipe import chosen
from impasto.samples.sources import SAMPLE, resolve_picture
from impasto.studio.schemas import FileView, InputView, PictureRef, RecallView

__all__ = ["FORMATS", "Pictures", "base_name", "download_name", "recalled"]

MEGAPIXELS = 120.0
"""Of an upload at most: a bomb is refused by its header, before anything is decoded."""

FORMATS = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp", "tiff": "image/tiff"}
SUFFIXES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "tiff": ".tif"}

USUAL_PX = Config.model_fields["size"].default


class Pictures:
    """The pictures of one studio, kept among the files of its queue."""

    def __init__(self, store: JobStore) -> None:
        self.store = store
        self._drawing = threading.Lock()

    async def upload(self, name: str, pieces: AsyncIterable[bytes]) -> FileView:
        """Take in a file as it comes. Raises `ImageError` if it is no picture, or too large; nothing is left then."""
        with tempfile.TemporaryDirectory(prefix="upload-", dir=self.store.folder) as folder:
            path = Path(folder) / "upload"
            with path.open("wb") as file:
                async for piece in pieces:
                    file.write(piece)
            return await run_in_threadpool(self._checked, base_name(name), path)  # streams go on meanwhile

    def _checked(self, name: str, path: Path) -> FileView:
        """Keep a file, once all of it was decoded: what is cut short is told of now, and not by the worker."""
        source = NamedImage(name, path)
        height, width = images.dimensions(source, max_megapixels=MEGAPIXELS)
        images.load(source, long_side_px=256, max_megapixels=MEGAPIXELS)
        return FileView(
            sha256=self.store.files.add(path), name=name, width=width, height=height, recipe=_has_recipe(path)
        )

    def source(self, ref: PictureRef, size_px: int) -> NamedImage:
        """The picture that is meant. Raises `InputError`: no such sample, `JobError`: no such file."""
        if ref.sample is not None:
            return self.sample(ref.sample, size_px)
        path = self.file(str(ref.sha256))
        return NamedImage(base_name(ref.name or "picture"), path)

    def file(self, sha256: str) -> Path:
        """An uploaded file. Raises `JobError` if it is not here."""
        path = self.store.files.path(sha256)
        if not path.is_file():
            raise JobError(f"The picture {sha256[:12]}… is not here any more. Drop it once more.")
        return path

    def sample(self, name: str, size_px: int) -> NamedImage:
        """A picture that ships, as large as a painting is drawn for that size, once. Raises `InputError`."""
        if name not in samples.PAINTINGS:
            photo: NamedImage = resolve_picture(SAMPLE + name, size_px)
            return photo
        folder = self.store.folder / "samples"
        path = folder / f"{name}-{samples.fitting_px(size_px)}.png"
        with self._drawing:  # two at once would draw it twice
            if not path.exists():
                folder.mkdir(exist_ok=True)
                images.save(path, images.load(resolve_picture(SAMPLE + name, size_px)).pixels)
        return NamedImage(SAMPLE + name, path)

    def draw_samples(self) -> None:
        """Have all paintings drawn as they are first looked at, so that nobody waits for them."""
        for name in samples.PAINTINGS:
            self.sample(name, USUAL_PX)

    def look(self, path: Path, long_side_px: int) -> bytes:
        """A picture as a JPEG that any browser can show, upright, over white. Raises `ImageError`."""
        picture = images.load(path, long_side_px=long_side_px, max_megapixels=float("inf"))
        pixels = picture.pixels
        if picture.alpha is not None:
            pixels = pixels * picture.alpha + (1 - picture.alpha)
        return images.jpeg(pixels)

    def result(self, job: Job) -> Path:
        """The picture of a job that is done. Raises `JobError`."""
        if job.result is None:
            raise JobError(f"Job {job.id} is {job.state}: it has no picture yet.")
        return self.file(job.result["sha256"])

    def written(self, job: Job, kind: str, folder: Path) -> Path:
        """A result in another format, with its recipe inside, as a file in `folder`."""
        source = self.result(job)
        path = folder / f"{job.id}{SUFFIXES[kind]}"
        if job.result is not None and job.result["suffix"] == path.suffix:
            shutil.copyfile(source, path)
            return path
        picture = images.load(source, max_megapixels=float("inf"))
        run = read_recipe(source).run
        bits = run.bits if kind in ("png", "tiff") else 8
        images.save(
            path,
            picture.pixels,
            picture.alpha,
            bits=bits,
            quality=run.quality,
            note=images.read_note(source) or "",
        )
        return path


def base_name(name: str) -> str:
    """What a file is called by whoever sent it, without what leads somewhere. It never names a file of ours."""
    return re.sub(r"[\x00-\x1f\x7f]", "", re.split(r"[/\\]", name)[-1])[:255].strip() or "picture"


def download_name(job: Job, kind: str) -> str:
    """What a result is called where it is saved."""
    stems = (Path(base_name(str(job.inputs[role]["name"]))).stem[:60] for role in ("content", "style"))
    joined = "_".join(re.sub(r"[^\w.+-]", "_", stem.removeprefix(SAMPLE)).strip("._") or "picture" for stem in stems)
    return f"{joined}_{job.id}{SUFFIXES[kind]}"


def recalled(store: JobStore, sha256: str) -> RecallView:
    """What painted an uploaded picture. Raises `RecipeError` if it tells nothing of it."""
    recipe = read_recipe(store.files.path(sha256))
    inputs = [InputView.of(role, file.name, file.sha256) for role, file in recipe.inputs.items()]
    return RecallView(
        chosen=chosen(recipe.config.model_dump(mode="json")),
        alphas=[recipe.config.alpha, *(change.alpha for change in recipe.alpha_changes)],
        inputs=inputs,
        here=[file.role for file in inputs if file.sample or store.files.path(file.sha256).is_file()],
    )


def _has_recipe(path: Path) -> bool:
    try:
        read_recipe(path)
    except (RecipeError, ImageError):
        return False
    return True
