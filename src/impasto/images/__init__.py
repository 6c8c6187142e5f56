"""Pictures in and out: files, arrays and PIL images to tensors, and tensors to files, by libvips."""

from impasto.images.decode import NamedImage, name_of
from impasto.images.masks import Mask, count_regions, load_mask
from impasto.images.metadata import read_note
from impasto.images.read import dimensions, load, sha256_of
from impasto.images.row_blocks import iter_row_blocks
from impasto.images.write import jpeg, require_output, save

__all__ = [
    "Mask",
    "NamedImage",
    "count_regions",
    "dimensions",
    "iter_row_blocks",
    "jpeg",
    "load",
    "load_mask",
    "name_of",
    "read_note",
    "require_output",
    "save",
    "sha256_of",
]
