"""Clips in the queue and in batches: shots as jobs, interruptions, damaged frames, bad input."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders.clips import damage
from builders.clips import write_clip as encode_clip
from builders.pixels import textured_scene
from numpy.typing import NDArray
from PIL import Image

import impasto
from impasto.cli import main
from impasto.clips import ClipWriter, open_clip
from impasto.clips.api import build_clip, frame_folder_of
from impasto.clips.clip_run import ClipRun
from impasto.clips.frames import to_frame
from impasto.clips.recorded import read_clip_recipe
from impasto.config import Config, Inputs, RunOptions
from impasto.config.video import VideoOptions
from impasto.core.method import Progress
from impasto.errors import ConfigError, OutputError, VideoError
from impasto.jobs import Job, JobError, JobStore
from impasto.jobs.clips import submit_clip
from impasto.jobs.leases import LEASE_S
from impasto.jobs.model import FramesDone, PlanChosen
from impasto.jobs.submit import set_job_alpha
from impasto.jobs.worker import Worker, save_update
from impasto.studio.schemas import JobView

Frame = NDArray[np.uint8]

CONFIG = Config(size=64, iterations=4, content_layers="relu2_1", style_layers="relu1_1,relu2_1")
RUN = RunOptions(precision="float32", threads=1)
VIDEO = VideoOptions(frame_iterations=3)
HEVC = VideoOptions(codec="hevc")
FLAGS = ["--size", "64", "--iterations", "4", "--frame-iterations", "3", "--precision", "float32"]
FLAGS += ["--content-layers", "relu2_1", "--style-layers", "relu1_1,relu2_1"]  # deeper ones take five times as long

INPUTS = {"content": {"name": "clip.mp4", "sha256": "0" * 64}}
SHOTS = (range(4), range(4, 6))


def write_clip(path: Path, frames: list[Frame]) -> Path:
    with ClipWriter(path, frames[0].shape[:2], Fraction(10), lossless=True) as writer:
        for frame in frames:
            writer.write(frame)
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Write a clip of two shots: three frames of a pan, and two of another scene."""
    scene = textured_scene(64, 140)
    other = np.ascontiguousarray(255 - scene[::-1])
    frames = [scene[:48, x : x + 64] for x in (0, 2, 4)] + [other[:48, x : x + 64] for x in (60, 62)]
    return write_clip(tmp_path / "clip.mkv", frames)


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "queue")


def read_frames(path: Path) -> list[Frame]:
    return [to_frame(pixels) for pixels in open_clip(path).frames()]


def add_clip(store: JobStore) -> Job:
    """Add a clip of two shots, without files."""
    return store.add({"alpha": 5.0}, INPUTS, key="k", video={}, shots=SHOTS)


def drain(store: JobStore, **options: Any) -> list[Job]:
    """Paint everything that is ready."""
    worker, painted = Worker(store, "worker", **options), []
    while (job := worker.run_one()) is not None:
        painted.append(job)
    return painted


def test_a_clip_waits_for_its_shots_and_shows_their_progress(tmp_path: Path) -> None:
    now = [1e6]
    store = JobStore(tmp_path / "queue", clock=lambda: now[0])
    clip = add_clip(store)
    assert (clip.frames, [job.id for job in store.jobs()], store.count_queued()) == ([0, 6], [clip.id], 1)
    first, second = store.claim("a"), store.claim("b")
    assert first is not None
    assert second is not None
    assert [(claim.job.clip, claim.job.shot) for claim in (first, second)] == [(clip.id, [0, 4]), (clip.id, [4, 6])]
    assert store.claim("c") is None
    now[0] += 5
    store.save_frames(first, FramesDone((3, 4), 5.0))
    store.save_frames(second, FramesDone((1, 2), 2.0))
    shown = store.changes_since(-1).jobs
    assert [(job.id, job.state, job.frames, job.elapsed_s) for job in shown] == [(clip.id, "running", [4, 6], 5.0)]
    store.finish(first, {"frames": 4})
    assert store.get(clip.id).state == "running"
    store.fail(second, "too dark")
    assert store.get(clip.id).state == "queued"
    last = store.claim("c")
    assert last is not None
    assert last.job.id == clip.id


