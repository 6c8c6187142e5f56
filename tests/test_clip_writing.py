"""Writing clips, and reading back what was written."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from builders.clips import RATE, numbered_frame, read_number, write_clip
from builders.pages import WatchedPage
from builders.pixels import one_color, random_image
from torch import Tensor

from impasto.clips import ClipWriter, ColorTags, open_clip, read_clip_metadata, require_clip_output
from impasto.errors import ConfigError, OutputError

FRAMES = [numbered_frame(number) for number in range(12)]
VIDEOS = [".mp4", ".mov", ".mkv", ".webm"]
SUFFIXES = [*VIDEOS, ".gif", ".webp", "/"]
NOTE = {"recipe": '{"alpha": 8, "name": "<é & \\"x\\">"}', "version": "1"}


def write(path: Path | str, frames: Any = FRAMES, size: tuple[int, int] = (48, 64), **options: Any) -> Path:
    with ClipWriter(path, size, RATE, **options) as writer:
        for number, frame in enumerate(frames):
            writer.write(frame, number / RATE)
    return Path(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_frames_times_and_metadata_are_read_back(tmp_path: Path, suffix: str) -> None:
    path = write(f"{tmp_path}/out{suffix}", metadata=NOTE)
    clip = open_clip(path)
    assert (clip.frame_count, clip.size, clip.rate) == (12, (48, 64), RATE)
    assert clip.times == tuple(Fraction(number, 25) for number in range(12))
    assert clip.duration == Fraction(12, 25)
    assert [read_number(frame) for frame in clip.frames()] == list(range(12))
    assert read_clip_metadata(path) == NOTE
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("full", [False, True], ids=["tv", "pc"])
@pytest.mark.parametrize("matrix", [1, 5, 6, 9])
@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_colors_survive_with_the_tags_of_the_source(tmp_path: Path, suffix: str, matrix: int, full: bool) -> None:
    tags = ColorTags(1, 1, matrix, full)
    for color in ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.8, 0.5, 0.1), (1.0, 1.0, 1.0)):
        frame = one_color(color, 48, 64)
        clip = open_clip(write(tmp_path / f"a{suffix}", [frame, frame], colors=tags, crf=1))
        assert clip.colors == tags
        assert float((clip.frame(1) - frame).abs().max()) * 255 < 2
        with av.open(str(clip.path)) as container:  # FFmpeg's own conversion agrees
            pixels = next(container.decode(video=0)).to_ndarray(format="rgb24", src_colorspace=matrix)
        assert np.abs(pixels[20, 30] - np.array(color) * 255).max() < 3


def test_untagged_sources_get_the_matrix_of_players(tmp_path: Path) -> None:
    for height, matrix in ((48, 6), (720, 1)):
        frame = one_color((1.0, 0.0, 0.0), height, 64)
        clip = open_clip(write(tmp_path / "a.mp4", [frame, frame], (height, 64), colors=ColorTags()))
        assert clip.colors == ColorTags(matrix=matrix)
    hdr = ColorTags(9, 16, 9)
    assert open_clip(write(tmp_path / "b.mp4", colors=hdr)).colors == ColorTags(1, 1, 1)


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [("hevc", ".mp4"), ("hevc", ".mov"), ("hevc", ".mkv"), ("av1", ".mp4"), ("av1", ".mkv"), ("av1", ".webm")],
)
def test_other_codecs_keep_frames_times_sizes_and_colors(
    tmp_path: Path, codec: str, suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / f"a{suffix}", codec=codec, metadata=NOTE)
    clip = open_clip(path)
    assert clip.times == tuple(Fraction(number, 25) for number in range(12))
    assert (clip.duration, clip.size) == (Fraction(12, 25), (48, 64))
    assert [read_number(frame) for frame in clip.frames()] == list(range(12))
    assert read_clip_metadata(path) == NOTE
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert codec in (context.codec.canonical_name, context.name)
        if (codec, suffix) == ("hevc", ".mp4"):
            assert context.codec_tag == "hvc1"
    tags, color = ColorTags(1, 1, 1, False), one_color((0.8, 0.5, 0.1), 23, 65)
    odd = open_clip(write(tmp_path / f"b{suffix}", [color] * 3, (23, 65), codec=codec, colors=tags, crf=1))
    assert (odd.size, odd.colors) == ((24, 66), tags)
    assert float((odd.frame(2)[:, :, :23, :65] - color).abs().max()) * 255 < 3
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc of Linux")
@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_encoders_take_no_priority_over_other_programs(tmp_path: Path, codec: Any) -> None:
    """SVT-AV1 does, where a user may: root."""
    before = os.sched_getscheduler(0)
    with ClipWriter(tmp_path / "a.mp4", (48, 64), RATE, codec=codec) as writer:
        for number, frame in enumerate(FRAMES):
            writer.write(frame, number / RATE)
            assert {os.sched_getscheduler(int(thread.name)) for thread in Path("/proc/self/task").iterdir()} == {before}


@pytest.mark.parametrize("suffix", [*VIDEOS, ".webp"])
def test_lossless_keeps_every_bit(tmp_path: Path, suffix: str) -> None:
    frames = [(random_image(seed, 31, 45) * 255).round() / 255 for seed in range(3)]
    clip = open_clip(write(tmp_path / f"a{suffix}", frames, (31, 45), lossless=True))
    for frame, read in zip(frames, clip.frames(), strict=True):
        assert torch.equal((read * 255).round(), (frame * 255).round())


@pytest.mark.parametrize(("suffix", "size"), [(".mp4", (48, 64)), (".mkv", (48, 64)), (".webm", (47, 63))])
def test_odd_sizes(tmp_path: Path, suffix: str, size: tuple[int, int]) -> None:
    frames = [numbered_frame(number, 47, 63) for number in range(4)]
    clip = open_clip(write(tmp_path / f"a{suffix}", frames, (47, 63)))
    assert clip.size == size
    assert [read_number(frame) for frame in clip.frames()] == [0, 1, 2, 3]
    edge = clip.frame(1)[0, :, 30, -1]  # repeated, not black
    assert float((edge - clip.frame(1)[0, :, 30, 60]).abs().max()) < 0.03


@pytest.mark.parametrize("suffix", SUFFIXES[:-1])
def test_variable_times_are_kept(tmp_path: Path, suffix: str) -> None:
    times = [Fraction(number, 90) for number in (0, 3, 4, 10, 11, 19, 20, 28, 40, 43, 46, 50)]
    path = tmp_path / f"a{suffix}"
    with ClipWriter(path, (48, 64), RATE, time_base=Fraction(1, 90), end=Fraction(60, 90)) as writer:
        for frame, time in zip(FRAMES, times, strict=True):
            writer.write(frame, time)
    clip = open_clip(path)
    steps = {".mp4": Fraction(0), ".mov": Fraction(0), ".gif": Fraction(1, 100)}
    step = steps.get(suffix, Fraction(1, 1000))
    assert all(abs(read - time) <= step for read, time in zip(clip.times, times, strict=True))
    assert abs(clip.duration - Fraction(60, 90)) <= max(step, Fraction(1, 1000))


@pytest.mark.parametrize("suffix", VIDEOS)
@pytest.mark.parametrize(
    ("codec", "name"), [("aac", "a.mp4"), ("mp3", "a.mp4"), ("pcm_s16le", "a.mov"), ("libopus", "a.webm")]
)
def test_sound_is_as_long_as_the_picture(tmp_path: Path, codec: str, name: str, suffix: str) -> None:
    video = "libvpx-vp9" if name.endswith("webm") else "libx264"
    source = open_clip(write_clip(tmp_path / name, FRAMES * 3, codec=video, sound=codec, sound_s=2.0))
    assert source.sounds
    frames = [numbered_frame(number % 12) for number in range(36)]
    whole = open_clip(write(tmp_path / f"whole{suffix}", frames, sound_from=source))
    start, end = Fraction(10, 25), Fraction(30, 25)
    part = open_clip(write(tmp_path / f"part{suffix}", frames[:20], sound_from=source, start=start, end=end))
    for clip, seconds in ((whole, 36 / 25), (part, 20 / 25)):
        assert len(clip.sounds) == 1
        assert abs(clip.duration - seconds) < 0.001
        begin, samples = read_sound(clip.path)
        assert abs(begin + samples / 48_000 - seconds) <= 1 / 25
        assert -0.03 <= begin <= 0.03


def read_sound(path: Path) -> tuple[float, int]:
    """Return when the sound of a file begins, in seconds, and its number of samples."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    assert frames[0].time is not None
    return frames[0].time, sum(frame.samples for frame in frames)


