"""`impasto samples`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from impasto import images
from impasto import samples as shipped
from impasto.cli.parameters import Whole
from impasto.errors import OutputError
from impasto.files import atomic_write

__all__ = ["samples"]

samples = App(
    name="samples", help="List or write the pictures that ship with Impasto.", suppress_keyboard_interrupt=False
)


@samples.default
@samples.command(name="list")
def list_samples() -> int:
    """List the samples; each can be used as sample:NAME."""
    for name in shipped.NAMES:
        print(f"sample:{name}  {shipped.credit(name)}")
    return 0


@samples.command
def write(
    folder: Annotated[Path, Parameter(help="Folder to write into.")] = Path(),
    /,
    *,
    size: Annotated[Whole, Parameter(help="Long side of the paintings, in pixels.")] = 512,
) -> int:
    """Write the photo and the paintings as files. Existing files are not replaced."""
    if not folder.is_dir():
        raise OutputError(f"There is no directory {folder}. Create it first.")
    for name in shipped.NAMES:
        photo = shipped.photo_path(name) if name in shipped.PHOTOS else None
        path = folder / (photo.name if photo else f"{name}.png")
        if path.exists():
            print(f"{path}  exists already")
            continue
        if photo:
            with atomic_write(path) as temporary:
                shutil.copyfile(photo, temporary)
        else:
            images.save(path, images.load(shipped.paint(name, size_px=size)).pixels)
        print(path)
    return 0
