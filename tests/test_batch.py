"""Batches: pairs, sweeps, masks, failures, resuming and the HTML index."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from builders.pages import WatchedPage
from builders.pixels import read_pixels
from builders.processes import Program
from builders.slow_steps import NAME, set_slow
from builders.waiting import wait_until
from PIL import Image
from rich.console import Console

import impasto
from impasto import images
from impasto.cli import main, progress
from impasto.config import Config, RunOptions
from impasto.distributed import Cluster
from impasto.errors import ConfigError
from impasto.jobs import JobStore
from impasto.jobs.batch_jobs import BatchJobs
from impasto.jobs.batch_plan import BatchItem, read_pairs, split_options
from impasto.jobs.batch_report import BatchReport, write_index
from impasto.jobs.capacity import max_workers, select_gpus, threads_per_worker
from impasto.samples import photo_path

ALPHA = f"{Config().alpha:g}"

LAYERS = ["--content-layers", "relu2_1", "--style-layers", "relu1_1,relu2_1"]
"""All layers would take five times as long."""

SMALL = ["--size", "64", "--iterations", "3", "--precision", "float32", *LAYERS]
STEPS = ["--iterations", "5", "--workers", "1", "--style-loss", NAME]
"""Options of a batch that is stopped, and whose steps wait until then."""


def make_folders(folder: Path, photo: Path, painting: Path) -> None:
    """Make a folder of two photos and one of two paintings."""
    for name in ("photos", "paintings"):
        (folder / name).mkdir()
    shutil.copy(photo, folder / "photos" / "cat.jpg")
    shutil.copy(painting, folder / "photos" / "dog.png")
    shutil.copy(painting, folder / "paintings" / "swirl.png")
    shutil.copy(photo_path("cat"), folder / "paintings" / "fur.jpg")


@pytest.fixture(autouse=True)
def _at_the_desk(tmp_path: Path, photo: Path, painting: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder with these, and with files that are no pictures."""
    make_folders(tmp_path, photo, painting)
    (tmp_path / "photos" / "notes.txt").write_text("not a picture")
    (tmp_path / "photos" / ".hidden.jpg").write_bytes(b"")
    monkeypatch.chdir(tmp_path)


def run_batch(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0, workers: int = 1) -> Any:
    options = [*SMALL, "-o", "out", "--json", "--quiet", "--workers", str(workers)]
    assert main(["batch", *arguments, *options]) == status
    return json.loads(capsys.readouterr().out)


ALL_PAIRS = ["photos", "--styles", "paintings"]
NAMES = ["cat_fur.png", "cat_swirl.png", "dog_fur.png", "dog_swirl.png"]


def read_pictures() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path("out").glob("*.png"))}


@pytest.mark.slow
@pytest.mark.weights
def test_paints_each_pair_once_then_only_missing_ones(capsys: pytest.CaptureFixture[str]) -> None:
    report = run_batch(capsys, *ALL_PAIRS, workers=2)
    assert (report["done"], report["skipped"], report["failed"]) == (4, 0, [])
    assert sorted(report["outputs"]) == [f"out/{name}" for name in NAMES]
    before = read_pictures()
    assert list(before) == NAMES
    recipe = impasto.read_recipe(Path("out/dog_swirl.png"))
    assert [recipe.inputs[role].name for role in ("content", "style")] == ["dog.png", "swirl.png"]
    Path("out/cat_fur.png").unlink()  # the queue still stores its picture
    shutil.copy("photos/cat.jpg", "photos/new.jpg")
    second_report = run_batch(capsys, *ALL_PAIRS)
    # The new photo has the same content as an old one.
    assert (second_report["done"], second_report["skipped"]) == (0, 6)
    assert {name: read_pictures()[name] for name in NAMES} == before
    assert read_pictures()["new_fur.png"] == before["cat_fur.png"]
    Path("photos/new.jpg").unlink()
    sweep_report = run_batch(capsys, *ALL_PAIRS, "--sweep", f"alpha=0.5,{ALPHA}")
    assert (sweep_report["done"], sweep_report["skipped"]) == (4, 4)  # those with the default α exist


