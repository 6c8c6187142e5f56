"""Files, arrays and PIL images -> tensors, and tensors -> files.

Laws: a tensor image is float32, sRGB in [0, 1], (1, 3, H, W); its alpha is (1, 1, H, W). Sizes are
(height, width) here and everywhere else; libvips' (width, height) stays inside this module and
`opening`. Output goes to a temporary file that is renamed when it is whole.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from impasto.errors import ImageError, OutputError
from impasto.opening import NamedImage, name_of, open_image, to_srgb, vips_errors
from impasto.store import Memory, Store

__all__ = [
    "NamedImage",
    "Picture",
    "check_output",
    "dimensions",
    "fit",
    "load",
    "read_note",
    "resize",
    "save",
    "sha256_of",
]

WRITABLE = {".png": 16, ".jpg": 8, ".jpeg": 8, ".webp": 8, ".tif": 16, ".tiff": 16}
"""Bits that each output format can hold."""

STRIP = 1 << 21
"""Pixels read or written at a time."""

LARGE, BIGTIFF_FROM = 1 << 27, 1 << 31
"""Bytes of pixels from which a TIFF has tiles, and is a BigTIFF."""

LONGEST_SIDE_PX = {".jpg": 65_500, ".jpeg": 65_500, ".webp": 16_383}
NOTE_FIELD = "png-comment-0-impasto"
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:impasto="urn:impasto:1"><impasto:recipe>{}</impasto:recipe>'
    "</rdf:Description></rdf:RDF></x:xmpmeta>"
)
_XMP_OPEN, _, _XMP_CLOSE = XMP.partition("{}")


@dataclass(frozen=True)
class Picture:
    """A loaded image, what it was called, and the SHA-256 of the file or array it came from."""

    pixels: Tensor
    alpha: Tensor | None
    name: str | None
    sha256: str


def fit(height: int, width: int, long_side_px: int, *, enlarge: bool) -> tuple[int, int]:
    """The size with this long side and the same aspect, no side below 1; never larger unless `enlarge`."""
    scale = long_side_px / max(height, width)
    if scale >= 1 and not enlarge:
        return height, width
    return max(1, round(height * scale)), max(1, round(width * scale))


def load(
    source: Any,
    *,
    long_side_px: int | None = None,
    enlarge: bool = False,
    max_megapixels: float = 250.0,
    store: Store | None = None,
) -> Picture:
    """Read a picture and make its long side `long_side_px`, antialiased (Lanczos 3), into `store`.

    Orientation is applied, the embedded profile converted to sRGB, alpha split off; what lies under it
    is flattened over the mean of what can be seen. Arrays are (H, W), (H, W, C) or (C, H, W), integer
    over their whole range or float in [0, 1]. Floating-point files are linear light. Raises `ImageError`.
    """
    name, store = name_of(source), store or Memory()
    with vips_errors(f"{name or 'The picture'} cannot be read as an image"):
        image, sha256 = open_image(source, max_megapixels)
        image = to_srgb(image)
        height, width = image.height, image.width
        if long_side_px is not None:
            height, width = fit(height, width, long_side_px, enlarge=enlarge)
        # Colour under full transparency means nothing, so it must not bleed into what is seen.
        flat = image.premultiply(max_alpha=1.0) if image.hasalpha() else image
        if (height, width) != (image.height, image.width):
            flat = flat.resize(width / image.width, vscale=height / image.height, kernel="lanczos3")
        planes = [store.empty((1, 3, height, width))]
        if flat.bands == 4:
            planes.append(store.empty((1, 1, height, width)))
        for rows, values in _strips_of(flat.cast("float")):
            if not np.isfinite(values).all():
                raise ImageError(f"{name or 'The picture'} holds NaN or infinity. Give finite pixels.")
            strip = torch.from_numpy(values.transpose(2, 0, 1).copy())
            if len(planes) == 1:
                strip.clamp_(0, 1)
            for plane, part in zip(planes, (strip[:3], strip[3:]), strict=False):
                plane[0, :, rows] = part
                store.release(plane)
    if len(planes) == 1:
        return Picture(planes[0], None, name, sha256)
    pixels, alpha = planes
    alpha.clamp_(0, 1)
    seen = alpha.sum().clamp(min=1e-6)
    for channel in range(3):
        plane = pixels[:, channel : channel + 1]
        mean_color = (plane.sum() / seen).clamp(0, 1)
        plane.add_((1 - alpha) * mean_color).clamp_(0, 1)
        store.release(pixels)
    return Picture(pixels, alpha, name, sha256)


def _strips_of(image: Any) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """The rows of a libvips image, computed a strip at a time, as (rows, W, bands)."""
    step = max(1, STRIP // image.width)
    whole = step >= image.height
    for top in range(0, image.height, step):
        count = min(step, image.height - top)
        part = image if whole else image.crop(0, top, image.width, count)
        yield slice(top, top + count), np.atleast_3d(part.numpy())


def dimensions(source: Any, *, max_megapixels: float = 250.0) -> tuple[int, int]:
    """(height, width) of a picture as `load` would give it, without decoding it. Raises `ImageError`."""
    with vips_errors(f"{name_of(source) or 'The picture'} cannot be read as an image"):
        image, _ = open_image(source, max_megapixels)
        upright = image.autorot() if "orientation" in image.get_fields() else image
        return upright.height, upright.width


def sha256_of(source: Any) -> str:
    """What `load` would call the SHA-256 of a picture, without decoding it. Raises `ImageError`."""
    with vips_errors(f"{name_of(source) or 'The picture'} cannot be read as an image"):
        return open_image(source, max_megapixels=float("inf"))[1]


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """An image (1, C, H, W) at another size: bicubic, antialiased. Values may overshoot a little."""
    if image.shape[2:] == (height, width):
        return image
    resized = image.new_empty((1, image.shape[1], height, width))
    for channel in range(image.shape[1]):  # one at a time needs a third of the memory
        resized[:, channel : channel + 1] = F.interpolate(
            image[:, channel : channel + 1], (height, width), mode="bicubic", antialias=True, align_corners=False
        )
    return resized


def check_output(path: Path, *, bits: int = 8, height: int = 1, width: int = 1) -> None:
    """Raise `OutputError` now if `save` would later: unknown format, no folder, no permission."""
    suffix = path.suffix.lower()
    if suffix not in WRITABLE:
        raise OutputError(
            f"{path}: cannot write {suffix or 'a file without an ending'}. Use .png, .jpg, .webp or .tif."
        )
    if bits > WRITABLE[suffix]:
        raise OutputError(f"{path}: {suffix} holds {WRITABLE[suffix]} bits, not {bits}. Use .png or .tif, or 8 bits.")
    if max(height, width) > LONGEST_SIDE_PX.get(suffix, 10_000_000):
        raise OutputError(f"{path}: {suffix} cannot hold {width}x{height} px. Use .png or .tif.")
    try:
        if path.is_dir():
            raise OutputError(f"{path} is a directory. Give the name of a file.")
        if not path.parent.is_dir():
            raise OutputError(f"{path}: there is no directory {path.parent}. Make it first.")
        if path.exists() and not os.access(path, os.W_OK):
            raise OutputError(f"{path} is write-protected. Choose another name.")
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}. Choose another place.") from error


def save(
    path: Path,
    pixels: Tensor,
    alpha: Tensor | None = None,
    *,
    bits: int = 8,
    quality: int = 95,
    note: str = "",
    store: Store | None = None,
) -> None:
    """Write an image (1, 3, H, W) in [0, 1], with alpha where the format has it, else over white.

    `note` (ASCII) goes along as PNG text and XMP. A file that was there is replaced only by a whole
    one. Raises `OutputError`.
    """
    check_output(path, bits=bits, height=pixels.shape[2], width=pixels.shape[3])
    suffix = path.suffix.lower()
    if alpha is not None and suffix in (".jpg", ".jpeg"):
        pixels, alpha = torch.lerp(torch.ones_like(alpha), pixels, alpha), None
    array = _levels(pixels, alpha, bits, store or Memory())
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=".impasto-", suffix=suffix, dir=path.parent)
        with os.fdopen(handle, "wb"), vips_errors(f"{path} could not be written", OutputError):
            image = pyvips.Image.new_from_array(array).copy(interpretation="srgb" if bits == 8 else "rgb16")
            if note:
                escaped = note.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
                image.set_type(pyvips.GValue.gstr_type, NOTE_FIELD, note)
                image.set_type(pyvips.GValue.blob_type, "xmp-data", XMP.format(escaped).encode())
            target = pyvips.Target.new_to_descriptor(handle)
            image.write_to_target(target, suffix, **_save_options(suffix, quality, array.nbytes))
        Path(temporary).chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"{path} could not be written: {error.strerror}. Free some space, or choose another place."
        ) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def read_note(path: Path) -> str | None:
    """The note that `save` put into a picture, or None. Raises `ImageError` if it is no picture."""
    with vips_errors(f"{path} cannot be read as an image"):
        image, _ = open_image(path, max_megapixels=float("inf"))
        for field in image.get_fields():
            if field.startswith("png-comment-") and field.endswith("-impasto"):
                return str(image.get(field))
        if "xmp-data" in image.get_fields():
            xmp = bytes(image.get("xmp-data")).decode("utf-8", "replace")
            _, opened, rest = xmp.partition(_XMP_OPEN[-len("<impasto:recipe>") :])
            if opened:
                escaped = rest.partition(_XMP_CLOSE[: len("</impasto:recipe>")])[0]
                return escaped.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return None


def _levels(pixels: Tensor, alpha: Tensor | None, bits: int, store: Store) -> NDArray[np.uint8 | np.uint16]:
    """Pixels as whole numbers, (H, W, 3 or 4), a strip at a time."""
    height, width = pixels.shape[2:]
    planes = [plane.detach() for plane in (pixels, alpha) if plane is not None]
    levels = store.empty(
        (height, width, sum(plane.shape[1] for plane in planes)), torch.uint8 if bits == 8 else torch.uint16
    )
    step = max(1, STRIP // width)
    for top in range(0, height, step):
        strip = torch.cat([plane[0, :, top : top + step].cpu() for plane in planes])
        values = strip.clamp(0, 1).mul(2**bits - 1).round().permute(1, 2, 0)
        levels[top : top + step] = values.to(levels.dtype)
        store.release(levels, *planes)
    return levels.cpu().numpy()


def _save_options(suffix: str, quality: int, size: int) -> dict[str, Any]:
    if suffix in (".jpg", ".jpeg", ".webp"):
        return {"Q": quality}
    if suffix == ".png":
        return {"compression": 6}
    # Tiles let viewers open a part; beyond 4 GB only BigTIFF can hold it.
    large = {"tile": True, "tile_width": 256, "tile_height": 256} if size > LARGE else {}
    return {"compression": "deflate", "predictor": "horizontal", "bigtiff": size > BIGTIFF_FROM, **large}


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
