"""Clips in the studio's API: uploads, shots, frames, and what a browser plays."""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from builders.clips import damage, numbered_frame, write_clip
from builders.waiting import wait_until
from PIL import Image
from starlette.testclient import TestClient

from impasto.clips import open_clip
from impasto.config import Config, Inputs, RunOptions
from impasto.config.video import VideoOptions
from impasto.images import NamedImage
from impasto.jobs import JobStore
from impasto.jobs.clips import submit_clip
from impasto.jobs.model import FramesDone
from impasto.jobs.worker import Worker
from impasto.studio import Studio, create_app
from impasto.studio import clips as clips_module
from impasto.studio.schemas import JobView

FRAMES = [numbered_frame(number) for number in range(12)]

KINDS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "h264": ("a.mp4", {"sound": "aac"}, False),
    "vp9": ("a.webm", {"codec": "libvpx-vp9", "sound": "libopus"}, False),
    "hevc": ("a.mp4", {"codec": "libx265", "options": {"x265-params": "log-level=none"}}, True),
    "prores": ("a.mov", {"codec": "prores_ks", "pixel_format": "yuv422p10le", "sound": "pcm_s16le"}, True),
    "mkv": ("a.mkv", {"sound": "libopus"}, True),
    "mpeg4": ("a.avi", {"codec": "mpeg4"}, True),
}
"""By kind: the file's name, how it is written, and whether browsers need a copy."""


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    studio = Studio(JobStore(tmp_path / "data"))
    yield studio
    studio.close()


@pytest.fixture
def client(studio: Studio) -> Iterator[TestClient]:
    with TestClient(create_app(studio), base_url="http://127.0.0.1") as client:
        yield client


def upload(client: TestClient, path: Path, name: str | None = None) -> dict[str, Any]:
    response = client.post("/api/clips", params={"name": name or path.name}, content=path.read_bytes())
    assert response.status_code == 201, response.text
    view: dict[str, Any] = response.json()
    return view


def find_shots(client: TestClient, sha256: str) -> dict[str, Any]:
    """Ask for the shots until they are found."""

    def ask() -> dict[str, Any]:
        response = client.get(f"/api/clips/{sha256}/shots")
        assert response.status_code == 200, response.text
        view: dict[str, Any] = response.json()
        return view if view["complete"] else {}

    return wait_until(ask)


def write_scenes(path: Path) -> Path:
    """Write a clip of two scenes, of 7 and 5 frames."""
    scenes = np.random.default_rng(1).integers(0, 256, (2, 12, 16, 3), np.uint8)
    pixels = [scene.repeat(6, axis=0).repeat(6, axis=1) for scene in scenes]
    return write_clip(path, [pixels[0]] * 7 + [pixels[1]] * 5)


def write_gif(path: Path) -> Path:
    pictures = [Image.fromarray(frame) for frame in FRAMES[:4]]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=80, loop=0)
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_browsers_get_a_clip_or_a_copy_that_they_play(client: TestClient, tmp_path: Path, kind: str) -> None:
    name, options, copied = KINDS[kind]
    path = write_clip(tmp_path / name, FRAMES, **options)
    view = upload(client, path)
    assert (view["width"], view["height"], view["frame_count"], view["rate"]) == (64, 48, 12, 25)
    assert view["duration_s"] == pytest.approx(0.48, abs=0.01)
    assert (view["sound"], view["copied"], view["note"]) == ("sound" in options, copied, "")
    response = client.get(f"/api/clips/{view['sha256']}/video")
    assert response.headers["content-type"] == ("video/webm" if kind == "vp9" else "video/mp4")
    assert (response.content == path.read_bytes()) is not copied
    (tmp_path / "played").write_bytes(response.content)
    played = open_clip(tmp_path / "played")
    assert [round(time * 1000) for time in played.times] == [40 * number for number in range(12)]
    assert bool(played.sounds) is view["sound"]
    part = client.get(f"/api/clips/{view['sha256']}/video", headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, response.content[10:20])


