"""Pictures in and out: files, arrays and PIL images to tensors, and tensors to files, by libvips."""

from impasto.images.masks import Mask, count_regions, load_mask
from impasto.images.notes import read_note
from impasto.images.opening import NamedImage, name_of
from impasto.images.placing import check_apart, check_place, replacing
from impasto.images.reading import dimensions, load, sha256_of
from impasto.images.strips import in_strips
from impasto.images.writing import check_output, jpeg, save

__all__ = [
    "Mask",
    "NamedImage",
    "check_apart",
    "check_output",
    "check_place",
    "count_regions",
    "dimensions",
    "in_strips",
    "jpeg",
    "load",
    "load_mask",
    "name_of",
    "read_note",
    "replacing",
    "save",
    "sha256_of",
]
