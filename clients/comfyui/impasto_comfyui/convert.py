"""ComfyUI's pictures and those of the studio: tensors (B, H, W, C) from 0 to 1, and PNG files."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

__all__ = ["arrange", "mask_to_png", "pictures_to_tensor", "png_to_array", "tensor_to_pngs"]


def tensor_to_pngs(pictures: Any) -> list[bytes]:
    """Encode each picture of an IMAGE."""
    return [_encode(picture) for picture in np.asarray(pictures.detach().cpu().float())]


def mask_to_png(mask: Any, number: int, size: tuple[int, int]) -> bytes:
    """Encode what a MASK leaves out, at the (height, width) of its picture: white where it is 0.

    A batch has a mask for each picture; otherwise all share the first.
    """
    masks = np.asarray(mask.detach().cpu().float())
    masks = masks[None] if masks.ndim == 2 else masks
    image = Image.fromarray(_to_bytes(1 - masks[number if number < len(masks) else 0]))
    return _save(image.resize((size[1], size[0])))


def png_to_array(content: bytes) -> Any:
    """Decode a picture to an array (H, W, 3) from 0 to 1."""
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"), np.float32) / 255


def pictures_to_tensor(pictures: list[Any]) -> Any:
    """Stack arrays to an IMAGE. All get the size of the largest, because a batch has one size."""
    import torch  # ComfyUI's own

    height, width = max((picture.shape[:2] for picture in pictures), key=lambda size: size[0] * size[1])
    return torch.from_numpy(np.stack([_resize(picture, height, width) for picture in pictures]))


def arrange(batch: Any, columns: int) -> Any:
    """Arrange the pictures of an IMAGE in rows of `columns`, as one picture on white. 0 puts all into one row."""
    count, height, width, channels = batch.shape
    columns = min(columns or count, count)
    rows = -(-count // columns)
    sheet = batch.new_ones((1, rows * height, columns * width, channels))
    for number in range(count):
        row, column = divmod(number, columns)
        sheet[0, row * height : (row + 1) * height, column * width : (column + 1) * width] = batch[number]
    return sheet


def _encode(picture: Any) -> bytes:
    values = _to_bytes(picture)
    return _save(Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values))


def _to_bytes(values: Any) -> Any:
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def _resize(picture: Any, height: int, width: int) -> Any:
    if picture.shape[:2] == (height, width):
        return picture
    resized = Image.fromarray(_to_bytes(picture)).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(resized, np.float32) / 255


def _save(image: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "png", compress_level=1)
    return stream.getvalue()
