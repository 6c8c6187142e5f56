"""Clips: frames follow each other, nothing is lost, and the same clip comes out again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders.pixels import textured_scene
from builders.slow_steps import NAME, set_slow
from builders.waiting import wait_until
from numpy.typing import NDArray
from PIL import Image

import impasto
from impasto.cli import main
from impasto.clips.api import frame_folder_of, prepare_clip, video, video_steps
from impasto.clips.clip import Clip, open_clip
from impasto.clips.flow import find_confidence, find_flow, warp
from impasto.clips.frames import to_frame
from impasto.clips.timing import select
from impasto.clips.writing import ClipWriter
from impasto.config.video import Keyframe, VideoOptions, options_at
from impasto.errors import ConfigError, FrameError, ImpastoError, OutputError, RecipeError, VideoError

Frame = NDArray[np.uint8]

QUICK: dict[str, Any] = {"size": 64, "iterations": 4, "frame_iterations": 3, "precision": "float32"}
QUICK |= {"content_layers": "relu2_1", "style_layers": "relu1_1,relu2_1"}  # deeper ones take five times as long
FLAGS = [part for name, value in QUICK.items() for part in (f"--{name.replace('_', '-')}", str(value))]


def write_clip(path: Path, frames: Sequence[Frame], rate: int = 10) -> Path:
    """Write frames as a clip with exact pixels."""
    with ClipWriter(path, frames[0].shape[:2], Fraction(rate), lossless=True) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def read_frames(path: Path) -> list[Frame]:
    return [to_frame(pixels) for pixels in open_clip(path).frames()]


@pytest.fixture(scope="module")
def scene() -> Frame:
    return textured_scene(64, 140)


@pytest.fixture
def clip(tmp_path: Path, scene: Frame) -> Path:
    """Write a clip of six frames: three of a pan, twice the same, and another scene."""
    other = np.ascontiguousarray(255 - scene[::-1])
    frames = [scene[:48, x : x + 64] for x in (0, 2, 4, 4)] + [other[:48, x : x + 64] for x in (60, 62)]
    return write_clip(tmp_path / "clip.mkv", frames)


def test_keyframes_are_linear_between_their_marks() -> None:
    options = VideoOptions(keyframes="alpha=2@0s; 10@4s; style-weights=1,0@1; 0,1@0:03")
    assert options.keyframes[:2] == (Keyframe("alpha", (2.0,), 0.0), Keyframe("alpha", (10.0,), 4.0))
    assert options_at(options.keyframes, 1) == {"alpha": 4.0, "style_weights": (1.0, 0.0)}
    assert options_at(options.keyframes, Fraction(5, 2)) == {"alpha": 7.0, "style_weights": (0.25, 0.75)}
    assert options_at(options.keyframes, 9) == {"alpha": 10.0, "style_weights": (0.0, 1.0)}
    third = VideoOptions(keyframes=[("alpha", [1 / 3], 2 / 3)])
    for each in (options, third):
        assert VideoOptions(**each.model_dump(mode="json")) == each


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"keyframes": "alpha=2"}, "OPTION=VALUE@TIME"),
        ({"keyframes": "size=2@0s"}, "cannot change `size`"),
        ({"keyframes": "alpha=x@0s"}, "keyframes"),
        ({"start": 3, "end": 2}, "not after start"),
        ({"start": "soon"}, "1:30"),
        ({"every": 0}, "every"),
        ({"consistency": "medium"}, "consistency"),
    ],
)
def test_refuses_options_on_one_line(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refusal:
        VideoOptions(**given)
    assert "\n" not in str(refusal.value)


def test_selects_frames_by_time_and_rate(tmp_path: Path, scene: Frame) -> None:
    clip = open_clip(write_clip(tmp_path / "clip.mkv", [scene[:32, x : x + 32] for x in range(10)]))

    def sources(**options: Any) -> list[int]:
        return [frame.source for frame in select(clip, VideoOptions(**options)).frames]

    assert sources() == list(range(10))
    assert sources(start=0.2, end=0.5) == [2, 3, 4]
    assert sources(every=4) == [0, 4, 8]
    assert sources(fps_out=5) == [0, 2, 4, 6, 8]
    assert sources(fps_out=20, end=0.2) == [0, 0, 1, 1]
    chosen = select(clip, VideoOptions(start=0.25, every=3))
    assert [float(frame.time) for frame in chosen.frames] == [0, 0.3, 0.6]
    assert chosen.end - chosen.start == Fraction(8, 10)
    with pytest.raises(VideoError, match="after the end"):
        select(clip, VideoOptions(start=4))


@pytest.mark.weights
def test_paints_shots_keeps_still_frames_and_the_length(clip: Path, painting: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mkv"
    done = list(video_steps(clip, painting, output, lossless=True, **QUICK))
    assert [frame.shot for frame in done] == [1, 1, 1, 1, 2, 2]
    assert [frame.iterations for frame in done] == [4, 3, 3, 0, 4, 3]
    written = open_clip(output)
    assert written.times == open_clip(clip).times
    assert written.duration == open_clip(clip).duration
    frames = read_frames(output)
    assert all((a == b.picture).all() for a, b in zip(frames, done, strict=True))
    assert (frames[3] == frames[2]).all()
    assert (frames[2] != frames[1]).any()
    assert not frame_folder_of(output).exists()


@pytest.mark.weights
def test_first_frame_is_the_picture_that_stylize_paints(clip: Path, painting: Path, tmp_path: Path) -> None:
    first = next(iter(video_steps(clip, painting, tmp_path / "out.mkv", **QUICK)))
    options = {name: value for name, value in QUICK.items() if name != "frame_iterations"}
    alone = impasto.stylize(read_frames(clip)[0], painting, **options)
    assert (first.picture == alone.to_numpy()).all()


@pytest.mark.weights
def test_resumes_to_the_same_frames(clip: Path, painting: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.mkv", tmp_path / "parts.mkv"
    options = QUICK | {"lossless": True, "consistency": "long"}
    video(clip, painting, whole, **options)
    for count in (1, 3):
        steps = video_steps(clip, painting, parts, resume=True, **options)
        for _ in range(count):
            next(steps)
        steps.close()
    assert len(list(frame_folder_of(parts).glob("*.png"))) == 3
    with pytest.raises(OutputError, match="--resume"):
        video(clip, painting, parts, **options)
    with pytest.raises(RecipeError, match="another config"):
        video(clip, painting, parts, resume=True, **options | {"alpha": 3})
    video(clip, painting, parts, resume=True, **options)
    assert all((a == b).all() for a, b in zip(read_frames(whole), read_frames(parts), strict=True))


@pytest.mark.weights
def test_an_interruption_before_the_first_frame_leaves_nothing_in_the_way(
    clip: Path, painting: Path, tmp_path: Path
) -> None:
    prepare_clip(clip, painting, tmp_path / "out.mkv", **QUICK)
    other = prepare_clip(clip, painting, tmp_path / "out.mkv", **QUICK, alpha=2)
    assert other.folder.recorded("config")["alpha"] == 2


@pytest.mark.weights
def test_a_refusal_before_the_first_frame_leaves_no_folder(clip: Path, painting: Path, tmp_path: Path) -> None:
    mask, output = tmp_path / "mask.png", tmp_path / "out.mkv"
    Image.fromarray(np.full((48, 20), 255, np.uint8)).save(mask)
    with pytest.raises(ImpastoError, match="aspect ratio"):
        video(clip, painting, output, protect=mask, **QUICK)
    assert not frame_folder_of(output).exists()
    arguments = ["video", str(clip), str(painting), "-o", str(output), "--protect", str(mask), "--quiet", *FLAGS]
    assert main(arguments) == 2
    assert not frame_folder_of(output).exists()


@pytest.mark.weights
def test_reproduces_the_same_frames(
    clip: Path, painting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["video", str(clip), str(painting), "-o", "out.mkv", "--lossless", "--alpha", "7", "--quiet", *FLAGS]
    assert main(arguments) == 0
    assert main(["reproduce", "out.mkv", "--style", str(painting), "-o", "again.mkv", "--quiet"]) == 0
    assert all(
        (a == b).all() for a, b in zip(read_frames(Path("out.mkv")), read_frames(Path("again.mkv")), strict=True)
    )
    clip.write_bytes(write_clip(tmp_path / "other.mkv", [textured_scene(48, 64, seed) for seed in (1, 2)]).read_bytes())
    assert main(["reproduce", "out.mkv", "--style", str(painting), "-o", "third.mkv", "--quiet"]) == 2
    assert not Path("third.mkv").exists()
    assert not frame_folder_of(Path("third.mkv")).exists()


def write_masks(folder: Path, count: int) -> Path:
    """Write masks whose white part grows by 16 px with each frame."""
    folder.mkdir()
    for number in range(count):
        mask = np.zeros((48, 64), np.uint8)
        mask[:, : 16 * (number + 1)] = 255
        Image.fromarray(mask).save(folder / f"{number}.png")
    return folder


@pytest.mark.weights
def test_reproduces_masks(
    tmp_path: Path, scene: Frame, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_clip(Path("clip.mkv"), [scene[:48, :64]] * 2)
    Image.fromarray(scene[16:, 76:]).save("painting.png")
    write_masks(Path("masks"), 2)
    Image.fromarray(255 - np.asarray(Image.open("masks/1.png"))).save("right.png")
    masks = ["--protect", "masks", "--content-mask", "right.png", "--style-mask", "right.png"]
    arguments = ["clip.mkv", "painting.png", *masks, "-o", "out.mkv", "--lossless", "--quiet", *FLAGS]
    assert main(["video", *arguments]) == 0
    again = ["reproduce", "out.mkv", "--quiet", "-o", "again.mkv"]
    assert main(again) == 0
    np.testing.assert_array_equal(read_frames(Path("again.mkv")), read_frames(Path("out.mkv")))

    Path("again.mkv").unlink()
    Path("masks").rename("moved")
    assert main(again) == 2
    assert "protected area masks is missing" in " ".join(capsys.readouterr().err.split())
    Path("moved/1.png").write_bytes(Path("right.png").read_bytes())
    assert main([*again, "--protect", "moved"]) == 2
    assert "moved is not the protected area of this recipe" in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.glob("again.mkv*"))


@pytest.mark.weights
@pytest.mark.usefixtures("slow_loss")
@pytest.mark.parametrize("options", [{"lossless": True}, {"codec": "hevc"}, {"codec": "av1"}], ids=str)
def test_a_killed_command_loses_no_frame(clip: Path, painting: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    output = tmp_path / "out.mkv"
    flags = ["--lossless"] if "lossless" in options else ["--codec", options["codec"]]
    arguments = ["video", str(clip), str(painting), "-o", str(output), *flags, *FLAGS, "--style-loss", NAME]
    video(clip, painting, tmp_path / "whole.mkv", **options, **QUICK, style_loss=NAME)
    set_slow(True)
    process = subprocess.Popen([sys.executable, "-m", "impasto", *arguments], stderr=subprocess.DEVNULL)
    wait_until(lambda: (frame_folder_of(output) / "000002.png").exists() or process.poll() is not None)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    set_slow(False)
    # A new process, because this one may have parsed commands before it knew the slow style loss.
    resumed = subprocess.run([sys.executable, "-m", "impasto", *arguments, "--resume", "--quiet"], check=False)
    assert resumed.returncode == 0
    assert all((a == b).all() for a, b in zip(read_frames(output), read_frames(tmp_path / "whole.mkv"), strict=True))


@pytest.mark.weights
@pytest.mark.usefixtures("slow_loss")
def test_an_interrupted_command_writes_the_frames_so_far(tmp_path: Path, scene: Frame, painting: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", [scene[:48, 2 * x : 2 * x + 64] for x in range(6)])
    output = tmp_path / "out.mkv"
    arguments = ["video", str(clip), str(painting), "-o", str(output), *FLAGS, "--style-loss", NAME]
    set_slow(True)
    process = subprocess.Popen([sys.executable, "-m", "impasto", *arguments], stderr=subprocess.PIPE, text=True)
    wait_until(lambda: (frame_folder_of(output) / "000002.png").exists() or process.poll() is not None)
    os.kill(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "--resume continues" in stderr
    assert 2 <= open_clip(output).frame_count < 6


@pytest.mark.weights
def test_a_damaged_frame_costs_only_what_follows(tmp_path: Path, scene: Frame, painting: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in range(4):
        Image.fromarray(scene[:48, number : number + 64]).save(frames / f"{number}.png")
    (frames / "2.png").write_bytes((frames / "2.png").read_bytes()[:300])
    output = tmp_path / "out.mkv"
    with pytest.raises(FrameError):
        video(frames, painting, output, **QUICK)
    assert main(["video", str(frames), str(painting), "-o", str(output), "--resume", "--quiet", *FLAGS]) == 1
    assert open_clip(output).frame_count == 2


@pytest.mark.weights
def test_masks_may_move(tmp_path: Path, scene: Frame, painting: Path) -> None:
    frames = [scene[:48, :64]] * 3
    masks = write_masks(tmp_path / "masks", 3)
    clip = write_clip(tmp_path / "clip.mkv", frames)
    painted = [done.picture for done in video_steps(clip, painting, tmp_path / "out.mkv", protect=masks, **QUICK)]
    for number, (frame, picture) in enumerate(zip(frames, painted, strict=True)):
        edge = 16 * (number + 1)
        assert (picture[:, :edge] == frame[:, :edge]).all()
        assert (picture[:, edge:] != frame[:, edge:]).mean() > 0.5
    (masks / "2.png").unlink()
    with pytest.raises(VideoError, match="masks for 2 frames, and 3 are needed"):
        prepare_clip(clip, painting, tmp_path / "out2.mkv", protect=masks, **QUICK)


@pytest.mark.weights
def test_a_photo_changes_from_one_style_to_another(photo: Path, painting: Path, tmp_path: Path) -> None:
    output, styles = tmp_path / "out.gif", [painting, photo]
    marks = "style-weights=1,0@0;0,1@0.4"
    done = list(video_steps(photo, styles, output, seconds=0.6, fps_out=5, keyframes=marks, **QUICK))
    assert len(done) == 3
    assert (done[0].picture != done[2].picture).mean() > 0.5
    assert open_clip(output).frame_count == 3


@pytest.mark.weights
def test_a_loop_leads_into_its_beginning(tmp_path: Path, scene: Frame, painting: Path) -> None:
    starts = [0, 2, 4, 6, 4, 2]
    clip = write_clip(tmp_path / "clip.mkv", [scene[:48, x : x + 64] for x in starts])

    def jump(**options: Any) -> float:
        output = tmp_path / f"{len(options)}.mkv"
        video(clip, painting, output, lossless=True, still=False, **QUICK, **options)
        frames = read_frames(output)
        source = read_frames(clip)
        return warping_error(source[0], source[-1], frames[0], frames[-1])

    assert jump(loop=True) < 0.7 * jump()


def warping_error(frame: Frame, before: Frame, picture: Frame, picture_before: Frame) -> float:
    """Return the mean square of what changed between two pictures besides the motion, in [0, 1]."""
    flow = find_flow(frame, before)
    confidence = find_confidence(flow, find_flow(before, frame))
    change = (picture.astype(np.float32) - warp(picture_before, flow, smooth=False)) / 255
    return float((np.square(change).mean(axis=-1) * confidence).sum() / confidence.sum())


@pytest.mark.weights
def test_frames_follow_each_other(tmp_path: Path, scene: Frame, painting: Path) -> None:
    """Check the claim of the page: far less flicker than frame by frame, at the same style loss."""
    clip = write_clip(tmp_path / "clip.mkv", [scene[:64, 3 * x : 3 * x + 96] for x in range(3)])
    options: dict[str, Any] = {"size": 96, "precision": "float32", "effort": "draft"}
    source = read_frames(clip)
    chained = list(video_steps(clip, painting, tmp_path / "out.mkv", **options))
    alone = [impasto.stylize(frame, painting, **options) for frame in source]

    def flicker(pictures: list[Frame]) -> float:
        return float(np.mean([warping_error(source[n], source[n - 1], pictures[n], pictures[n - 1]) for n in (1, 2)]))

    assert flicker([done.picture for done in chained]) < flicker([result.to_numpy() for result in alone]) / 5
    assert chained[-1].losses["style"] < 1.15 * alone[-1].losses["style"]


@pytest.mark.weights
def test_preview_and_json(clip: Path, painting: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out.mp4"
    assert main(["video", str(clip), str(painting), "-o", str(output), "--preview", "--json", "--quiet", *FLAGS]) == 0
    report = json.loads(capsys.readouterr().out)
    with Image.open(report["output"]) as sheet:
        assert sheet.width > 4 * 64
        assert sheet.height > 2 * 48
    assert not output.exists()
    assert not frame_folder_of(output).exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.mp4", "STYLE"], "no such file"),
        (["STYLE", "STYLE"], "--seconds 8 makes a clip of a photo, and impasto stylize paints a picture."),
        (["PHOTO", "STYLE"], "--seconds 8 makes a clip of a photo"),
        (["CLIP", "STYLE", "--seconds", "8"], "is a clip already"),
        (["nowhere.mp4", "STYLE", "--seconds", "8"], "no such file"),
        (["CLIP", "STYLE", "--start", "99"], "after the end"),
        (["CLIP", "STYLE", "--start", "2", "--end", "1"], "--end 1 s is not after --start 2 s"),
        (["CLIP", "STYLE", "-o", "CLIP"], "input"),
        (["CLIP", "STYLE", "-o", "out.wmv"], "unknown clip format"),
        (["CLIP", "STYLE", "-o", "out.webm", "--codec", "hevc"], "cannot hold hevc"),
        (["CLIP", "STYLE", "--codec", "av1", "--lossless"], "--codec av1 is not lossless here"),
        (["CLIP", "STYLE", "--keyframes", "alpha=1"], "OPTION=VALUE@TIME"),
        (["CLIP", "STYLE", "--keyframes", "style-weights=1,2@0;1@1"], "--style-weights"),
        (["CLIP", "STYLE", "--keyframes", "style-weights=1,0@0;0,1@1"], "--style-weights 2 values for 1 style."),
        (["CLIP", "STYLE", "--keyframes", "alpha=1@0;-1@1"], "alpha"),
    ],
)
def test_bad_input_is_one_line_and_overwrites_nothing(
    arguments: list[str], message: str, clip: Path, photo: Path, painting: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    before = clip.read_bytes()
    names = {
        "CLIP": str(clip),
        "PHOTO": str(photo),
        "STYLE": str(painting),
        **{name: str(tmp_path / name) for name in ("out.wmv", "out.webm")},
    }
    given = [names.get(argument, argument) for argument in arguments]
    if "-o" not in given:
        given += ["-o", str(tmp_path / "out.mkv")]
    assert main(["video", *given, "--quiet", *FLAGS]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert clip.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mkv"]


def test_says_which_extra_is_missing(clip: Path, painting: Path, tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['cv2'] = None\n"
        f"from impasto.cli import main; sys.exit(main(['video', {str(clip)!r}, {str(painting)!r}, '--quiet']))"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert process.returncode == 2
    assert process.stderr.count("\n") == 1
    assert "pip install 'impasto[video]'" in process.stderr


def test_steps_and_errors_are_public() -> None:
    assert issubclass(VideoError, ImpastoError)
    assert impasto.video_steps is video_steps
    assert impasto.video is video
    assert Clip.__module__ == "impasto.clips.clip"