def test_the_time_of_a_clip_is_that_which_passes_while_several_workers_paint_it(tmp_path: Path) -> None:
    now = [1e6]
    store = JobStore(tmp_path / "queue", clock=lambda: now[0])
    video = VideoOptions(frame_iterations=20).model_dump(mode="json")
    clip = store.add({"alpha": 5.0, "iterations": 20}, INPUTS, key="k", video=video, shots=(range(10), range(10, 20)))
    first, second = store.claim("a"), store.claim("b")
    assert first is not None
    assert second is not None
    for done in range(1, 6):  # a frame of each shot in ten seconds
        now[0] += 10
        store.save_frames(first, FramesDone((done, 10), 10.0 * done))
        store.save_frames(second, FramesDone((done, 10), 10.0 * done))
    assert store.get(clip.id).elapsed_s == pytest.approx(50)
    assert JobView.of(store.get(clip.id)).remaining_s == pytest.approx(50, rel=0.1)
    store.pause(clip.id)
    store.release(first)
    store.release(second)
    now[0] += 1e4
    store.resume(clip.id)
    again = store.claim("a")
    assert again is not None
    now[0] += 10
    store.save_frames(again, FramesDone((6, 10), 60.0))
    now[0] += 1e4  # the worker died, and its lease expired hours ago
    assert store.claim("b") is not None
    assert store.get(clip.id).elapsed_s == pytest.approx(60 + LEASE_S)


def test_a_lost_worker_costs_its_shot_no_frame_and_the_clip_nothing(tmp_path: Path) -> None:
    now = [1e6]
    store = JobStore(tmp_path / "queue", clock=lambda: now[0])
    clip = add_clip(store)
    first = store.claim("a")
    now[0] += 1e4
    assert store.get(clip.id).state == "running"
    again = store.claim("b")
    assert first is not None
    assert again is not None
    assert again.job.id == first.job.id  # and not the clip, which has no lease


def test_commands_to_a_clip_reach_its_shots(store: JobStore) -> None:
    clip = add_clip(store)
    running = store.claim("a")
    assert running is not None
    store.pause(clip.id)
    assert store.renew(running).pause
    store.release(running)
    assert (store.get(clip.id).state, store.claim("a")) == ("queued", None)
    store.resume(clip.id)
    running = store.claim("a")
    assert running is not None
    store.cancel(clip.id)
    assert store.renew(running).cancel
    store.release(running)
    assert (store.get(clip.id).state, store.claim("a")) == ("cancelled", None)
    store.retry(clip.id)
    assert store.claim("a") is not None
    with pytest.raises(JobError, match="is running"):
        store.remove(clip.id)
    with pytest.raises(JobError, match="Use keyframes instead"):
        set_job_alpha(store, clip.id, 2.0)


def test_all_shots_have_the_plan_of_the_first(store: JobStore) -> None:
    add_clip(store)
    first, second = store.claim("a"), store.claim("b")
    assert first is not None
    assert second is not None
    command = save_update(store, first, PlanChosen({"threads": 1}))
    assert command is not None
    assert not command.pause
    command = save_update(store, second, PlanChosen({"threads": 2}))
    assert command is not None
    assert command.pause
    store.release(second)
    again = store.claim("b")
    assert again is not None
    assert again.job.plan == {"threads": 1}


def test_full_disk_is_reported_before_the_first_frame(
    store: JobStore, clip: Path, painting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    files = Inputs(content=clip, styles=(painting,))
    submit_clip(store, files, CONFIG, RUN, VIDEO)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6 - 10**4, 10**4))
    needed = "frames of 64x48 px, 5 to paint, need up to 46.1 kB of disk, but only 10.0 kB are free"
    with pytest.raises(OutputError, match=needed):
        submit_clip(store, files, CONFIG, RUN, VIDEO, output=str(tmp_path / "second.mp4"))
    output = tmp_path / "out.mp4"
    assert main(["video", str(clip), str(painting), *FLAGS, "-o", str(output)]) == 2
    assert needed in " ".join(capsys.readouterr().err.split())
    assert not frame_folder_of(output).exists()
    [*shots, whole] = drain(store)
    assert [job.state for job in (*shots, whole)] == ["failed"] * 3
    assert "5 to paint" in str(whole.error)


