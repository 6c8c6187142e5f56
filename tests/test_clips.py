"""Reading clips: files of many codecs, animations and numbered pictures."""

from __future__ import annotations

import importlib.util
import logging
import re
import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from builders.clips import (
    RATE,
    count_samples,
    damage,
    numbered_frame,
    read_number,
    write_clip,
    write_patch,
)
from PIL import Image

from impasto.clips import open_clip, select_frames
from impasto.clips.kinds import is_clip
from impasto.errors import FrameError, ImpastoError, VideoError

FRAMES = [numbered_frame(number) for number in range(12)]
COLORS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 120, 30)]

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "h264": ("a.mp4", {"options": {"bf": "3", "g": "5"}}),
    "h264-open-gop": ("a.mkv", {"options": {"bf": "3", "g": "5", "x264-params": "open-gop=1"}}),
    "h264-stream": ("a.ts", {"options": {"bf": "2", "g": "5"}}),
    "hevc": ("a.mp4", {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=5"}}),
    "vp9": ("a.webm", {"codec": "libvpx-vp9", "options": {"g": "5"}}),
    "av1": ("a.mkv", {"codec": "libsvtav1", "options": {"preset": "12", "svtav1-params": "keyint=5"}}),
    "prores": ("a.mov", {"codec": "prores_ks", "pixel_format": "yuv422p10le"}),
    "ffv1": ("a.mkv", {"codec": "ffv1", "pixel_format": "bgr0"}),
    "h264-avi": ("a.avi", {"options": {"bf": "2", "g": "5"}}),
    "fragments": ("a.mp4", {"container_options": {"movflags": "frag_keyframe+empty_moov"}, "options": {"g": "5"}}),
    "raw-h264": ("a.h264", {"options": {"bf": "2", "g": "5"}}),
    "rgb-10": ("a.mkv", {"codec": "ffv1", "pixel_format": "gbrp10le"}),
    "yuv-411": ("a.mkv", {"codec": "ffv1", "pixel_format": "yuv411p"}),
    "uyvy": ("a.mov", {"codec": "rawvideo", "pixel_format": "uyvy422"}),
    "mpeg4": ("a.avi", {"codec": "mpeg4", "options": {"g": "5"}}),
    "vp8": ("a.webm", {"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "8"}}),
    "mjpeg": ("a.mov", {"codec": "mjpeg", "pixel_format": "yuvj420p"}),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_of_every_codec_in_any_order(tmp_path: Path, kind: str) -> None:
    name, options = KINDS[kind]
    clip = open_clip(write_clip(tmp_path / name, FRAMES, **options))
    assert (clip.frame_count, clip.size, clip.rate) == (12, (48, 64), RATE)
    assert [round(time * 25, 1) for time in clip.times] == list(range(12))
    assert clip.times[0] == 0
    assert abs(clip.duration - Fraction(12, 25)) < Fraction(1, 500)
    frames = list(clip.frames())
    assert [read_number(frame) for frame in frames] == list(range(12))
    for frame in frames:
        assert frame.dtype == torch.float32
        assert frame.shape == (1, 3, 48, 64)
    for number in (0, 7, 3, 11, 5, 6, 1):
        assert torch.equal(clip.frame(number), frames[number])
    assert [read_number(frame) for frame in clip.frames(6, 9)] == [6, 7, 8]


@pytest.mark.parametrize(
    ("name", "options", "size"),
    [
        ("a.mp4", {}, (24, 32)),
        ("a.mp4", {"rotation": (90.0, False, False)}, (32, 24)),
        ("a.mkv", {"pixel_aspect": Fraction(2)}, (12, 32)),
        ("a.mov", {"codec": "prores_ks", "pixel_format": "yuv422p10le"}, (24, 32)),
        ("a.mkv", {"codec": "ffv1", "pixel_format": "bgr0"}, (24, 32)),
    ],
)
def test_frames_are_reduced_while_they_are_decoded(
    tmp_path: Path, name: str, options: dict[str, Any], size: tuple[int, int]
) -> None:
    clip = open_clip(write_clip(tmp_path / name, FRAMES, **options))
    for number, small in enumerate(clip.frames(long_side_px=32)):
        assert small.shape[2:] == size
        whole = torch.nn.functional.interpolate(clip.frame(number), size, mode="area")
        assert float((small - whole).abs().mean()) < 0.02
        assert read_number(small) == number
    assert clip.frame(0).shape[2:] == next(clip.frames(0, 1, long_side_px=500)).shape[2:] == clip.size


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("full", [False, True], ids=["tv", "pc"])
@pytest.mark.parametrize("matrix", [1, 6, 9])
def test_colors_follow_matrix_and_range(tmp_path: Path, matrix: int, full: bool, bits: int) -> None:
    for color in COLORS:
        clip = open_clip(write_patch(tmp_path / "patch.mkv", color, matrix, full=full, bits=bits))
        assert clip.colors is not None
        assert (clip.colors.matrix, clip.colors.is_full_range) == (matrix, full)
        wanted = torch.tensor(color).view(1, 3, 1, 1)
        assert float((clip.frame(1) * 255 - wanted).abs().max()) < (1.6 if bits == 8 else 0.5)


def test_ten_bits_are_not_rounded_to_eight(tmp_path: Path) -> None:
    ramp = np.arange(64, dtype=np.uint16) + 500
    path = tmp_path / "ramp.mkv"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 16, 64, "yuv444p10le"
        for _ in range(2):
            frame = av.VideoFrame(64, 16, "yuv444p10le")
            for plane, values in zip(frame.planes, (ramp, ramp * 0 + 512, ramp * 0 + 512), strict=True):
                rows = np.zeros((16, plane.line_size // 2), np.uint16)
                rows[:, :64] = values
                plane.update(rows.tobytes())
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    row = open_clip(path).frame(0)[0, 1, 8]
    assert torch.allclose(row, (torch.arange(64) + 500 - 64) / 876, atol=1e-5)


@pytest.mark.parametrize(("height", "matrix"), [(480, 6), (720, 1)])
def test_untagged_clips_are_bt709_from_720_lines_on(tmp_path: Path, height: int, matrix: int) -> None:
    levels = {1: (255, 0, 0), 6: (233, 0, 2)}  # red of BT.709, and how it looks as BT.601
    clip = open_clip(write_patch(tmp_path / "patch.mkv", (255, 0, 0), 0, full=False, bits=8, size=height))
    color = clip.frame(0)[0, :, 8, 8] * 255
    assert (color - torch.tensor(levels[matrix])).abs().max() < 1


def test_hdr_is_mapped_with_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "hdr.mkv"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 16, 16, "yuv420p10le"
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = 9, 9, 16, 1
        for level in (64, 573, 940):  # black, white of 203 nits, and 10,000 nits
            frame = av.VideoFrame(16, 16, "yuv420p10le")
            for plane, value in zip(frame.planes, (level, 512, 512), strict=True):
                plane.update(np.full(plane.buffer_size // 2, value, np.uint16).tobytes())
            frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range = 9, 9, 16, 1
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with caplog.at_level(logging.WARNING, "impasto"):
        clip = open_clip(path)
        black, white, bright = (float(frame.mean()) for frame in clip.frames())
    assert [record.message for record in caplog.records if "HDR" in record.message] == [
        f"{path} is HDR. Its highlights are compressed, and the output is SDR."
    ]
    assert black < 0.001
    assert 0.8 < white < 0.95
    assert bright > 0.999


@pytest.mark.parametrize(
    ("rotation", "corner"),
    [
        ((0.0, False, False), "top left"),
        ((90.0, False, False), "bottom left"),
        ((180.0, False, False), "bottom right"),
        ((-90.0, False, False), "top right"),
        ((0.0, True, False), "top right"),
        ((0.0, False, True), "bottom left"),
    ],
)
def test_frames_are_upright(tmp_path: Path, rotation: tuple[float, bool, bool], corner: str) -> None:
    clip = open_clip(write_clip(tmp_path / "a.mp4", FRAMES, rotation=rotation))
    assert clip.size == ((64, 48) if abs(rotation[0]) == 90 else (48, 64))
    redness = clip.frame(0)[0, 0] - clip.frame(0)[0, 1]
    row, column = divmod(int(redness.argmax()), redness.shape[1])
    vertical = "top" if row < redness.shape[0] / 2 else "bottom"
    assert f"{vertical} {'left' if column < redness.shape[1] / 2 else 'right'}" == corner


@pytest.mark.parametrize(("aspect", "size"), [(Fraction(4, 3), (48, 85)), (Fraction(2, 3), (72, 64))])
def test_pixels_are_square(tmp_path: Path, aspect: Fraction, size: tuple[int, int]) -> None:
    clip = open_clip(write_clip(tmp_path / "a.mp4", FRAMES, pixel_aspect=aspect))
    assert clip.size == size
    assert clip.frame(3).shape[2:] == size
    assert read_number(clip.frame(3)) == 3


def test_variable_rate_keeps_exact_times(tmp_path: Path) -> None:
    times = [0, 3, 4, 10, 11, 19, 20, 21, 40, 41, 43, 50]
    clip = open_clip(write_clip(tmp_path / "a.mp4", FRAMES, times=times, clock=Fraction(1, 90)))
    assert clip.times == tuple(Fraction(time, 90) for time in times)
    assert clip.rate != RATE
    assert [read_number(frame) for frame in clip.frames()] == list(range(12))


def test_ntsc_rate_is_exact(tmp_path: Path) -> None:
    clip = open_clip(write_clip(tmp_path / "a.mp4", FRAMES, clock=Fraction(1001, 30000)))
    assert clip.rate == Fraction(30000, 1001)
    assert clip.times[7] == Fraction(7 * 1001, 30000)


def test_frames_before_an_edit_list_are_left_out(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "a.mp4", FRAMES, times=range(-4, 8), container_options={"avoid_negative_ts": "disabled"}
    )
    clip = open_clip(path)
    assert [read_number(frame) for frame in clip.frames()] == list(range(4, 12))
    assert clip.times[0] == 0
    assert read_number(clip.frame(2)) == 6


def test_odd_size(tmp_path: Path) -> None:
    frames = [numbered_frame(number, 47, 63) for number in range(3)]
    clip = open_clip(write_clip(tmp_path / "a.webm", frames, codec="libvpx-vp9"))
    assert clip.size == (47, 63)
    assert [read_number(frame) for frame in clip.frames()] == [0, 1, 2]


@pytest.mark.parametrize(("codec", "name"), [("aac", "a.mp4"), ("mp3", "a.mp4"), ("pcm_s16le", "a.mov")])
def test_sounds_are_listed(tmp_path: Path, codec: str, name: str) -> None:
    path = write_clip(tmp_path / name, FRAMES, sound=codec)
    (sound,) = open_clip(path).sounds
    assert sound.codec.startswith(codec)
    assert (sound.sample_rate, sound.channels) == (48_000, 2)
    assert count_samples(path) > 20_000


def test_truncated_file_has_the_frames_that_are_left(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    frames = [rng.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(12)]
    path = write_clip(tmp_path / "a.mp4", frames, container_options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    clip = open_clip(path)
    assert 3 < clip.frame_count < 12
    assert len(list(clip.frames())) == clip.frame_count


@pytest.mark.parametrize("kind", ["h264", "ffv1", "prores"])
def test_damaged_frame_has_its_number_and_the_rest_can_be_read(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(3)
    frames = [rng.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(12)]
    name, options = KINDS[kind]
    options |= {"options": {"bf": "0", "g": "1" if kind == "ffv1" else "4"}}
    path = write_clip(tmp_path / name, frames, **options)
    whole = list(open_clip(path).frames())
    damage(path, 5)
    clip = open_clip(path)
    assert clip.frame_count == 12
    frames_before = clip.frames()
    assert all(torch.equal(next(frames_before), frame) for frame in whole[:5])
    with pytest.raises(FrameError, match=r"frame 6 \(at 0.20 s\) is damaged") as failure:
        next(frames_before)
    assert failure.value.number == 5
    with pytest.raises(FrameError):
        clip.frame(5)
    assert torch.equal(clip.frame(8), whole[8])
    assert torch.equal(next(clip.frames(8, 12)), whole[8])


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_animations(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.bin"  # recognized by its content
    images = [Image.fromarray(frame) for frame in FRAMES]
    durations = [40, 80, 120] * 4
    extra: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    images[0].save(path, format=kind, save_all=True, append_images=images[1:], duration=durations, loop=0, **extra)
    clip = open_clip(path)
    assert [round(time * 1000) for time in clip.times[:4]] == [0, 40, 120, 240]
    assert clip.duration == Fraction(960, 1000)
    frames = list(clip.frames())
    assert [read_number(frame) for frame in frames] == list(range(12))
    assert torch.equal(clip.frame(7), frames[7])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(12):
        Image.fromarray(FRAMES[number]).save(folder / f"shot{number + 1}.png")
    (folder / "notes.txt").write_text("not a picture")
    return folder


@pytest.mark.parametrize("pattern", ["", "shot%d.png", "*.png", "shot*"])
def test_numbered_pictures(folder: Path, pattern: str) -> None:
    clip = open_clip(folder / pattern, rate=Fraction(12))
    assert (clip.frame_count, clip.rate, clip.duration) == (12, Fraction(12), Fraction(1))
    assert [read_number(frame) for frame in clip.frames()] == list(range(12))
    assert torch.allclose(clip.frame(3), torch.from_numpy(FRAMES[3]).permute(2, 0, 1).unsqueeze(0) / 255, atol=1e-6)


def test_content_hash_changes_with_the_content(folder: Path, tmp_path: Path) -> None:
    before = open_clip(folder).sha256
    assert open_clip(folder).sha256 == before
    (folder / "shot3.png").rename(folder / "shot99.png")
    assert open_clip(folder).sha256 != before
    path = write_clip(tmp_path / "a.mp4", FRAMES)
    assert len(open_clip(path).sha256) == 64


def test_frames_of_different_sizes_are_refused(folder: Path) -> None:
    Image.new("RGB", (65, 48)).save(folder / "shot5.png")
    with pytest.raises(
        FrameError, match=r"shot5.png has 65x48 px and shot1.png has 64x48 px, and frames need one size"
    ):
        open_clip(folder)


def test_damaged_picture_has_its_number(folder: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)
    Image.fromarray(noise).save(folder / "shot5.png")
    data = (folder / "shot5.png").read_bytes()
    (folder / "shot5.png").write_bytes(data[: len(data) // 2])
    clip = open_clip(folder)
    with pytest.raises(FrameError) as failure:
        list(clip.frames())
    assert failure.value.number == 4


def test_size_that_changes_midway(tmp_path: Path) -> None:
    streams = []
    for height in (48, 64):
        frames = [numbered_frame(number, height) for number in range(6)]
        streams.append(write_clip(tmp_path / f"{height}.ts", frames, codec="mpeg2video").read_bytes())
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(streams))
    with pytest.raises(FrameError, match=r"changes its size at frame [67], from 64x48 to 64x64") as failure:
        list(open_clip(path).frames())
    assert failure.value.number in (5, 6)  # the decoder drops the last frame of the first size


def _write_sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        track: Any = container.add_stream("aac", rate=48_000, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        frame.sample_rate = 48_000
        container.mux(track.encode(frame))
        container.mux(track.encode(None))
    return path


def test_animations_are_clips_and_single_pictures_are_not(tmp_path: Path) -> None:
    first, *others = (Image.fromarray(frame) for frame in FRAMES[:3])
    for suffix in (".gif", ".webp"):
        first.save(tmp_path / f"moving{suffix}", save_all=True, append_images=others)
        first.save(tmp_path / f"still{suffix}")
        (tmp_path / f"text{suffix}").write_text("hello")
    huge = bytearray((tmp_path / "still.gif").read_bytes())
    huge[6:10] = struct.pack("<HH", 60_000, 60_000)  # more than Pillow opens
    (tmp_path / "huge.gif").write_bytes(huge)
    names = {path.name for path in tmp_path.iterdir() if is_clip(path)}
    assert names == {"moving.gif", "moving.webp", "text.gif", "huge.gif"}
    assert is_clip("missing.gif")
    assert not is_clip("missing.webp")


def test_what_is_no_clip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("hello " * 100)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "none").mkdir()
    _write_sound(tmp_path / "sound.mp4")
    known = write_clip(tmp_path / "known.mp4", FRAMES).read_bytes()
    (tmp_path / "codec.mp4").write_bytes(known.replace(b"avc1", b"xyz1"))
    write_clip(tmp_path / "one.mp4", FRAMES[:1])
    Image.fromarray(FRAMES[0]).save(tmp_path / "one.png")
    cases = {
        "missing.mp4": "no such file. Check the path.",
        "text.mp4": "cannot be read as a video: Invalid data found when processing input. Is it a complete",
        "empty.mp4": "is empty",
        "none": "there are no pictures",
        "%04d.png": "there are no pictures",
        "x*.png": "there are no pictures",
        "sound.mp4": "holds only sound, and a clip needs a video stream",
        "codec.mp4": "is coded in a way that PyAV cannot decode",
        "one.mp4": "holds a single picture, and a clip needs two or more. Paint it as a picture.",
        "one.png": "holds a single picture",
    }
    for name, message in cases.items():
        with pytest.raises(VideoError, match=re.escape(message)) as failure:
            open_clip(tmp_path / name)
        assert isinstance(failure.value, ImpastoError)
        assert "\n" not in str(failure.value)
        assert name in str(failure.value)


def test_missing_pyav_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_clip(tmp_path / "a.mp4", FRAMES)
    monkeypatch.setattr("impasto.clips.container.find_spec", lambda name: None)
    assert importlib.util.find_spec("av")
    with pytest.raises(VideoError, match=r"pip install 'impasto\[video\]'"):
        open_clip(path)


def test_pictures_need_no_pyav(folder: Path) -> None:
    check = (
        "import sys; sys.modules['av'] = None; from impasto.clips import open_clip, ClipWriter\n"
        "clip = open_clip(sys.argv[1])\n"
        "with ClipWriter(sys.argv[1] + '.webp', clip.size, clip.rate) as writer:\n"
        "    for frame in clip.frames(): writer.write(frame)\n"
        "assert open_clip(sys.argv[1] + '.webp').frame_count == 12"
    )
    subprocess.run([sys.executable, "-c", check, str(folder)], check=True, capture_output=True)


def test_select_frames(tmp_path: Path) -> None:
    clip = open_clip(write_clip(tmp_path / "a.mp4", FRAMES))
    assert select_frames(clip) == range(12)
    assert select_frames(clip, 0.04) == range(1, 12)
    assert select_frames(clip, 0.12, 0.2) == range(3, 5)
    assert select_frames(clip, 0.05, 0.05001) == range(1, 2)
    assert select_frames(clip, 0.4, 99) == range(10, 12)
    with pytest.raises(VideoError, match=r"start = 0.48 s is after the end of .*a.mp4, which lasts 0.48 s"):
        select_frames(clip, 0.48)
    with pytest.raises(VideoError, match=r"end = 0.1 s is not after start = 0.2 s"):
        select_frames(clip, 0.2, 0.1)
    with pytest.raises(VideoError, match="starts before the clip"):
        select_frames(clip, -1)
    with pytest.raises(IndexError):
        clip.frame(12)