def test_gif_is_a_clip_too(client: TestClient, tmp_path: Path) -> None:
    view = upload(client, write_gif(tmp_path / "a.gif"))
    assert (view["frame_count"], view["copied"], view["duration_s"]) == (4, True, 0.32)
    response = client.get(f"/api/clips/{view['sha256']}/video")
    assert response.headers["content-type"] == "video/mp4"
    assert "immutable" in response.headers["cache-control"]
    with av.open(io.BytesIO(response.content)) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


def test_shots_are_found_once(client: TestClient, studio: Studio, tmp_path: Path) -> None:
    view = upload(client, write_scenes(tmp_path / "a.mp4"))
    found = find_shots(client, view["sha256"])
    assert (found["frames_done"], found["problem"]) == (12, "")
    assert [(shot["first"], shot["last"]) for shot in found["shots"]] == [(0, 6), (7, 11)]
    assert [shot["start_s"] for shot in found["shots"]] == pytest.approx([0, 0.28])
    assert found["shots"][-1]["end_s"] == pytest.approx(0.48)
    cuts = studio.shots.find(view["sha256"]).cuts
    assert cuts == pytest.approx([0.26])
    again = Studio(JobStore(tmp_path / "data"))  # another process finds them on the disk
    assert again.shots.view(view["sha256"]).complete
    assert VideoOptions(cuts=cuts).cuts == cuts


def test_frames_are_thumbnails_and_pictures(client: TestClient, tmp_path: Path) -> None:
    view = upload(client, write_clip(tmp_path / "My clip.mp4", FRAMES))
    address = f"/api/clips/{view['sha256']}/frames"
    response = client.get(f"{address}/5?side=32")
    image = Image.open(io.BytesIO(response.content))
    assert (image.format, image.size) == ("JPEG", (32, 24))
    assert abs(np.asarray(image)[12:, 16:].mean() - 70) < 4
    stored = client.post(f"{address}/5", params={"name": view["name"]}).json()
    assert (stored["name"], stored["width"], stored["height"]) == ("My clip 0.20 s.png", 64, 48)
    assert client.get(f"/api/files/{stored['sha256']}/thumbnail").status_code == 200
    assert client.post(f"{address}/5").json()["sha256"] == stored["sha256"]
    for number, status in ((12, 404), (-1, 422), ("x", 422), (2**40, 422)):
        for method in ("GET", "POST"):
            response = client.request(method, f"{address}/{number}")
            assert response.status_code == status, response.text
    assert client.get(f"{address}/12").json()["error"] == "The clip has frames 0 to 11, and no frame 12."


def test_numbered_frames_of_the_queue_are_a_clip(
    client: TestClient, studio: Studio, tmp_path: Path, painting: Path
) -> None:
    """The queue stores them as one file. The page shows them, and paints them again."""
    frames = tmp_path / "frames"
    frames.mkdir()
    for number, pixels in enumerate(FRAMES[:4]):
        Image.fromarray(pixels).save(frames / f"{number:03}.png")
    job = submit_clip(
        studio.store, Inputs(content=frames, styles=(painting,)), Config(size=64), RunOptions(), VideoOptions()
    )
    sha256 = str(job.inputs["content"]["sha256"])
    view = client.get(f"/api/clips/{sha256}", params={"name": "frames"}).json()
    assert (view["frame_count"], view["copied"], view["sound"]) == (4, True, False)
    assert find_shots(client, sha256)["shots"]
    last = Image.open(io.BytesIO(client.get(f"/api/clips/{sha256}/frames/3").content))
    differences = [np.abs(np.asarray(last.convert("RGB"), float) - pixels).mean() for pixels in FRAMES[:4]]
    assert np.argmin(differences) == 3
    copy = client.get(f"/api/clips/{sha256}/video")
    assert (copy.status_code, copy.headers["content-type"]) == (200, "video/mp4")
    studio.store.remove(job.id)
    studio.store.files.path(sha256).unlink()
    studio.clips.remove_unused()
    assert not list(studio.clips.folder.glob(f"{sha256}*"))