@pytest.mark.weights
def test_jobs_paint_the_frames_that_the_command_paints(
    store: JobStore, clip: Path, painting: Path, tmp_path: Path
) -> None:
    expected = impasto.video(
        clip, painting, tmp_path / "expected.mp4", CONFIG, frame_iterations=3, precision="float32", threads=1
    )
    output = tmp_path / "out.mp4"
    job = submit_clip(store, Inputs(content=clip, styles=(painting,)), CONFIG, RUN, VIDEO, output=str(output))
    painted = drain(store)
    assert [(each.shot, each.state, each.frames) for each in painted] == [
        ([0, 3], "done", [3, 3]),
        ([3, 5], "done", [2, 2]),
        (None, "done", [5, 5]),
    ]
    assert output.read_bytes() == store.files.path(painted[-1].result["sha256"]).read_bytes()  # type: ignore[index]
    for found, wanted in zip(read_frames(output), read_frames(expected), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert not store.frame_folder(job.id).exists()
    again = tmp_path / "again.mp4"
    assert main(["reproduce", str(output), "-o", str(again), "--content", str(clip), "--style", str(painting)]) == 0
    np.testing.assert_array_equal(read_frames(again), read_frames(output))
    store.remove(job.id)
    assert store.verify() == []


def write_frames(folder: Path, frames: list[Frame]) -> Path:
    folder.mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{number:04}.png")
    return folder


@pytest.mark.weights
def test_numbered_frames_are_queued_as_clips(painting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scene = textured_scene(64, 140)
    frames = write_frames(Path("frames"), [scene[:48, x : x + 64] for x in (0, 2)])
    masks = write_frames(Path("masks"), [np.eye(48, 64, number, dtype=np.uint8) * 255 for number in range(2)])
    given = ["--protect", str(masks), *FLAGS, "--cuts", "0.02"]
    assert main(["video", str(frames), str(painting), *given, "-o", "expected.mkv", "--lossless", "--quiet"]) == 0
    data, output = ["--data-dir", "queue"], tmp_path / "out.mkv"
    command = ["jobs", "add", "frames/%04d.png", str(painting), *given, "-o", str(output), "--lossless"]
    assert main([*command, *data]) == 0
    shutil.rmtree(frames)
    assert [job.state for job in drain(JobStore(Path("queue")))] == ["done"] * 3
    np.testing.assert_array_equal(read_frames(output), read_frames(Path("expected.mkv")))
    recorded = [read_clip_recipe(path)["inputs"] for path in (output, Path("expected.mkv"))]
    assert recorded[0]["content"]["sha256"] == recorded[1]["content"]["sha256"]
    assert recorded[0]["protect"] == recorded[1]["protect"]


@pytest.mark.weights
def test_rows_of_a_batch_may_be_numbered_frames(painting: Path, tmp_path: Path) -> None:
    scene = textured_scene(64, 140)
    write_frames(tmp_path / "frames", [scene[:48, x : x + 64] for x in (0, 2)])
    table, output = tmp_path / "pairs.csv", tmp_path / "out"
    table.write_text(f"content,style\nframes/,{painting.resolve()}\nframes/*.jpg,{painting.resolve()}\n")
    report = impasto.batch(pairs=table, output=output, config=CONFIG, precision="float32", names="{number}.mkv")
    assert [path.name for path in report.painted] == ["00001.mkv"]
    assert len(read_frames(output / "00001.mkv")) == 2
    (error,) = report.failed.values()
    assert "there are no pictures" in error


@pytest.mark.weights
def test_a_paused_clip_continues_with_its_frames(store: JobStore, clip: Path, painting: Path) -> None:
    files = Inputs(content=clip, styles=(painting,))
    job = submit_clip(store, files, CONFIG, RUN, VIDEO.model_copy(update={"cuts": ()}))
    assert store.claim("nobody") is not None  # one shot needs no other jobs
    store.expire_worker("nobody")
    seen: list[int] = []

    def pause_in_second_frame(running: Job, progress: Progress) -> None:
        seen.append(progress.step)
        if len(seen) == 6:
            worker.stopping = True

    worker = Worker(store, "worker", observer=pause_in_second_frame)
    stopped = worker.run_one()
    assert stopped is not None
    assert stopped.state == "queued"
    kept = len(list(store.frame_folder(job.id).iterdir()))
    assert 0 < kept < 5
    seen.clear()
    (done,) = drain(store, observer=lambda running, progress: seen.append(progress.step))
    assert (done.state, done.result["frames"]) == ("done", 5)  # type: ignore[index]
    assert len(seen) == 3 * (5 - kept)


@pytest.mark.weights
def test_a_damaged_frame_keeps_those_before_it(store: JobStore, painting: Path, tmp_path: Path) -> None:
    scene = textured_scene(64, 140)
    path = tmp_path / "clip.mp4"
    encoder = {"bf": "0", "g": "4"}
    encode_clip(path, [scene[:48, x : x + 64] for x in range(0, 24, 2)], options=encoder)
    damage(path, 5)
    output = tmp_path / "out.mp4"
    submit_clip(store, Inputs(content=path, styles=(painting,)), CONFIG, RUN, VIDEO, output=str(output))
    (job,) = drain(store)
    assert job.state == "failed"
    assert job.error is not None
    assert "frames are done." in job.error
    assert "\n" not in job.error
    assert job.result is not None
    playable = store.files.path(job.result["sha256"])
    assert len(read_frames(playable)) == job.result["frames"] == 5
    assert not output.exists()  # only a whole clip goes there


@pytest.mark.weights
def test_a_batch_takes_clips_and_pictures(clip: Path, photo: Path, painting: Path, tmp_path: Path) -> None:
    contents, output = tmp_path / "contents", tmp_path / "out"
    contents.mkdir()
    shutil.copy(clip, contents / "clip.mkv")
    shutil.copy(photo, contents / "cat.jpg")
    (contents / "broken.mp4").write_text("not a clip")
    report = impasto.batch(
        contents, painting, output, config=CONFIG, frame_iterations=3, precision="float32", workers=2
    )
    assert sorted(path.name for path in report.painted) == ["cat_swirl.png", "clip_swirl.mp4"]
    (error,) = report.failed.values()
    assert error.startswith("broken.mp4 cannot be read as a video")
    assert len(read_frames(output / "clip_swirl.mp4")) == 5
    assert '<video src="clip_swirl.mp4"' in (output / "index.html").read_text()
    again = impasto.batch(contents, painting, output, config=CONFIG, frame_iterations=3, precision="float32")
    assert (len(again.painted), len(again.existing), len(again.failed)) == (0, 2, 1)


def test_a_dry_run_plans_each_clip_once(
    clip: Path, painting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    built: list[Path] = []

    def count(path: Path, *arguments: Any, **options: Any) -> ClipRun:
        built.append(Path(path))
        return build_clip(path, *arguments, **options)

    monkeypatch.setattr("impasto.jobs.capacity.build_clip", count)
    arguments = ["batch", str(clip), "--styles", str(painting), "-o", str(tmp_path / "out"), *FLAGS, "--json"]
    assert main([*arguments, "--dry-run"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert built == [clip]
    assert (report["missing"], report["failed"]) == (1, [])


def test_a_batch_with_clips_says_what_they_need(
    clip: Path, photo: Path, painting: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    needs = r"clip.mkv is to be painted as a clip, which needs OpenCV. Run pip install .*leave clips out: .*\*.jpg"
    with pytest.raises(VideoError, match=needs):
        impasto.batch([photo, clip], painting, tmp_path / "out", config=CONFIG)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.weights
def test_pairs_have_options_of_clips(clip: Path, painting: Path, tmp_path: Path) -> None:
    table, output = tmp_path / "pairs.csv", tmp_path / "out"
    table.write_text(f"content,style,end,alpha\n{clip},{painting},0.2,2\n{clip},{painting},0.3,\n")
    names = ["--names", "{end}_{alpha}.mkv"]
    assert main(["batch", "--pairs", str(table), "-o", str(output), *FLAGS, *names, "--quiet"]) == 0
    assert {path.name: len(read_frames(path)) for path in output.glob("*.mkv")} == {"0.2_2.mkv": 2, "0.3_5.mkv": 3}


def test_bad_input_is_refused_before_anything_is_stored(store: JobStore, clip: Path, painting: Path) -> None:
    files = Inputs(content=clip, styles=(painting,))
    for change, error, message in (
        ({"config": Config(panorama=True)}, ConfigError, "for pictures, not for clips"),
        ({"output": "folder"}, JobError, "would be a folder"),
        ({"output": "out.xyz"}, OutputError, "xyz"),
        ({"video": VideoOptions(keyframes="alpha=-1@1s")}, ConfigError, "alpha = -1.0 is refused"),
        ({"video": VideoOptions(keyframes="style-weights=1,0@0s")}, ConfigError, "style_weights 2 values for 1 style"),
        ({"config": Config(size=62), "video": HEVC}, ConfigError, "clip.mp4: hevc needs frames that are 64 px wide"),
        (
            {"config": Config(size=62), "video": HEVC, "output": "a.mov"},
            ConfigError,
            "a.mov: hevc needs .* these are 62",
        ),
        ({"video": VideoOptions(start=60)}, VideoError, "is after the end of clip.mkv"),
    ):
        given: dict[str, Any] = {"config": CONFIG, "run": RUN, "video": VIDEO, **change}
        with pytest.raises(error, match=message):
            submit_clip(store, files, **given)
    assert store.jobs() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["clip.mkv", "painting.png", "--bits", "16"], "bits is an option of pictures, and clip.mkv is a clip."),
        (["photo.jpg", "painting.png", "--every", "2"], "every is an option of clips, and photo.jpg is a picture."),
        (["missing.mp4", "painting.png"], "missing.mp4"),
    ],
)
def test_options_of_the_other_kind_are_one_line(
    clip: Path, desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: list[str], message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(desk)
    assert main(["jobs", "add", *arguments, "--data-dir", "queue"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", ["clip.gif", "clip.webp"])
def test_animations_are_clips_in_the_queue(desk: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Files of the queue have no suffix to tell them by."""
    monkeypatch.chdir(desk)
    frames = [Image.new("RGB", (64, 48), color) for color in ("red", "blue")]
    frames[0].save(name, save_all=True, append_images=frames[1:])
    assert main(["jobs", "add", name, "painting.png", "--size", "64", "--data-dir", "queue"]) == 0
    (job,) = JobStore(Path("queue")).jobs()
    assert job.frames == [0, 2]


@pytest.mark.weights
def test_queue_and_batch_paint_pictures_without_the_extra(desk: Path) -> None:
    script = (
        "import sys; sys.modules['cv2'] = sys.modules['av'] = None\n"
        "import impasto.studio.app\n"
        "from impasto.cli import main\n"
        "assert main(['jobs', 'add', 'photo.jpg', 'painting.png', '-o', 'out.png', *sys.argv[1:]]) == 0\n"
        "assert main(['jobs', 'worker', '--drain', '--data-dir', 'queue']) == 0\n"
        "sys.exit(main(['jobs', 'add', 'clip.gif', 'painting.png', *sys.argv[1:]]))\n"
    )
    frames = [Image.new("RGB", (64, 48), color) for color in ("red", "blue")]
    frames[0].save(desk / "clip.gif", save_all=True, append_images=frames[1:])
    command = [sys.executable, "-c", script, "--size", "64", "--iterations", "2", "--data-dir", "queue"]
    process = subprocess.run(command, cwd=desk, capture_output=True, text=True, check=False)
    assert process.returncode == 2, process.stderr
    assert (desk / "out.png").exists()
    assert process.stderr.splitlines()[-1].endswith("Run pip install 'impasto[video]'.")


def test_the_same_frames_become_the_same_file(tmp_path: Path) -> None:
    scene = textured_scene(200, 400)
    other = np.ascontiguousarray(255 - scene[::-1])
    frames = [part[:66, x : x + 160] for part in (scene, other) for x in range(0, 16, 2)]
    files = set()
    for _ in range(12):
        with ClipWriter(tmp_path / "out.mp4", (66, 160), Fraction(25)) as writer:
            for frame in frames:
                writer.write(frame)
        files.add((tmp_path / "out.mp4").read_bytes())
    assert len(files) == 1