def test_gaps_in_the_sound_become_silence(tmp_path: Path) -> None:
    path = tmp_path / "gap.mkv"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        track: Any = container.add_stream("pcm_s16le", rate=48_000, layout="mono")
        for number in range(36):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(FRAMES[number % 12], format="rgb24")))
        container.mux(stream.encode(None))
        for start in (9600, 38_400):  # at 0.2 and 0.8 s, for 0.2 s
            tone = (9000 * np.sin(np.arange(9600) / 10)).astype(np.int16).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 48_000, start, Fraction(1, 48_000)
            container.mux(track.encode(frame))
    clip = open_clip(write(tmp_path / "a.webm", FRAMES * 3, sound_from=open_clip(path)))
    with av.open(str(clip.path)) as container:
        wave = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    loud = [bool(np.abs(wave[int(time * 48_000) :][:480]).mean() > 0.1) for time in (0.1, 0.3, 0.6, 0.9)]
    assert loud == [False, True, False, True]


@pytest.mark.parametrize(("codec", "suffix"), [("aac", ".mp4"), ("mp3", ".mkv"), ("pcm_s16le", ".mov")])
def test_whole_sound_is_copied_as_it_is(tmp_path: Path, codec: str, suffix: str) -> None:
    source = open_clip(write_clip(tmp_path / f"source{suffix}", FRAMES, sound=codec))
    path = write(tmp_path / f"a{suffix}", sound_from=source)
    waves = []
    for file in (source.path, path):
        with av.open(str(file)) as container:
            waves.append(np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1))
    count = min(wave.shape[1] for wave in waves)
    assert abs(waves[0].shape[1] - waves[1].shape[1]) <= 2 * 1152
    assert count >= 20_000
    assert np.array_equal(waves[0][:, :count], waves[1][:, :count])