def test_clips_that_do_not_exist_are_one_line(client: TestClient, studio: Studio, photo: Path) -> None:
    picture = client.post("/api/files", content=photo.read_bytes()).json()["sha256"]
    for path in ("", "/shots", "/frames/0", "/video"):
        missing = client.get(f"/api/clips/{'0' * 64}{path}")
        assert (missing.status_code, "clip 000000000000… does not exist" in missing.text) == (409, True)
        assert client.get(f"/api/clips/{'A' * 64}{path}").status_code == 422
        response = client.get(f"/api/clips/{picture}{path}")
        assert response.status_code == 422
        assert str(studio.store.folder) not in response.text


def invalid_clips(folder: Path, photo: Path) -> dict[str, tuple[bytes, str]]:
    whole = write_clip(folder / "whole.mp4", FRAMES).read_bytes()
    victim = write_clip(folder / "victim.ts", FRAMES)
    still = io.BytesIO()
    Image.new("RGB", (9, 9)).save(still, "GIF")
    huge = b"GIF89a" + (65_000).to_bytes(2, "little") * 2 + bytes(60)
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{victim}\n#EXT-X-ENDLIST\n"
    return {
        "nothing": (b"", "cannot be read"),
        "text": (b"hello" * 99, "cannot be read"),
        "cut": (whole[: len(whole) // 2], "cannot be read"),
        "picture": (photo.read_bytes(), "cannot be read"),
        "still gif": (still.getvalue(), "single picture"),
        "huge gif": (huge, ""),
        "playlist": (playlist.encode(), "cannot be read"),
        "concat": (f"ffconcat version 1.0\nfile '{victim}'\n".encode(), "cannot be read"),
    }


@pytest.mark.parametrize("kind", ["nothing", "text", "cut", "picture", "still gif", "huge gif", "playlist", "concat"])
def test_refuses_uploads_that_are_no_clips(
    client: TestClient, studio: Studio, tmp_path: Path, photo: Path, kind: str
) -> None:
    content, message = invalid_clips(tmp_path, photo)[kind]
    response = client.post("/api/clips", params={"name": "holiday.mp4"}, content=content)
    assert response.status_code == 422, response.text
    error = response.json()["error"]
    assert (error.startswith("holiday.mp4"), "\n" in error, message in error) == (True, False, True), error
    assert str(studio.store.folder) not in error
    assert not (studio.store.folder / "files").exists()
    assert not list(studio.store.folder.glob("impasto-*"))


def test_refuses_clips_that_are_too_large(client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_clip(tmp_path / "a.mp4", FRAMES)
    monkeypatch.setattr(clips_module, "MAX_FRAMES", 11)
    response = client.post("/api/clips", content=path.read_bytes())
    assert (response.status_code, "12 frames; the studio takes up to 11" in response.text) == (422, True)
    monkeypatch.setattr(clips_module, "MAX_MEGAPIXELS", 0.003)
    response = client.post("/api/clips", content=path.read_bytes())
    assert (response.status_code, "frames of 64x48 px; the studio takes up to 0.003 megapixels" in response.text) == (
        422,
        True,
    )
    assert client.post("/api/clips", content=b"", headers={"content-length": str(2 * 10**9)}).status_code == 413


def test_file_that_is_cut_off_says_what_is_left(client: TestClient, tmp_path: Path) -> None:
    moved = {"movflags": "faststart"}
    noise = np.random.default_rng(2).integers(0, 256, (12, 48, 64, 3), np.uint8)
    path = write_clip(tmp_path / "a.mp4", list(noise), container_options=moved, options={"g": "1"})
    view = upload_bytes(client, path.read_bytes()[: path.stat().st_size // 2])
    assert 3 <= view["frame_count"] < 10
    assert view["note"] == f"The file is cut off: {view['frame_count']} of its 12 frames are there."


def upload_bytes(client: TestClient, content: bytes) -> dict[str, Any]:
    response = client.post("/api/clips", content=content)
    assert response.status_code == 201, response.text
    view: dict[str, Any] = response.json()
    return view


def test_damaged_frame_ends_the_shots_before_it(client: TestClient, studio: Studio, tmp_path: Path) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (1, 48, 64, 3), np.uint8).repeat(12, axis=0)
    path = write_clip(tmp_path / "a.mov", list(noise), codec="prores_ks", pixel_format="yuv422p10le")
    damage(path, 8)
    view = upload(client, path)
    found = find_shots(client, view["sha256"])
    assert [(shot["first"], shot["last"], shot["end_s"]) for shot in found["shots"]] == [(0, 7, 0.32)]
    assert found["problem"].startswith("The clip: frame 9 (at 0.32 s) is damaged.")
    assert studio.shots.find(view["sha256"]).frame_count == 8
    assert client.get(f"/api/clips/{view['sha256']}/frames/8").status_code == 422
    (tmp_path / "copy.mp4").write_bytes(client.get(f"/api/clips/{view['sha256']}/video").content)
    assert open_clip(tmp_path / "copy.mp4").frame_count == 8


def test_what_was_derived_is_removed_with_the_clip(client: TestClient, studio: Studio, tmp_path: Path) -> None:
    view = upload(client, write_gif(tmp_path / "a.gif"))
    find_shots(client, view["sha256"])
    client.get(f"/api/clips/{view['sha256']}/video")
    assert len(list(studio.clips.folder.iterdir())) == 2
    studio.clips.remove_unused()
    assert len(list(studio.clips.folder.iterdir())) == 2
    studio.store.files.remove_except(())
    studio.clips.remove_unused()
    assert list(studio.clips.folder.iterdir()) == []


def test_form_has_the_options_of_clips(client: TestClient) -> None:
    form = client.get("/api/options").json()
    fields = {field["name"]: field for field in form["video"]}
    assert set(VideoOptions.model_fields) - set(fields) == {"seconds", "lossless"}
    assert not set(fields) & {field["name"] for field in form["fields"] + form["run"]}  # the page has one name space
    assert (fields["start"]["kind"], fields["keyframes"]["kind"], fields["loop"]["kind"]) == ("text", "text", "boolean")
    assert not [name for name, field in fields.items() if "--" in field["help"]]
    VideoOptions(**{name: field["default"] for name, field in fields.items()})


def test_closed_studio_ends_its_work(studio: Studio, tmp_path: Path) -> None:
    studio.clips.background.close()
    path = write_gif(tmp_path / "a.gif")
    sha256 = studio.store.files.add(path)
    with pytest.raises(Exception, match="being closed"):
        studio.shots.view(sha256)
    assert Fraction(open_clip(path).duration) == Fraction(8, 25)


# ---- Jobs ----------------------------------------------------------------------------------------


def clip_request(client: TestClient, clip: Path, painting: Path, **rest: Any) -> dict[str, Any]:
    content = upload(client, clip)
    style = client.post("/api/files", params={"name": painting.name}, content=painting.read_bytes()).json()
    return {
        "content": {"sha256": content["sha256"], "name": content["name"]},
        "styles": [{"sha256": style["sha256"], "name": style["name"]}],
        "config": {"size": 48, "iterations": 3, "scales": 1},
        "run": {"precision": "float32"},
        "video": {"frame_iterations": 2},
    } | rest


@pytest.mark.weights
def test_clip_is_painted_played_and_repeated(
    client: TestClient, studio: Studio, painting: Path, tmp_path: Path
) -> None:
    clip = write_scenes(tmp_path / "Two scenes.mp4")
    request = clip_request(client, clip, painting, video={"end": 0.4, "frame_iterations": 2})
    mask = io.BytesIO()
    Image.fromarray(np.eye(36, 48, dtype=np.uint8) * 255).save(mask, format="png")
    stored = client.post("/api/files", params={"name": "corner.png"}, content=mask.getvalue()).json()
    request["protect"] = {"sha256": stored["sha256"], "name": "corner.png"}
    response = client.post("/api/jobs", json=request)
    assert response.status_code == 201, response.text
    job = response.json()
    assert (job["state"], job["frames"], job["scales"]) == ("queued", [0, 10], [])
    assert job["video"] == {"end": 0.4, "frame_iterations": 2, "cuts": pytest.approx([0.26])}
    assert [picture["role"] for picture in job["inputs"]] == ["content", "style", "protect"]
    assert client.get(f"/api/jobs/{job['id']}/video").status_code == 409
    assert client.post(f"/api/jobs/{job['id']}/alpha", json={"alpha": 3}).status_code == 409
    worker = Worker(studio.store, "w")
    assert worker.run_one() is not None  # the first shot
    (running,) = client.get("/api/jobs").json()
    assert (running["state"], running["frames"][0]) in (("queued", 7), ("running", 7))
    while worker.run_one() is not None:
        pass
    finished = client.get(f"/api/jobs/{job['id']}").json()
    assert (finished["state"], finished["frames"], finished["error"]) == ("done", [10, 10], None)
    result = finished["result"]
    assert (result["frames"], result["duration_s"], result["width"], result["height"]) == (10, 0.4, 48, 36)
    thumbnail = Image.open(io.BytesIO(client.get(f"/api/jobs/{job['id']}/thumbnail?side=32").content))
    assert thumbnail.size == (32, 24)
    download = client.get(f"/api/jobs/{job['id']}/result")
    assert download.headers["content-disposition"] == f'attachment; filename="Two_scenes_swirl_{job["id"]}.mp4"'
    (tmp_path / "painted.mp4").write_bytes(download.content)
    assert open_clip(tmp_path / "painted.mp4").frame_count == 10
    assert client.get(f"/api/jobs/{job['id']}/video").content == download.content
    assert client.get(f"/api/jobs/{job['id']}/result?format=png").status_code == 409

    view = upload(client, tmp_path / "painted.mp4")
    assert view["recipe"] is True
    recipe = client.get(f"/api/clips/{view['sha256']}/recipe").json()
    assert recipe["available"] == ["content", "style", "protect"]
    assert recipe["inputs"] == finished["inputs"]
    assert recipe["video"] == finished["video"]
    again = {"config": recipe["overrides"], "video": recipe["video"]}
    assert client.post("/api/jobs", json=request | again).json()["video"] == finished["video"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"video": {"seconds": 3}}, "seconds cannot be set for a clip here"),
        ({"video": {"lossless": True}}, "lossless cannot be set for a clip here"),
        ({"video": {"evry": 2}}, "evry cannot be set for a clip here"),
        ({"video": {"every": 0}}, "every"),
        ({"video": {"start": 3, "end": 2}}, "is not after start"),
        ({"video": {"start": 9}}, "after the end of a.mp4, which lasts 0.48 s"),
        ({"video": {"keyframes": "size=2@0s"}}, "keyframes cannot change `size`"),
        ({"video": {"keyframes": "style-weights=1,2@0s"}}, "style_weights"),
        ({"video": {}, "content": {"sample": "cat"}}, "A sample is a picture, not a clip"),
        ({"video": None}, "unsupported format, video"),
        ({"video": {}, "config": {"print": "20x20mm"}}, "are for pictures, not for clips"),
        ({"video": {}, "config": {"size": 1_000_000}}, ""),
        ({"video": {"codec": "hevc"}, "config": {"size": 48}}, "hevc needs frames that are 64 px wide"),
        ({"video": {}, "init": {"sample": "cat"}, "config": {"init": "image"}}, "A clip has no start picture"),
    ],
)
def test_invalid_clip_request_is_a_one_line_error(
    client: TestClient, studio: Studio, tmp_path: Path, painting: Path, change: dict[str, Any], message: str
) -> None:
    request = clip_request(client, write_clip(tmp_path / "a.mp4", FRAMES), painting)
    response = client.post("/api/jobs", json=request | change)
    assert response.status_code in (409, 422), response.text
    error = response.json()["error"]
    assert message in error
    assert "--" not in error  # the page has fields, not flags
    assert "\n" not in error
    assert str(studio.store.folder) not in error
    assert studio.store.jobs() == []


def test_picture_is_no_clip_and_a_sketch_no_clip(client: TestClient, photo: Path, painting: Path) -> None:
    request = clip_request(client, write_clip(painting.with_name("b.mp4"), FRAMES), painting)
    response = client.post("/api/sketches", json=request)
    assert (response.status_code, "A sketch is a picture" in response.text) == (409, True)
    sha256 = client.post("/api/files", content=photo.read_bytes()).json()["sha256"]
    response = client.post("/api/jobs", json=request | {"content": {"sha256": sha256, "name": "cat.jpg"}})
    assert (response.status_code, response.json()["error"].count("cannot be read as a video")) == (422, 1)


def test_damaged_clip_is_painted_up_to_the_damage(client: TestClient, tmp_path: Path, painting: Path) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (1, 48, 64, 3), np.uint8).repeat(12, axis=0)
    path = write_clip(tmp_path / "a.mov", list(noise), codec="prores_ks", pixel_format="yuv422p10le")
    damage(path, 8)
    request = clip_request(client, path, painting)
    response = client.post("/api/jobs", json=request)
    assert response.status_code == 422
    assert "frame 9 (at 0.32 s) is damaged" in response.json()["error"]
    assert "--" not in response.json()["error"]
    response = client.post("/api/jobs", json=request | {"video": {"end": 0.32}})
    assert response.json()["frames"] == [0, 8]


