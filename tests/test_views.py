"""Views of a style, which are measured together: mirrored, or turned by quarters."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from builders.networks import TINY, random_weights
from builders.objectives import tiny_config
from builders.pixels import random_image
from builders.runs import build_run, picture
from torch import Tensor

from impasto.config import Config
from impasto.config.types import Augmentation
from impasto.core import matching
from impasto.core.cells import Descriptions
from impasto.core.encoder import Encoder
from impasto.core.evaluate import AutogradEngine
from impasto.core.masks import Region, StyleUse
from impasto.core.matching import Area, find_matches
from impasto.core.targets import build_objective
from impasto.core.views import view_regions, view_styles
from impasto.run import drive, prepare_run

ENCODER = Encoder(TINY, random_weights(TINY))


def style_targets(style: Tensor, augmentation: Augmentation) -> list[Tensor]:
    config = tiny_config(style_augment=augmentation)
    styles = view_styles([(1.0, style)], augmentation)
    objective = build_objective(AutogradEngine(ENCODER), picture(1), styles, config)
    return [target.regions[0].value for target in objective.style]


def test_turned_styles_have_the_same_targets() -> None:
    style = random_image(1, 24, 32)
    turned = torch.rot90(style, 1, (2, 3))
    for one, other in zip(style_targets(style, "rotate"), style_targets(turned, "rotate"), strict=True):
        torch.testing.assert_close(one, other)
    plain = zip(style_targets(style, "none"), style_targets(turned, "none"), strict=True)
    assert all((one - other).abs().max() > 1e-3 * one.abs().max() for one, other in plain)


def test_mirrored_styles_have_the_same_targets() -> None:
    style = random_image(1, 24, 32)
    for one, other in zip(style_targets(style, "mirror"), style_targets(style.flip(3), "mirror"), strict=True):
        torch.testing.assert_close(one, other)


def test_views_have_the_share_of_their_style() -> None:
    first, second = random_image(1, 8, 10), random_image(2, 8, 10)
    shares, images = zip(*view_styles([(0.8, first), (0.2, second)], "mirror"), strict=True)
    assert shares == (0.4, 0.4, 0.1, 0.1)
    assert torch.equal(images[1], first.flip(3))
    assert torch.equal(images[2], second)


def test_masks_are_turned_with_their_style() -> None:
    mask = random_image(3, 8, 10)[:, :1]
    region = Region(mask, 1.0, (StyleUse(1, 0.5, mask), StyleUse(0, 0.5, None)))
    (turned,) = view_regions([region], "rotate")
    assert [use.style for use in turned.uses] == [4, 5, 6, 7, 0, 1, 2, 3]
    assert sum(use.share for use in turned.uses) == 1
    masks = [use.mask for use in turned.uses]
    assert masks[4:] == [None] * 4
    assert masks[1] is not None
    assert torch.equal(masks[1], torch.rot90(mask, 1, (2, 3)))
    assert torch.equal(turned.mask, mask)


def test_neighbors_may_all_come_from_one_view(monkeypatch: pytest.MonkeyPatch) -> None:
    """Views of one painting do not share the cells among them, as paintings do."""
    monkeypatch.setattr(matching, "COHERENCE_ROUNDS", 0)
    generator = torch.Generator().manual_seed(0)
    vectors = [torch.randn(9 * 12, 8, generator=generator) for _ in range(4)]
    views = [Descriptions(grid, torch.zeros(len(grid)), (9, 12)) for grid in vectors]
    area = [Area(None, tuple((number, 0.25, None) for number in range(4)))]
    painting, cell = find_matches(views[2], views, area, views=4)
    assert (painting == 2).all()
    assert torch.equal(cell.flatten(), torch.arange(9 * 12, dtype=torch.int32))
    painting, _ = find_matches(views[2], views, area)
    assert (painting == 2).float().mean() < 0.5


@pytest.mark.parametrize("style_loss", ["centered", "neighbor"])
@pytest.mark.parametrize("regions", [{}, {"content_masks": (torch.ones(1, 1, 40, 56).tril(),)}], ids=["whole", "mask"])
def test_views_paint_another_picture(style_loss: str, regions: dict[str, Any]) -> None:
    config = tiny_config(style_loss=style_loss, iterations=2, scales=1)
    pictures = [
        drive(build_run(ENCODER, config.model_copy(update={"style_augment": name}), **regions)).image
        for name in ("none", "mirror", "rotate")
    ]
    assert all(torch.isfinite(image).all() for image in pictures)
    assert not torch.equal(pictures[0], pictures[1])
    assert not torch.equal(pictures[1], pictures[2])


def test_memory_counts_all_views() -> None:
    plain, turned = (
        prepare_run("sample:cat", "sample:swirl", Config(style_loss="neighbor", style_augment=name)).workload
        for name in ("none", "rotate")
    )
    assert len(turned.styles) == 4 * len(plain.styles)