@pytest.mark.weights
def test_unreadable_input_fails_alone(capsys: pytest.CaptureFixture[str]) -> None:
    Path("photos/bad.jpg").write_bytes(b"\xff\xd8\xff and no picture at all")
    jpeg = Path("photos/cat.jpg").read_bytes()
    Path("photos/cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    first = run_batch(capsys, "photos", "--styles", "paintings/swirl.png", status=1)
    assert (first["done"], [failure["output"] for failure in first["failed"]]) == (
        2,
        ["out/bad_swirl.png", "out/cut_swirl.png"],
    )
    assert all("bad.jpg" in failure["error"] or "cut.jpg" in failure["error"] for failure in first["failed"])
    again = run_batch(capsys, "photos", "--styles", "paintings/swirl.png", status=1)
    assert (again["done"], again["skipped"], len(again["failed"])) == (0, 2, 2)
    assert "--retry" in again["failed"][0]["error"]
    retried = run_batch(capsys, "photos", "--styles", "paintings/swirl.png", "--retry", status=1)
    assert (retried["skipped"], len(retried["failed"])) == (2, 2)
    assert "--retry" not in retried["failed"][0]["error"]  # it was retried
    Path("photos/bad.jpg").unlink()
    shutil.copy("photos/dog.png", "photos/cut.jpg")  # replaced by a valid image
    mended = run_batch(capsys, "photos", "--styles", "paintings/swirl.png")
    assert (mended["done"], mended["skipped"], mended["failed"]) == (0, 3, [])


@pytest.mark.weights
def test_pairs_file_sets_options_per_row(capsys: pytest.CaptureFixture[str]) -> None:
    Path("lists").mkdir()
    Path("lists/pairs.csv").write_text(
        "content,style,alpha,style_2,style-weights,protect,init\n"
        '../photos/cat.jpg,sample:ink,20,../paintings/swirl.png,"2,1",../masks/{content}.png,content\n'
        "../photos/dog.png,../paintings/fur.jpg,,,,,../photos/cat.jpg\n"
    )
    write_masks("cat")
    report = run_batch(capsys, "--pairs", "lists/pairs.csv", "--names", "{number}_{content}_{alpha}_{init}.jpg")
    assert sorted(report["outputs"]) == ["out/00001_cat_20_content.jpg", f"out/00002_dog_{ALPHA}_cat.jpg"]
    first, second = (impasto.read_recipe(Path(output)) for output in sorted(report["outputs"]))
    assert first.config.alpha == 20
    assert [(role, record.name) for role, record in first.inputs.items()] == [
        ("content", "cat.jpg"),
        ("style", "sample:ink"),
        ("style_2", "swirl.png"),
        ("protect", "cat.png"),
    ]
    assert (second.config.init, second.inputs["init"].name) == ("image", "cat.jpg")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_pairs_file_may_come_from_any_spreadsheet(tmp_path: Path, encoding: str, separator: str) -> None:
    path = tmp_path / "pairs.csv"
    rows = [["content", "style", "style-weights"], ["café.jpg", "ink.png", '"2,1"' if separator == "," else "2,1"]]
    path.write_text("\r\n".join(map(separator.join, rows)), encoding=encoding)
    expected = (str(tmp_path / "café.jpg"), str(tmp_path / "ink.png"), {"style_weights": "2,1"})
    assert read_pairs(path) == [expected]


def write_masks(*names: str) -> None:
    """Write masks that cover the upper half of photos."""
    Path("masks").mkdir(exist_ok=True)
    for name in names:
        photo = next(Path("photos").glob(f"{name}.*"))
        mask = np.zeros(read_pixels(photo).shape[:2], dtype=np.uint8)
        mask[: len(mask) // 2] = 255
        Image.fromarray(mask).save(f"masks/{name}.png")


def test_sources_may_be_paths() -> None:
    sources, _ = split_options("cat.jpg", "ink.png", {"weights": Path("own.safetensors"), "protect": "m/{content}.png"})
    assert (sources["weights"], sources["protect"]) == ("own.safetensors", "m/cat.png")


@pytest.mark.weights
def test_mask_per_picture_and_missing_mask_fails_alone(capsys: pytest.CaptureFixture[str]) -> None:
    write_masks("cat")
    arguments = ["photos", "--styles", "paintings/swirl.png", "--protect", "masks/{content}.png"]
    run_batch(capsys, *arguments, "--dry-run")
    first = run_batch(capsys, *arguments, status=1)
    assert (first["done"], [failure["output"] for failure in first["failed"]]) == (1, ["out/dog_swirl.png"])
    assert "masks/dog.png" in first["failed"][0]["error"]
    recipe = impasto.read_recipe(Path("out/cat_swirl.png"))
    assert recipe.inputs["protect"].name == "cat.png"
    difference = np.abs(read_pixels(Path("out/cat_swirl.png")).astype(int) - resized_photo("photos/cat.jpg")).mean(
        axis=(1, 2)
    )
    assert difference[:20].max() < 1 < difference[24:].min()
    inputs = ["--content", "photos/cat.jpg", "--style", "paintings/swirl.png", "--protect", "masks/cat.png"]
    assert main(["reproduce", "out/cat_swirl.png", *inputs, "-o", "again.png", "--quiet"]) == 0
    assert Path("again.png").read_bytes() == Path("out/cat_swirl.png").read_bytes()
    capsys.readouterr()
    shutil.copy("photos/dog.png", "masks/cat.png")  # another mask gives another picture
    again = run_batch(capsys, *arguments, status=1)
    assert "another picture" in again["failed"][0]["error"]


def resized_photo(path: str) -> Any:
    """Return a photo at the size of the output."""
    loaded = images.load(Path(path), long_side_px=64).pixels[0].permute(1, 2, 0)
    return (loaded * 255).round().int().numpy()


def test_dry_run_reports_missing_masks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_masks("cat")
    shutil.copy("masks/cat.png", "masks/swirl.png")
    arguments = ["photos", "--styles", "paintings/swirl.png", "sample:ink", "--content-mask", "masks/{content}.png"]
    report = run_batch(capsys, *arguments, "--style-mask", "masks/{style}.png", "--dry-run")
    assert report["outputs"] == ["out/cat_swirl.png"]
    assert [(failure["output"], failure["error"].rpartition(" ")[2]) for failure in report["failed"]] == [
        ("out/cat_ink.png", "masks/ink.png"),
        ("out/dog_swirl.png", "masks/dog.png"),
        ("out/dog_ink.png", "masks/dog.png"),
    ]


def batch_of(*names: str, folder: str = "out", **run: Any) -> BatchJobs:
    """Build a batch with one style from the names of its outputs."""
    Path(folder).mkdir(exist_ok=True)
    style = "paintings/swirl.png"
    items = [
        BatchItem({"content": f"photos/{name.partition('.')[0]}.jpg", "style": style}, Config(), Path(folder, name))
        for name in names
    ]
    return BatchJobs(JobStore(Path("queue")), items, RunOptions(**run))


def paint_all(batch: BatchJobs) -> int:
    """Finish the jobs of a batch without painting and return their number."""
    count = 0
    while (claim := batch.store.claim("nobody")) is not None:
        count += 1
        painting = Path("paintings/fur.jpg")
        shutil.copy(painting, str(claim.job.output))
        batch.store.finish(claim, {"sha256": batch.store.files.add(painting), "losses": {"content": 1.0}})
    batch.refresh()
    return count


def test_identical_pictures_are_painted_once() -> None:
    shutil.copy("photos/cat.jpg", "photos/same.jpg")
    batch = batch_of("cat.png", "same.png")
    batch.enqueue()
    assert [path.name for path in batch.report.painted] == []
    assert paint_all(batch) == 1
    assert [path.name for path in batch.report.painted] == ["cat.png", "same.png"]
    assert batch.report.failed == {}
    assert batch.report.duplicates == {Path("out/same.png"): Path("out/cat.png")}
    assert Path("out/same.png").read_bytes() == Path("out/cat.png").read_bytes()
    assert batch.report.losses[Path("out/same.png")] == {"content": 1.0}
    again = batch_of("cat.png", "same.png")
    again.enqueue()
    assert (len(again.report.existing), again.jobs, again.report.duplicates) == (2, {}, batch.report.duplicates)


def test_calls_share_jobs_and_failures() -> None:
    shutil.copy("photos/cat.jpg", "photos/same.jpg")
    first, second = batch_of("cat.png"), batch_of("same.png")
    first.enqueue()
    second.enqueue()
    assert list(first.jobs) == list(second.jobs) == [1]
    claim = first.store.claim("nobody")
    assert claim is not None
    first.store.fail(claim, "out of memory")
    second.refresh()
    assert second.report.failed == {Path("out/same.png"): "out of memory"}
    for retry, jobs in ((False, []), (True, [1])):
        both = batch_of("cat.png", "same.png")
        both.enqueue(retry=retry)
        assert list(both.jobs) == jobs
        assert len(both.report.failed) == (0 if retry else 2)
    assert paint_all(both) == 1
    assert len(both.report.painted) == 2


def test_format_and_bit_depth_make_another_file() -> None:
    for count, batch in enumerate(
        [batch_of("cat.png"), batch_of("cat.jpg"), batch_of("cat.png", folder="deep", bits=16)], start=1
    ):
        batch.enqueue()
        assert paint_all(batch) == 1
        assert len(batch.store.jobs()) == count
    coarse = batch_of("cat.png", folder="coarse", quality=50)  # quality does not affect a PNG
    coarse.enqueue()
    assert len(coarse.report.existing) == 1


def test_sweep_outputs_are_named_by_their_values(capsys: pytest.CaptureFixture[str]) -> None:
    report = run_batch(capsys, "photos/cat.jpg", "--styles", "sample:ink", "--sweep", "alpha=1,2.5,1", "--dry-run")
    assert report["outputs"] == ["out/cat_ink_alpha1.png", "out/cat_ink_alpha2.5.png"]
    assert (report["total"], report["missing"]) == (2, 2)
    assert report["seconds"] >= 0
    assert not list(Path("out").glob("*.png"))


@pytest.mark.weights
def test_never_overwrites_an_existing_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("out").mkdir()
    shutil.copy("photos/dog.png", "out/cat_swirl.png")
    before = Path("out/cat_swirl.png").read_bytes()
    report = run_batch(capsys, "photos/cat.jpg", "--styles", "paintings", status=1)
    assert report["done"] == 1
    assert "another picture" in report["failed"][0]["error"]
    assert Path("out/cat_swirl.png").read_bytes() == before


def start_batch(*arguments: str, environment: dict[str, str] | None = None) -> Program:
    options = ["--size", "64", "--precision", "float32", *LAYERS, "-o", "out", "--json"]
    command = [sys.executable, "-m", "impasto", "batch", *arguments, *options]
    environment = os.environ | (environment or {})
    return Program(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, photo: Path, painting: Path, slow_steps: dict[str, str]
) -> dict[str, bytes]:
    """Return the pictures of an uninterrupted batch."""
    folder = tmp_path_factory.mktemp("undisturbed")
    make_folders(folder, photo, painting)
    with contextlib.chdir(folder), start_batch(*ALL_PAIRS, *STEPS, environment=slow_steps) as process:
        process.communicate(timeout=300)
        return read_pictures()


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.xdist_group("batch")
@pytest.mark.usefixtures("slow_loss")
@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT])
def test_stopped_batch_resumes_to_the_same_bytes(signal_number: signal.Signals, undisturbed: dict[str, bytes]) -> None:
    set_slow(True)
    with start_batch(*ALL_PAIRS, *STEPS) as first:
        wait_until(lambda: len(read_pictures()) >= 1)
        first.send_signal(signal_number)
        first.communicate(timeout=300)
    set_slow(False)
    assert first.returncode == (-9 if signal_number == signal.SIGKILL else 130)
    before = read_pictures()
    assert len(before) < 4
    with start_batch(*ALL_PAIRS, *STEPS) as second:
        report = json.loads(second.communicate(timeout=300)[0])
    assert report["failed"] == []
    assert report["done"] + report["skipped"] == 4
    after = read_pictures()
    assert list(after) == NAMES
    assert all(after[name] == data for name, data in before.items())
    store = JobStore(Path("out/.impasto"))
    assert store.verify() == []
    assert all(job.state == "done" for job in store.jobs())
    assert len(store.jobs()) == 4
    assert after == undisturbed


