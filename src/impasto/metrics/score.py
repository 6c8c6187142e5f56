"""Score a picture against its content and its style, whatever program made it.

Laws: the networks are not the one that Impasto paints with by default, because a network favors a picture that was
optimized against it; `style` means little for a picture painted with VGG16, `content` for one painted with AlexNet.
A picture is scored at its own size. The content is resized to it, and cropped as for its print; the style gets its long
side but is never enlarged, as when painting. Transparent parts of the style are not measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from impasto import images
from impasto.config.networks import ALEXNET, VGG16
from impasto.config.run_options import MAX_MEGAPIXELS
from impasto.config.weights_sources import LPIPS
from impasto.config.wrap import Dims, Wrap, wrapped_dims
from impasto.core.encoder import Encoder
from impasto.core.framing import Frame, frame_content, mount
from impasto.core.masks import downsample_masks
from impasto.core.style_losses import find_style_loss
from impasto.core.targets import MIN_ENERGY
from impasto.core.tensor_store import RamStore
from impasto.engine.tiled import TiledEngine
from impasto.engine.torch_state import torch_state
from impasto.errors import ImageError, RecipeError
from impasto.metrics.artifacts import MIN_PX, border, checkerboard, haze, seam, speckle
from impasto.metrics.colors import histogram, palette
from impasto.metrics.lpips import lpips
from impasto.metrics.structure import TILE_PX, cfsd, patch, sliced_wasserstein
from impasto.run import read_recipe
from impasto.weights import Heads, load, load_heads

__all__ = [
    "MEANINGS",
    "WEIGHTS",
    "Score",
    "ScoreInputs",
    "ScoreNetworks",
    "load_score_inputs",
    "load_score_networks",
    "score",
    "score_images",
    "style_error",
]

WEIGHTS = (LPIPS.name, VGG16.name, ALEXNET.name)
"""Names of the weights that a score needs. The heads come first: their download contains the networks too."""

MEANINGS = {
    "style": "Gram error on VGG16: 0 is the style itself",
    "content": "LPIPS distance: 0 is the content itself",
    "sliced_wasserstein": "feature distributions: 0 is the style itself",
    "patch": "parts unlike the style's: 0.5 is another part of it",
    "palette": "distance to the style's colors: 0.6 is clean",
    "histogram": "color histograms: 0 is the same, 1 is disjoint",
    "cfsd": "structure unlike the content's: 0 is the same",
    "speckle": "lone pixels, over the inputs' own: up to 1 is clean",
    "border": "edges unlike the rest: 0 is clean, 0.5 is a frame",
    "haze": "share of the tonal range lost: 0 is clean",
    "checkerboard": "grids of 2, 4 or 8 px: 1 is clean, 2 is a grid",
    "seam": "steps across edges, with --wrap: 1 is clean",
}
"""The meaning of each number, in one line."""


@dataclass(frozen=True)
class Score:
    """Numbers that are lower for a better picture. `MEANINGS` explains each; `artifacts` has the formulas."""

    style: float
    content: float
    sliced_wasserstein: float
    patch: float
    palette: float
    histogram: float
    cfsd: float
    speckle: float
    border: float
    haze: float
    checkerboard: float
    seam: float = 0.0


@dataclass(frozen=True)
class ScoreInputs:
    """The three pictures (1, 3, H, W) at the sizes of a score: the content has the picture's. The mask is an alpha.

    The edges of the picture are to meet along the dimensions `wrap`.
    """

    content: Tensor
    style: Tensor
    image: Tensor
    style_mask: Tensor | None = None
    wrap: Dims = ()


@dataclass(frozen=True)
class ScoreNetworks:
    """The networks of a score, and the heads that turn AlexNet's features into a distance."""

    vgg16: Encoder
    alexnet: Encoder
    heads: Heads


def score(
    content: Any, style: Any, image: Any, *, max_megapixels: float = MAX_MEGAPIXELS, wrap: Wrap = "none"
) -> Score:
    """Score `image` against a content and a style: paths, PIL images, arrays or tensors.

    `wrap` names the edges that are to meet; without it, `seam` is 0.
    Downloads missing weights. Raises `ImageError` if a picture cannot be read or is too small, and `WeightsError` if
    weights are not available. To score many pictures, call `load_score_networks` once, and
    `score_images(load_score_inputs(...), networks)` for each.
    """
    with torch_state():
        inputs = load_score_inputs(content, style, image, max_megapixels=max_megapixels, wrap=wrap)
        return score_images(inputs, load_score_networks())