def test_cut_sound_is_in_step_with_the_picture(tmp_path: Path) -> None:
    """A click in the source is at the same time of the picture after a cut, copied or encoded."""
    source_path = tmp_path / "click.mov"
    with av.open(str(source_path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        track: Any = container.add_stream("pcm_s16le", rate=48_000, layout="mono")
        for number in range(100):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(FRAMES[number % 12], format="rgb24")))
        container.mux(stream.encode(None))
        wave = np.zeros((1, 4 * 48_000), np.int16)
        wave[0, 144_000:144_100] = 20_000  # at 3 s
        for start in range(0, wave.shape[1], 960):
            piece = np.ascontiguousarray(wave[:, start : start + 960])
            frame = av.AudioFrame.from_ndarray(piece, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 48_000, start, Fraction(1, 48_000)
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    source = open_clip(source_path)
    for suffix in VIDEOS:
        path = write(
            tmp_path / f"a{suffix}", FRAMES * 2, sound_from=source, start=Fraction("2.6"), end=Fraction("3.56")
        )
        with av.open(str(path)) as container:
            frames = list(container.decode(audio=0))
        assert frames[0].time is not None
        wave = np.concatenate([frame.to_ndarray()[:1].reshape(1, -1) for frame in frames], axis=1)
        click = frames[0].time + int(np.abs(wave.astype(float)).argmax()) / 48_000
        assert abs(click - 0.4) < 0.005, suffix


def test_sound_that_starts_late_stays_in_step(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mov", FRAMES, sound="pcm_s16le", sound_s=0.2)
    source = open_clip(path)
    clip = open_clip(write(tmp_path / "b.webm", sound_from=source))
    assert clip.frame_count == 12
    assert read_sound(clip.path)[1] <= 0.22 * 48_000


def test_faststart_puts_the_index_first(tmp_path: Path) -> None:
    data = write(tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_h264_is_high_profile_and_420(tmp_path: Path) -> None:
    with av.open(str(write(tmp_path / "a.mp4"))) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.profile, context.pix_fmt) == ("h264", "High", "yuv420p")


class PainterError(Exception):
    pass


def failing_frames() -> Iterator[np.ndarray[Any, Any]]:
    yield from FRAMES[:5]
    raise PainterError


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_older_file_survives_a_failure(tmp_path: Path, suffix: str) -> None:
    path = write(f"{tmp_path}/out{suffix}")
    before = open_clip(path).sha256
    with pytest.raises(PainterError):
        write(f"{tmp_path}/out{suffix}", failing_frames())
    with pytest.raises(OutputError, match="no frame was written"):
        write(f"{tmp_path}/out{suffix}", [])
    assert open_clip(path).sha256 == before
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    write(f"{tmp_path}/out{suffix}", FRAMES[:3])
    assert open_clip(path).frame_count == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
@pytest.mark.parametrize("suffix", VIDEOS)
def test_full_disk_keeps_the_older_file(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_text("older")
    open_file = av.open

    def open_full(name: str, *args: Any, **options: Any) -> Any:
        return open_file("/dev/full", *args, **options)

    monkeypatch.setattr(av, "open", open_full)
    with pytest.raises(OutputError, match=os.strerror(errno.ENOSPC)):
        write(path, [random.numpy() for random in noise(40)])
    assert path.read_text() == "older"
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def noise(count: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        yield torch.randint(0, 256, (48, 64, 3), dtype=torch.uint8, generator=generator)


def test_an_output_that_is_its_input_is_refused(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mp4", FRAMES, sound="aac")
    before = source.read_bytes()
    (tmp_path / "link.mp4").symlink_to(source)
    clip = open_clip(source)
    for path in (source, tmp_path / "link.mp4", f"{tmp_path}/../{tmp_path.name}/a.mp4"):
        with pytest.raises(OutputError, match="is an input of this run"):
            ClipWriter(path, clip.size, clip.rate, sound_from=clip)
    assert source.read_bytes() == before
    folder = write(f"{tmp_path}/frames/")
    for other in (folder, folder / "%05d.png", folder / "*.png"):
        with pytest.raises(OutputError, match=r"is the folder of an input|is an input of this run"):
            require_clip_output(f"{folder}/", [other])


def test_what_cannot_be_written_is_refused_before_painting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        OutputError, match=r"unknown clip format .avi. Use .mp4, .mov, .mkv, .webm, .gif, .webp, or a folder"
    ):
        require_clip_output(tmp_path / "a.avi")
    with pytest.raises(OutputError, match="there is no directory"):
        require_clip_output(tmp_path / "none" / "a.mp4")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").touch()
    with pytest.raises(OutputError, match=r"mine holds other files, such as diary.txt"):
        require_clip_output(tmp_path / "mine")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file, and frames need a folder"):
        require_clip_output(tmp_path / "file")
    for name, codec, message in (
        ("a.webm", "hevc", r"a.webm cannot hold hevc. Use .mp4, .mov, .mkv, or leave `codec` out."),
        ("a.mov", "av1", r"a.mov cannot hold av1. Use .mp4, .mkv, .webm"),
        ("a.gif", "av1", "a.gif is no video, and has no codec"),
        ("frames/", "hevc", "is no video"),
    ):
        with pytest.raises(OutputError, match=message):
            require_clip_output(f"{tmp_path}/{name}", codec=codec)
    with pytest.raises(ConfigError, match="hevc needs frames that are 64 px wide, and these are 62"):
        ClipWriter(tmp_path / "a.mp4", (48, 62), RATE, codec="hevc")
    with monkeypatch.context() as patched:
        patched.setattr(av, "codecs_available", {"libx264"})
        with pytest.raises(OutputError, match=r"PyAV was built without libsvtav1, which writes av1. Leave `codec` out"):
            require_clip_output(tmp_path / "a.mp4", codec="av1")
    monkeypatch.setattr("impasto.clips.video_sink.find_spec", lambda name: None)
    with pytest.raises(OutputError, match=r"pip install 'impasto\[video\]'"):
        require_clip_output(tmp_path / "a.mp4")
    require_clip_output(tmp_path / "a.gif")


def test_wrong_frames_are_programming_errors(tmp_path: Path) -> None:
    with ClipWriter(tmp_path / "a.mp4", (48, 64), RATE) as writer:
        writer.write(FRAMES[0])
        with pytest.raises(ValueError, match="a frame has 63x47 px, and the clip 64x48"):
            writer.write(numbered_frame(0, 47, 63))
        with pytest.raises(ValueError, match="not after"):
            writer.write(FRAMES[1], Fraction(0))
        writer.write(FRAMES[1])
    assert open_clip(tmp_path / "a.mp4").frame_count == 2


def test_metadata_of_other_programs_is_none_of_ours(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", FRAMES)
    assert read_clip_metadata(path) == {}
    folder = write(f"{tmp_path}/frames/", metadata=NOTE)
    assert json.loads((folder / "recipe.json").read_text()) == NOTE
    assert read_clip_metadata(write(f"{tmp_path}/frames/")) == {}


@pytest.mark.browser
@pytest.mark.parametrize("suffix", [".webm", ".mp4"])
def test_a_browser_plays_it(tmp_path: Path, watched: WatchedPage, suffix: str) -> None:
    source = open_clip(write_clip(tmp_path / "source.mp4", FRAMES, sound="aac"))
    path = write(tmp_path / f"a{suffix}", sound_from=source)
    page = watched.page
    (tmp_path / "page.html").write_text(f"<video muted src='{path.name}'></video>")
    page.goto((tmp_path / "page.html").as_uri())
    kind = {".webm": 'video/webm; codecs="vp9,opus"', ".mp4": 'video/mp4; codecs="avc1.64000a,mp4a.40.2"'}[suffix]
    if not page.evaluate("kind => document.createElement('video').canPlayType(kind)", kind):
        pytest.skip("this build of Chromium has no H.264")
    video = page.locator("video")
    video.evaluate("node => node.play()")
    page.wait_for_function("() => document.querySelector('video').ended")
    assert video.evaluate("node => [node.videoWidth, node.videoHeight]") == [64, 48]
    assert abs(video.evaluate("node => node.duration") - 0.48) < 0.03