@pytest.mark.slow
@pytest.mark.weights
def test_concurrent_calls_paint_each_picture_once() -> None:
    arguments = [*ALL_PAIRS, "--iterations", "10", "--workers", "1"]
    with start_batch(*arguments) as one, start_batch(*arguments) as other:
        reports = [json.loads(call.communicate(timeout=300)[0]) for call in (one, other)]
    assert [report["failed"] for report in reports] == [[], []]
    assert [len(report["outputs"]) for report in reports] == [4, 4]
    jobs = JobStore(Path("out/.impasto")).jobs()
    assert [(job.state, job.attempt) for job in jobs] == [("done", 1)] * 4
    assert list(read_pictures()) == NAMES


@pytest.mark.weights
def test_index_shows_pictures_and_failures(capsys: pytest.CaptureFixture[str], watched: WatchedPage) -> None:
    Path("photos/<b>&.jpg").write_bytes(b"\xff\xd8\xff and no picture at all")
    os.mkfifo("photos/pipe.png")  # a pipe that never delivers data, and so is left out
    Path("photos/folder.jpg").mkdir()
    Path(os.fsdecode(b"photos/\xff.jpg")).write_bytes(Path("photos/cat.jpg").read_bytes())
    run_batch(capsys, "photos", "--styles", "paintings/swirl.png", "--names", "{content}#{style}.png", status=1)
    watched.page.goto(Path("out/index.html").absolute().as_uri())
    watched.page.wait_for_load_state("networkidle")
    assert watched.page.locator("figure").count() == 3
    assert watched.page.evaluate("[...document.images].every((image) => image.naturalWidth === 64)")
    captions = watched.page.locator("figcaption")
    assert captions.first.inner_text().startswith(f"cat × swirl, α = {ALPHA}\ncontent ")
    assert "the same picture as cat_swirl.png" in captions.last.inner_text()
    assert "<b>&" not in watched.page.content()
    assert watched.page.locator("li").count() == 1
    assert [url for url in watched.requests if not url.startswith("file:")] == []
    assert watched.complaints == []


