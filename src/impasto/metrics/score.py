"""A score for any picture: how near it is to content and style, and what is wrong with it.

Laws: the networks that judge are not those that Impasto paints with by default, for a network flatters what was
optimized against it; whoever painted with VGG16 or AlexNet should not trust `style` or `content`. A picture is
judged as it is, at its own size: the content is brought to that size, the style to its long side but never
enlarged, as it was when it was painted. What lies under transparency is the mean color of what can be seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from impasto import images
from impasto.config.networks import ALEXNET, VGG16
from impasto.core.encoder import Encoder
from impasto.core.image import resize
from impasto.core.objective import LEAST_ENERGY
from impasto.core.style_losses import STYLE_LOSSES
from impasto.engine.tiled import TiledEngine
from impasto.errors import ImageError
from impasto.metrics.artifacts import LEAST_PX, border, checkerboard, haze, speckle
from impasto.metrics.lpips import lpips
from impasto.weights import Heads, load, load_heads

__all__ = [
    "JUDGES",
    "MEANINGS",
    "Judges",
    "Score",
    "ScoreInputs",
    "load_judges",
    "load_score_inputs",
    "score",
    "score_images",
    "style_error",
]

BLOCK = 1024
"""Pixels a side. Larger pictures are measured in blocks of that, exactly."""

JUDGES = ("lpips", "vgg16", "alexnet")
"""The weights that it takes. The heads first: the archive that they are pulled in has the networks too."""

MEANINGS = {
    "style": "Gram error on VGG16, relative: 0 is the style itself",
    "content": "LPIPS distance: 0 is the content itself",
    "speckle": "lone pixels, over the inputs' own: up to 1 is clean",
    "border": "edges unlike what is beside them: 0 is clean, 0.5 a frame",
    "haze": "share of the tonal range lost: 0 is clean",
    "checkerboard": "grids of 2, 4 or 8 px: 1 is clean, 2 a grid",
}
"""What each number says, in a line."""


@dataclass(frozen=True)
class Score:
    """Numbers that are lower for a better picture; `MEANINGS` says what each is, `defects` by what formula."""

    style: float
    content: float
    speckle: float
    border: float
    haze: float
    checkerboard: float


@dataclass(frozen=True)
class ScoreInputs:
    """The three pictures as they are judged, (1, 3, H, W): the content has the picture's size."""

    content: Tensor
    style: Tensor
    image: Tensor


@dataclass(frozen=True)
class Judges:
    """The networks that judge, and the heads that make AlexNet a distance."""

    vgg16: Encoder
    alexnet: Encoder
    heads: Heads


def score(content: Any, style: Any, image: Any, *, max_megapixels: float = 250.0) -> Score:
    """Judge `image` against any content and style: paths, PIL images, arrays or tensors.

    Raises `ImageError` if one cannot be read or is too small to be judged, `WeightsError` if the networks
    cannot be had. To judge many pictures, `load_judges` once, then `judge(look(...), judges)` each.
    """
    views = load_score_inputs(content, style, image, max_megapixels=max_megapixels)
    return score_images(views, load_judges())


def load_score_inputs(content: Any, style: Any, image: Any, *, max_megapixels: float = 250.0) -> ScoreInputs:
    """Load the pictures at the sizes that they are judged at. Raises `ImageError`."""
    picture = images.load(image, max_megapixels=max_megapixels).pixels
    height, width = picture.shape[2:]
    least_px = max(LEAST_PX, *map(ALEXNET.minimum_px, ALEXNET.style_layers))
    _require_side(image, "The picture", picture, least_px)
    long_side_px = max(height, width)
    whole = images.load(content, long_side_px=long_side_px, enlarge=True, max_megapixels=max_megapixels).pixels
    seen = images.load(style, long_side_px=long_side_px, max_megapixels=max_megapixels).pixels
    _require_side(style, "The style", seen, max(map(VGG16.minimum_px, VGG16.style_layers)))
    return ScoreInputs(resize(whole, height, width).clamp_(0, 1), seen, picture)


def load_judges() -> Judges:
    """The networks, from the cache or pulled. Raises `WeightsError`."""
    heads = load_heads()
    return Judges(Encoder(VGG16, load("vgg16")), Encoder(ALEXNET, load("alexnet")), heads)


def score_images(views: ScoreInputs, judges: Judges) -> Score:
    """Score pictures that were looked at."""
    content, style, image = views.content, views.style, views.image
    return Score(
        style=style_error(judges.vgg16, image, style),
        content=lpips(judges.alexnet, judges.heads, image, content, block=BLOCK),
        speckle=speckle(image, content, style),
        border=border(image, content),
        haze=haze(image, content, style),
        checkerboard=checkerboard(image),
    )


def style_error(encoder: Encoder, image: Tensor, style: Tensor) -> float:
    """Style loss of an image in relative units, as `objective` has it, averaged over the network's style layers."""
    layers = encoder.network.style_layers
    engine, gram = TiledEngine(encoder, block=BLOCK), STYLE_LOSSES["gram"]
    found, wanted = engine.moments(image, layers), engine.moments(style, layers)
    errors = []
    for layer in layers:
        kept = gram.kept([(1.0, wanted[layer][0])])
        errors.append(float(gram.distance(found[layer][0], kept)) / max(gram.energy(kept), LEAST_ENERGY))
    return sum(errors) / len(errors)


def _require_side(source: Any, role: str, pixels: Tensor, least_px: int) -> None:
    height, width = pixels.shape[2:]
    if min(height, width) < least_px:
        name = images.name_of(source) or role
        raise ImageError(
            f"{name} at {width}x{height} px is too small to be judged, which takes at least {least_px} px a side. "
            "Give a larger one."
        )
