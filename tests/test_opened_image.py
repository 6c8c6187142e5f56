"""Opened images: each is opened and hashed once per run, and its hash matches its pixels."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from builders.networks import random_weights
from PIL import Image
from safetensors.torch import save_file

import impasto
from impasto import images, insight
from impasto.cli import main
from impasto.config import RunOptions
from impasto.config.networks import ALEXNET
from impasto.errors import ImageError
from impasto.jobs.batch import plan_batch
from impasto.jobs.capacity import distinct_runs
from impasto.run import drive, prepare_run
from impasto.weights.decoding import as_tensors

ROLES = ("content", "style", "start", "mask", "ground", "protect")
OPTIONS: dict[str, Any] = {"size": 64, "iterations": 2, "network": "alexnet", "scales": 1}

_listeners: list[Counter[str]] = []


def _count_opens(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _listeners and isinstance(arguments[0], (str, os.PathLike)):
        for counter in _listeners:
            counter[Path(arguments[0]).name] += 1


sys.addaudithook(_count_opens)  # audit hooks cannot be removed; this one counts only during a test


@contextmanager
def counted_opens() -> Iterator[Counter[str]]:
    """Count the files that Python opens, by name."""
    counter: Counter[str] = Counter()
    _listeners.append(counter)
    try:
        yield counter
    finally:
        _listeners.remove(counter)


@pytest.fixture
def counted_hashes(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the files that are hashed, by name."""
    counter: Counter[str] = Counter()
    digest = hashlib.file_digest

    def count(file: Any, *arguments: Any) -> Any:
        counter[Path(file.name).name] += 1
        return digest(file, *arguments)

    monkeypatch.setattr(hashlib, "file_digest", count)
    return counter


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter a folder of pictures, masks and small weights."""
    generator = np.random.default_rng(0)
    for name in ("content", "style", "start"):
        Image.fromarray(generator.integers(0, 256, (64, 96, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    left = np.zeros((64, 96), np.uint8)
    left[:, :48] = 255
    for name, mask in (("mask", left), ("ground", 255 - left), ("protect", left // 8)):
        Image.fromarray(mask).save(tmp_path / f"{name}.png")
    save_file(as_tensors(random_weights(ALEXNET)), tmp_path / "own.safetensors")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def image_counts(counter: Counter[str]) -> dict[str, int]:
    return {name: counter[f"{name}.png"] for name in ROLES if counter[f"{name}.png"]}


def test_stylize_opens_and_hashes_each_image_once(desk: Path, counted_hashes: Counter[str]) -> None:
    with counted_opens() as opens:
        result = impasto.stylize(
            "content.png",
            "style.png",
            init="start.png",
            content_masks="mask.png",
            style_masks="ground.png",
            protect="protect.png",
            weights="own.safetensors",
            **OPTIONS,
        )
    assert image_counts(opens) == dict.fromkeys(ROLES, 1)
    assert image_counts(counted_hashes) == dict.fromkeys(ROLES, 1)
    recorded = {Path(str(record.name)).stem: record.sha256 for record in result.recipe.inputs.values()}
    assert recorded == {name: hashlib.sha256((desk / f"{name}.png").read_bytes()).hexdigest() for name in ROLES}


def test_estimate_and_run_share_opened_images(desk: Path) -> None:
    with counted_opens() as opens:
        run = prepare_run("content.png", "style.png", protect="protect.png", weights="own.safetensors", **OPTIONS)
        run.estimate()
        drive(run)
    assert image_counts(opens) == {"content": 1, "style": 1, "protect": 1}


def test_planning_hashes_nothing(desk: Path, counted_hashes: Counter[str]) -> None:
    run = prepare_run("content.png", "style.png", weights="own.safetensors", **OPTIONS)
    assert run.workload.height == 43
    assert image_counts(counted_hashes) == {}


@pytest.mark.parametrize("report", [[], ["--report"]])
def test_command_line_opens_each_image_once(report: list[str], desk: Path) -> None:
    masks = ["--content-mask", "mask.png", "--style-mask", "ground.png", "--protect", "protect.png"]
    options = ["--size", "64", "--iterations", "2", "--network", "alexnet", "--weights", "own.safetensors", "--quiet"]
    with counted_opens() as opens:
        assert main(["stylize", "content.png", "style.png", *masks, *options, *report, "-o", "out.png"]) == 0
    assert image_counts(opens) == dict.fromkeys(("content", "style", "mask", "ground", "protect"), 1)
    with counted_opens() as opens:
        assert main(["reproduce", "out.png", "--weights", "own.safetensors", "--quiet", "-o", "again.png"]) == 0
    assert image_counts(opens) == dict.fromkeys(("content", "style", "mask", "ground", "protect"), 1)
    assert np.array_equal(np.asarray(Image.open("out.png")), np.asarray(Image.open("again.png")))


def test_command_line_refuses_to_overwrite_a_recorded_input(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--size", "64", "--iterations", "1", "--network", "alexnet", "--weights", "own.safetensors", "--quiet"]
    assert main(["stylize", "content.png", "style.png", *options, "-o", "out.png"]) == 0
    assert main(["reproduce", "out.png", "--weights", "own.safetensors", "-o", "content.png"]) != 0
    assert "is an input of this run" in capsys.readouterr().err


def flat(path: Path, level: int) -> Path:
    Image.new("RGB", (40, 30), (level, level, level)).save(path, compress_level=0)
    return path


def levels(pixels: torch.Tensor) -> set[int]:
    return set((pixels * 255).round().int().flatten().tolist())


def test_refuses_a_file_changed_after_opening(tmp_path: Path) -> None:
    path = flat(tmp_path / "a.png", 10)
    for change in (lambda: flat(path, 20), lambda: path.write_bytes(path.read_bytes()[:500])):
        opened = images.open_image(path)
        assert opened.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        change()
        with pytest.raises(ImageError, match=r"a\.png changed while it was read"):
            images.load(opened)


def test_detects_a_change_with_an_unchanged_mtime(tmp_path: Path) -> None:
    path = flat(tmp_path / "a.png", 10)
    before = path.stat()
    opened = images.open_image(path)
    assert opened.sha256
    flat(path, 20)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    with pytest.raises(ImageError, match="changed while it was read"):
        images.load(opened)


def test_larger_image_cannot_bypass_the_size_check(tmp_path: Path) -> None:
    path = flat(tmp_path / "a.png", 10)
    opened = images.open_image(path, max_megapixels=0.01)
    Image.new("RGB", (400, 300)).save(path)
    with pytest.raises(ImageError, match="changed while it was read"):
        images.load(opened)


def test_replacing_the_file_does_not_affect_the_run(tmp_path: Path) -> None:
    """The open file keeps its old content: size, hash and pixels."""
    path, other = flat(tmp_path / "a.png", 10), flat(tmp_path / "b.png", 20)
    sha256, opened = hashlib.sha256(path.read_bytes()).hexdigest(), images.open_image(path)
    os.replace(other, path)
    picture = images.load(opened)
    assert picture.sha256 == sha256
    assert levels(picture.pixels) == {10}
    assert levels(images.load(path).pixels) == {20}


def test_touched_file_counts_as_unchanged(tmp_path: Path) -> None:
    path = flat(tmp_path / "a.png", 10)
    opened = images.open_image(path)
    images.load(opened)
    os.utime(path, ns=(1, 1))
    assert images.load(opened).sha256 == opened.sha256


def test_arrays_and_pil_images_are_copied() -> None:
    array, picture = np.full((8, 9, 3), 10, np.uint8), Image.new("RGB", (9, 8), (10, 10, 10))
    opened = [images.open_image(source) for source in (array, picture)]
    array[:] = 20
    picture.paste((20, 20, 20), (0, 0, 9, 8))
    for source in opened:
        assert levels(images.load(source).pixels) == {10}
        assert source.size == (8, 9)
        assert (source.path, source.name) == (None, None)
        assert images.open_image(source) is source


def test_opened_image_matches_its_source(tmp_path: Path) -> None:
    path = flat(tmp_path / "a.png", 10)
    named = images.NamedImage("sample:x", path)
    for source, name in ((path, "a.png"), (str(path), "a.png"), (named, "sample:x")):
        opened = images.open_image(source)
        assert (images.get_name(source), images.get_name(opened)) == (name, name)
        assert images.get_path(source) == images.get_path(opened) == path
        one, other = images.load(source, long_side_px=20), images.load(opened, long_side_px=20)
        assert torch.equal(one.pixels, other.pixels)
        assert (one.name, one.sha256) == (other.name, other.sha256)


def test_closing_an_image_closes_its_file(tmp_path: Path) -> None:
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("this system does not list open files")
    path = flat(tmp_path / "a.png", 10)
    before = len(list(folder.iterdir()))
    opened = [images.open_image(path) for _ in range(100)]
    for source in opened:
        images.load(source)
    del opened, source
    assert len(list(folder.iterdir())) < before + 50  # libvips caches its last operations


def test_waiting_runs_keep_no_file_open(photo: Path, painting: Path, tmp_path: Path) -> None:
    """The pictures are copies, because runs of other tests in this process may not be collected yet."""
    photo, painting = (Path(shutil.copy(path, tmp_path)) for path in (photo, painting))

    def is_open() -> bool:
        return any(Path(file.path) in (photo, painting) for file in psutil.Process().open_files())

    insight.sweep(photo, painting, {"alpha": [1, 2, 3]}, size=64).grid.draw()
    assert not is_open()
    items = plan_batch([str(photo)], [str(painting)], tmp_path / "out", sweep={"size": [64, 96, 128]})
    runs = distinct_runs(items, RunOptions())
    assert len(runs) == 3
    assert not is_open()
    assert runs[0].opened_inputs.content.height
    assert is_open()