def load_score_inputs(
    content: Any, style: Any, image: Any, *, max_megapixels: float = MAX_MEGAPIXELS, wrap: Wrap = "none"
) -> ScoreInputs:
    """Load the three pictures at the sizes of a score. Raises `ImageError`."""
    picture = images.load(image, max_megapixels=max_megapixels).pixels
    height, width = picture.shape[2:]
    min_px = max(MIN_PX, *map(ALEXNET.minimum_px, ALEXNET.style_layers))
    _require_side(image, "The picture", picture, min_px)
    long_side_px = max(height, width)
    opened = images.open_image(content, max_megapixels=max_megapixels)
    frame = _frame_of(image, opened).scaled_to(height, width)
    content_pixels = mount(images.load(opened, frame=frame).pixels, frame, RamStore())
    painting = images.load(style, long_side_px=long_side_px, max_megapixels=max_megapixels)
    _require_side(style, "The style", painting.pixels, max(map(VGG16.minimum_px, VGG16.style_layers)))
    return ScoreInputs(content_pixels, painting.pixels, picture, painting.alpha, wrapped_dims(wrap))


def _frame_of(image: Any, content: images.OpenedImage) -> Frame:
    """Return the frame of the print that a picture is, by its recipe; that of the whole content for other pictures."""
    path = images.get_path(image)
    try:
        recipe = read_recipe(path) if path is not None else None
    except RecipeError:
        recipe = None
    return Frame.whole(*content.size) if recipe is None else frame_content(content.size, recipe.config)


def load_score_networks() -> ScoreNetworks:
    """Load the networks from the cache, or download them. Raises `WeightsError`."""
    heads = load_heads()
    return ScoreNetworks(Encoder(VGG16, load(VGG16.name)), Encoder(ALEXNET, load(ALEXNET.name)), heads)


def score_images(inputs: ScoreInputs, networks: ScoreNetworks) -> Score:
    """Score pictures that are already loaded."""
    content, style, image, mask = inputs.content, inputs.style, inputs.image, inputs.style_mask
    return Score(
        style=style_error(networks.vgg16, image, style, mask),
        content=lpips(networks.alexnet, networks.heads, image, content, tile_px=TILE_PX),
        sliced_wasserstein=sliced_wasserstein(networks.vgg16, image, style, mask),
        patch=patch(networks.alexnet, image, style, mask),
        palette=palette(image, style, mask),
        histogram=histogram(image, style, mask),
        cfsd=cfsd(networks.vgg16, image, content),
        speckle=speckle(image, content, style),
        border=border(image, content),
        haze=haze(image, content, style),
        checkerboard=checkerboard(image),
        seam=seam(image, inputs.wrap),
    )


def style_error(encoder: Encoder, image: Tensor, style: Tensor, mask: Tensor | None = None) -> float:
    """Measure the Gram error of an image in relative units, averaged over the network's style layers.

    `mask` is the style's alpha.
    """
    layers = encoder.network.style_layers
    engine, gram = TiledEngine(encoder, tile_px=TILE_PX), find_style_loss("gram")
    masks = None if mask is None else downsample_masks([mask], encoder.network, layers, style, RamStore())
    image_moments, style_moments = engine.moments(image, layers), engine.moments(style, layers, masks)
    errors = []
    for layer in layers:
        target = gram.target([(1.0, style_moments[layer][0])])
        errors.append(float(gram.distance(image_moments[layer][0], target)) / max(gram.energy(target), MIN_ENERGY))
    return sum(errors) / len(errors)


def _require_side(source: Any, role: str, pixels: Tensor, min_px: int) -> None:
    height, width = pixels.shape[2:]
    if min(height, width) < min_px:
        name = images.get_name(source) or role
        raise ImageError(
            f"{name} at {width}x{height} px is too small for a score, which needs at least {min_px} px a side. "
            "Give a larger one."
        )