def test_index_captions_show_varying_options() -> None:
    batch = batch_of("a.png", "b.png")
    items = [replace(item, config=Config(seed=seed)) for seed, item in enumerate(batch.report.items)]
    for item in items:
        shutil.copy("paintings/swirl.png", item.output)
    write_index(BatchReport(items), Path("out"))
    page = Path("out/index.html").read_text()
    assert f"a × swirl, α = {ALPHA}, seed = 0<" in page
    assert f"b × swirl, α = {ALPHA}, seed = 1<" in page


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_narrow_terminal_keeps_the_remaining_time(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=output, width=width, force_terminal=True))
    job = SimpleNamespace(
        id=1, state="running", progress=0.6, inputs={"content": {"name": "a"}, "style": {"name": "b"}}
    )
    finished = SimpleNamespace(id=2, state="done", progress=1.0)
    with progress.ProgressView(quiet=False) as view:
        view.show_jobs([job, finished], 3, 60.0)  # type: ignore[list-item]
    text = output.getvalue()
    assert "1/2" in text
    assert "0:15 left" in text
    assert ("96 an hour" in text) == (width >= 80)
    assert ("3 existed" in text) == (width >= 120)


def test_memory_and_cores_limit_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, estimate = SimpleNamespace(device="cpu"), SimpleNamespace(memory_bytes=2_000_000_000)
    needs: Any = [SimpleNamespace(plan=plan, estimate=lambda: estimate)]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8))
    for free, count in ((1_000_000_000, 1), (5_000_000_000, 2), (100_000_000_000, 8)):
        monkeypatch.setattr("psutil.virtual_memory", lambda free=free: SimpleNamespace(available=free))
        assert max_workers(needs) == count
    assert max_workers([]) == 1


def test_cluster_gpus_are_used_when_present() -> None:
    cluster = Cluster(
        cpus=40, gpus=4, memory=64e9, nodes=2, min_cpus=8, cpus_per_gpu=2
    )  # 32 of the CPUs are on nodes without a GPU
    assert [threads_per_worker(count, cluster) for count in (2, 4, 8)] == [2, 2, 1]
    assert threads_per_worker(4, select_gpus(cluster, "cpu")) == 8
    assert max_workers([], select_gpus(cluster, None)) == 4
    assert select_gpus(cluster, "cpu").gpus == 0
    with pytest.raises(ConfigError, match="no machine of the cluster has a CUDA card"):
        select_gpus(Cluster(cpus=16, gpus=0, memory=64e9, nodes=2, min_cpus=8), "cuda")
