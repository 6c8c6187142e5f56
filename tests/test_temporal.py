"""The temporal term and what follows from motion: gradients, flow, confidence, still parts and cuts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from builders.pixels import textured_scene
from numpy.typing import NDArray

from impasto.clips.cuts import is_cut
from impasto.clips.drift import Colors, find_colors
from impasto.clips.flow import find_confidence, find_flow, warp
from impasto.clips.frames import to_frame, to_tensor
from impasto.clips.guide import Shown, find_guide
from impasto.clips.still import StillParts
from impasto.core.evaluate import Evaluation
from impasto.core.objective import Losses
from impasto.core.temporal import Reference, TemporalTerm
from impasto.core.tensor_store import RamStore
from impasto.images.oklab import to_oklab

Frame = NDArray[np.uint8]


@pytest.fixture(scope="module")
def scene() -> Frame:
    """Return a large textured scene, of which frames show parts."""
    return textured_scene(200, 260)


def test_adds_value_and_gradient_of_its_formula() -> None:
    generator = torch.Generator().manual_seed(1)
    image, pixels = (torch.rand(1, 3, 9, 7, generator=generator) for _ in range(2))
    confidence = torch.rand(1, 1, 9, 7, generator=generator)
    zero = torch.zeros(())

    def evaluate(image: torch.Tensor) -> Evaluation:
        return Evaluation(Losses(zero + 5, zero, zero, zero, zero, {}, {}), torch.ones_like(image))

    term = TemporalTerm(Reference(pixels, confidence, 3.0), RamStore())
    found = term.wrap(evaluate)(image)
    leaf = image.clone().requires_grad_()
    total = 5 + 3 * (confidence * (leaf - pixels).square()).sum() / image.numel()
    total.backward()  # type: ignore[no-untyped-call]
    expected = total.detach()
    assert leaf.grad is not None
    torch.testing.assert_close(found.losses.total, expected)
    torch.testing.assert_close(found.gradient, 1 + leaf.grad)
    assert found.losses.as_floats()["temporal"] == pytest.approx((float(expected) - 5) / 3, rel=1e-5)
    assert term.add(evaluate(image).losses, image).as_floats() == pytest.approx(found.losses.as_floats())


def test_pictures_report_no_temporal_loss() -> None:
    zero = torch.zeros(())
    assert "temporal" not in Losses(zero, zero, zero, zero, zero, {}, {}).copy().as_floats()


@pytest.mark.parametrize(("down", "right"), [(0, 0), (1, 3), (-4, 2)])
def test_flow_finds_a_shift(scene: Frame, down: int, right: int) -> None:
    before, now = scene[20:148, 20:180], scene[20 + down : 148 + down, 20 + right : 180 + right]
    flow = find_flow(now, before)[16:-16, 16:-16]
    assert np.median(np.hypot(flow[..., 0] - right, flow[..., 1] - down)) < 0.2


def test_flow_of_a_frame_smaller_than_its_patches(scene: Frame) -> None:
    flow = find_flow(scene[:20, :30], scene[:20, :30])
    assert flow.shape == (20, 30, 2)
    assert np.abs(flow).max() < 0.1


def test_warp_without_motion_changes_nothing(scene: Frame) -> None:
    assert (warp(scene, np.zeros((*scene.shape[:2], 2), np.float32)) == scene).all()


def test_warp_follows_the_flow(scene: Frame) -> None:
    flow = np.zeros((128, 160, 2), np.float32)
    flow[..., 0], flow[..., 1] = 3, 1
    moved = warp(scene[20:148, 20:180], flow)
    assert (moved[8:-8, 8:-8] == scene[21:149, 23:183][8:-8, 8:-8]).all()


def test_uncovered_parts_and_parts_from_outside_are_not_trusted(scene: Frame) -> None:
    background, square = scene[40:168, 40:200], scene[:48, 200:248]
    before, now = background.copy(), background.copy()
    before[40:88, 40:88], now[40:88, 48:96] = square, square
    confidence = find_confidence(find_flow(now, before), find_flow(before, now))
    assert confidence[44:84, 41:46].mean() < 0.3  # uncovered by the square, which moved 8 px to the right
    assert confidence[50:78, 58:86].mean() > 0.9
    assert confidence[100:, :].mean() > 0.95
    left, right = scene[:128, :160], scene[:128, 12:172]
    confidence = find_confidence(find_flow(right, left), find_flow(left, right))
    assert confidence[:, -10:].mean() < 0.2
    assert confidence[16:-16, 16:-24].mean() > 0.9


def test_frames_further_back_show_what_was_hidden(scene: Frame) -> None:
    background, square = scene[40:168, 40:200], scene[:48, 200:248]
    hidden = background.copy()
    hidden[40:88, 40:88] = square
    picture = np.full_like(background, 10)
    nearest, earlier = Shown(hidden, np.full_like(background, 200)), Shown(background, picture)
    to_before = find_flow(background, hidden)
    short = find_guide(background, [nearest], to_before, None)
    long = find_guide(background, [nearest, earlier], to_before, None)
    uncovered = short.confidence == 0
    assert uncovered[48:80, 48:80].mean() > 0.5
    assert (long.start[uncovered & (long.confidence > 0)] == 10).all()
    assert long.confidence[48:80, 48:80].mean() > 0.9
    assert (long.start[short.confidence > 0] == 200).all()


def noisy(frame: Frame, seed: int, sigma: float = 3.0) -> Frame:
    noise = np.random.default_rng(seed).normal(0, sigma, frame.shape)
    return np.asarray(np.clip(frame + noise, 0, 255), np.uint8)


def test_noise_is_not_motion(scene: Frame) -> None:
    still, before = StillParts(), noisy(scene, 0)
    for seed in range(1, 6):
        frame = noisy(scene, seed)
        assert still.find(frame, before, find_flow(frame, before)).mean() > 0.98
        before = frame


def test_still_parts_end_where_something_moves(scene: Frame) -> None:
    background, square = scene[40:168, 40:200], scene[:32, 200:232]
    before, now = background.copy(), background.copy()
    before[50:82, 40:72], now[50:82, 44:76] = square, square
    found = StillParts().find(now, before, find_flow(now, before))
    assert found[54:78, 44:72].max() == 0
    assert found[:, 130:].min() == 1


def test_slow_changes_add_up(scene: Frame) -> None:
    still, before, shares = StillParts(), scene, []
    for step in range(1, 9):
        frame = np.asarray(np.minimum(scene.astype(np.int32) + step, 255), np.uint8)
        shares.append(still.find(frame, before, np.zeros((*scene.shape[:2], 2), np.float32)).mean())
        before = frame
    assert shares[0] > 0.95
    assert min(shares) < 0.1


def test_a_pan_has_no_still_parts(scene: Frame) -> None:
    before, now = scene[:128, :160], scene[:128, 4:164]
    assert StillParts().find(now, before, find_flow(now, before)).mean() < 0.02


def test_finds_cuts_and_only_them(scene: Frame) -> None:
    other = np.ascontiguousarray(255 - scene[::-1])
    clip = [scene[:128, x : x + 160] for x in (0, 6, 12, 18)] + [other[y : y + 128, :160] for y in (0, 8, 16)]
    assert [number for number in range(1, len(clip)) if is_cut(clip[number], clip[number - 1])] == [4]
    assert not is_cut(scene, noisy(scene, 1, 8.0))
    assert not is_cut(np.zeros_like(scene), np.zeros_like(scene))


def test_frames_round_trip(scene: Frame) -> None:
    assert (to_frame(to_tensor(scene)) == scene).all()


def colors_of(picture: Frame, seen: NDArray[np.float32]) -> torch.Tensor:
    """Return mean and deviation of each Oklab channel where both frames show the same, (2, 3)."""
    colors = to_oklab(to_tensor(picture))[0][:, torch.from_numpy(seen) > 0]
    return torch.stack([colors.mean(dim=1), colors.std(dim=1)])


def find_shared_colors(frame: Frame, before: Frame, picture_before: Frame) -> Colors:
    to_before = find_flow(frame, before)
    seen = find_confidence(to_before, find_flow(before, frame))
    return find_colors(frame, before, picture_before, to_before, seen)


def test_colors_stay_while_the_scene_moves(scene: Frame) -> None:
    painting = scene[..., [1, 2, 0]] // 2 + 60
    before, frame = scene[20:148, 20:180], scene[22:150, 25:185]
    found = find_shared_colors(frame, before, painting[20:148, 20:180])
    picture = painting[22:150, 25:185]
    drifted = np.asarray((picture * np.array([1.05, 0.97, 0.95]) + [3, 0, 4]).clip(0, 255), np.uint8)
    distance = (colors_of(found.give(drifted), found.seen) - colors_of(picture, found.seen)).abs().max()
    assert distance < 0.002
    assert (colors_of(drifted, found.seen) - colors_of(picture, found.seen)).abs().max() > 0.01


def test_colors_follow_the_light_of_the_scene(scene: Frame) -> None:
    before, picture = scene[20:148, 20:180], scene[20:148, 20:180][::-1].copy()
    darker = np.asarray(np.rint(before * 0.8), np.uint8)
    found = find_shared_colors(darker, before, picture)
    (mean, deviation), (mean_before, deviation_before) = (
        colors_of(image, found.seen) for image in (found.give(picture), picture)
    )
    change = colors_of(darker, found.seen)[0, 0] - colors_of(before, found.seen)[0, 0]
    assert change < -0.05
    assert float(mean[0] - mean_before[0]) == pytest.approx(float(change), abs=0.005)
    assert deviation[0] < deviation_before[0]


def test_protected_parts_and_frames_that_share_little_keep_their_colors(scene: Frame) -> None:
    before, frame = scene[20:148, 20:180], scene[20:148, 20:180]
    painting, drifted = frame // 2 + 60, frame // 2 + 80
    found = find_shared_colors(frame, before, painting)
    assert (found.give(drifted) != drifted).any()
    drifted[:, :40] = frame[:, :40]
    assert (found.give(drifted)[:, :40] == frame[:, :40]).all()
    other = replace(found, seen=np.zeros_like(found.seen))
    assert (other.give(drifted) == drifted).all()
