"""Input and output of pictures: files, arrays and PIL images to tensors, and tensors to files, by libvips."""

from impasto.images.exr import import_openexr
from impasto.images.masks import Mask, count_regions, load_mask
from impasto.images.metadata import read_note
from impasto.images.opened_image import NamedImage, OpenedImage, get_name, get_path, open_image
from impasto.images.profiles import OutputProfile, load_profile
from impasto.images.read import load
from impasto.images.reduce import reduce_image
from impasto.images.row_blocks import iter_row_blocks
from impasto.images.write import encode_jpeg, keeps_hidden_colors, quantize, require_output, save

__all__ = [
    "Mask",
    "NamedImage",
    "OpenedImage",
    "OutputProfile",
    "count_regions",
    "encode_jpeg",
    "get_name",
    "get_path",
    "import_openexr",
    "iter_row_blocks",
    "keeps_hidden_colors",
    "load",
    "load_mask",
    "load_profile",
    "open_image",
    "quantize",
    "read_note",
    "reduce_image",
    "require_output",
    "save",
]
