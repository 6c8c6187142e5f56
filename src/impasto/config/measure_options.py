"""Options of how content and style are measured: the network, its layers, and the losses."""

from __future__ import annotations

from typing import Literal

from impasto.config.groups import MAIN, MEASURE
from impasto.config.model import Options, option
from impasto.config.networks import DEEP_WEIGHT, NetworkName, describe_by_network
from impasto.config.style_losses import StyleLossName, describe_dense_losses, describe_style_losses
from impasto.config.types import Auto, Layers, format_layers

__all__ = ["MeasureOptions"]

_CONTENT_LAYERS = describe_by_network(
    lambda network: format_layers(network.default_content_layers("centered", "squared"))
)
_STRUCTURE_LAYERS = describe_by_network(lambda network: ",".join(network.structure_layers))
_PUBLISHED_LAYERS = describe_by_network(lambda network: ",".join(network.content_layers))
_STYLE_LAYERS = describe_by_network(lambda network: f"{network.style_layers[0]} to {network.style_layers[-1]}")
_DENSE_LOSSES = describe_dense_losses()


class MeasureOptions(Options):
    """Options of how content and style are measured."""

    network: NetworkName = option(
        "vgg19", group=MAIN, description="Pretrained network that measures content and style.", example="vgg16"
    )
    content_layers: Auto[Layers] = option(
        None,
        group=MEASURE,
        description=f"Layers to compare content at: NAME or NAME:WEIGHT, comma-separated. auto: {_CONTENT_LAYERS} with "
        f"--style-loss {_DENSE_LOSSES}; {_PUBLISHED_LAYERS} with others; {_STRUCTURE_LAYERS} with --content-loss "
        "self-similarity.",
        example="relu1_2",
    )
    style_layers: Auto[Layers] = option(
        None,
        group=MEASURE,
        description=f"Layers to compare style at: NAME or NAME:WEIGHT, comma-separated. auto: {_STYLE_LAYERS}; every "
        f"ReLU with --style-loss {_DENSE_LOSSES}, the deep ones at a weight of {DEEP_WEIGHT:g}; the first of each "
        "block with others.",
        example="relu1_2",
    )
    style_loss: StyleLossName = option(
        "centered",
        group=MEASURE,
        description=f"Statistic that styles are compared by. {describe_style_losses()}",
        example="mean-std",
    )
    content_loss: Literal["squared", "scaled", "self-similarity"] = option(
        "squared",
        group=MEASURE,
        description="Distance of features for content. squared: mean squared error. scaled: squared over absolute "
        "error, which pulls as hard near the content as far from it. self-similarity: distances between the places of "
        "one picture, which leaves its colors and textures to the style.",
        example="scaled",
    )
    content_weight: float = option(
        1.0, group=MEASURE, ge=0, description="Weight of content. 0 paints texture alone.", example=5
    )
    content_calm: float = option(
        0.0,
        group=MEASURE,
        label="Content in calm areas",
        ge=0,
        description="Further weight of content where the photo is calm, such as a plain sky or still water: faces, "
        "stars and other things of the painting stay out of there. 1 is a good start.",
        example=2,
    )
    units: Literal["relative", "absolute"] = option(
        "relative",
        group=MEASURE,
        description="Units of the losses. relative: each loss is divided by the energy of its target, so that alpha "
        "means the same at every size and for every network. absolute: the published losses.",
        example="absolute",
    )
    pooling: Literal["max", "avg", "avg-rescaled"] = option(
        "max",
        group=MEASURE,
        description="Pooling in the network. avg-rescaled: averages times two, closer to what the network was trained "
        "on.",
        example="avg",
    )
    padding: Literal["zero", "replicate", "reflect"] = option(
        "replicate",
        group=MEASURE,
        description="Padding around the picture: zeros (as published, paints a frame), the edge pixels, or a mirror "
        "image.",
        example="zero",
    )