@pytest.mark.weights
def test_clip_that_fails_keeps_its_frames_and_shows_no_paths(
    client: TestClient, studio: Studio, tmp_path: Path, painting: Path
) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (1, 48, 64, 3), np.uint8).repeat(5, axis=0)
    path = write_clip(tmp_path / "a.mov", list(noise), codec="prores_ks", pixel_format="yuv422p10le")
    damage(path, 3)
    content = studio.store.files.add(path)
    named = NamedImage("絵" * 200 + ".mov", studio.store.files.path(content))
    inputs = Inputs(content=named, styles=(painting,))
    config = Config(size=48, iterations=1, scales=1)
    job = submit_clip(studio.store, inputs, config, RunOptions(), VideoOptions(cuts=(), frame_iterations=1))
    Worker(studio.store, "w").run_one()
    view = client.get(f"/api/jobs/{job.id}").json()
    assert view["state"] == "failed"
    assert view["error"].endswith("repair the file. 3 of 5 frames are done.")
    assert (view["error"][0], str(studio.store.folder) in view["error"]) == ("絵", False)
    assert view["result"]["frames"] == 3
    (tmp_path / "part.mp4").write_bytes(client.get(f"/api/jobs/{job.id}/result").content)
    assert open_clip(tmp_path / "part.mp4").frame_count == 3


def test_time_left_counts_the_first_frame_of_a_shot_as_more(tmp_path: Path) -> None:
    store = JobStore(tmp_path)
    video = VideoOptions(cuts=()).model_dump(mode="json")
    store.add({"alpha": 5.0, "iterations": 60}, {}, key="k", video=video, shots=[range(21)])
    claim = store.claim("w")
    assert claim is not None
    store.save_frames(claim, FramesDone((0, 21), 5.0))
    assert JobView.of(store.get(1)).remaining_s is None
    store.save_frames(claim, FramesDone((1, 21), 40.0))  # 60 steps of three sizes are as much as four frames of 20
    assert JobView.of(store.get(1)).remaining_s == pytest.approx(200)
    store.save_frames(claim, FramesDone((11, 21), 140.0))
    assert JobView.of(store.get(1)).remaining_s == pytest.approx(100)
