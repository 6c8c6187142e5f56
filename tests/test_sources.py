"""Image sources other than paths: bytes, open files, pipes, standard input, samples and web addresses."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders.systems import LINUX_ONLY
from PIL import Image

import impasto
from impasto import images
from impasto.errors import ImageError
from impasto.images import NamedImage, content
from impasto.jobs import JobStore
from impasto.jobs.submit import store_source
from impasto.run import read_recipe


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP"])
def test_bytes_and_open_files_are_read_like_the_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "gradient.picture"
    Image.linear_gradient("L").convert("RGB").resize((40, 24)).save(path, kind)
    expected, data = images.load(path), path.read_bytes()
    with path.open("rb") as file:
        sources: dict[str | None, Any] = {None: data, "gradient.picture": file, "given": NamedImage("given", data)}
        for name, source in sources.items():
            loaded = images.load(source)
            assert torch.equal(loaded.pixels, expected.pixels)
            assert (loaded.name, loaded.sha256) == (name, expected.sha256)
    assert torch.equal(images.load(io.BytesIO(data)).pixels, expected.pixels)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"", "cannot be read as an image"),
        (io.BytesIO(), "is empty, or was read before"),
        (io.StringIO("text"), "is a stream of text. Open the file in binary mode"),
        ("https://example.org/cat.jpg", "https://example.org/cat.jpg is a web address. Download the picture first"),
        (Path("http:/example.org/cat.jpg"), "http://example.org/cat.jpg is a web address. Download the picture first"),
    ],
)
def test_non_image_source_is_a_one_line_error(source: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        images.load(source)
    assert "\n" not in str(caught.value)


def test_streams_have_a_size_limit(monkeypatch: pytest.MonkeyPatch, photo: Path) -> None:
    monkeypatch.setattr(content, "MAX_STREAM_BYTES", 10_000)
    with photo.open("rb") as file, pytest.raises(ImageError, match="Save it to a file, and give that"):
        images.load(file)


@LINUX_ONLY
def test_reads_pipes(tmp_path: Path, photo: Path) -> None:
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(photo.read_bytes(),))
    writer.start()
    loaded = images.load(pipe, long_side_px=32)
    writer.join()
    assert torch.equal(loaded.pixels, images.load(photo, long_side_px=32).pixels)
    assert loaded.name == "pipe.jpg"


def test_bytes_are_stored_for_a_job(tmp_path: Path, photo: Path) -> None:
    store = JobStore(tmp_path)
    stored = store_source(store, NamedImage("standard input", photo.read_bytes()), "content")
    assert stored == {"name": "standard input", "sha256": images.open_image(photo).sha256}
    assert store.files.path(str(stored["sha256"])).read_bytes() == photo.read_bytes()


@pytest.mark.weights
def test_command_reads_standard_input(desk: Path) -> None:
    command = [sys.executable, "-m", "impasto", "stylize", "-", "painting.png", "-o", "out.png"]
    quick = ["--size", "64", "--iterations", "2", "--json"]
    data = (desk / "photo.jpg").read_bytes()
    result = subprocess.run([*command, *quick], cwd=desk, input=data, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr
    recorded = read_recipe(desk / "out.png").inputs["content"]
    assert (recorded.name, recorded.sha256) == ("standard input", images.open_image(desk / "photo.jpg").sha256)
    twice = subprocess.run(
        [*command[:5], "-", *command[6:], *quick], cwd=desk, input=data, capture_output=True, check=False
    )
    assert twice.returncode == 2
    assert b"was read before. Give each picture once" in twice.stderr


@pytest.mark.weights
def test_python_accepts_samples_and_returns_images(tmp_path: Path) -> None:
    result = impasto.stylize("sample:cat", "sample:ink", size=64, iterations=2)
    assert [result.recipe.inputs[role].name for role in ("content", "style")] == ["sample:cat", "sample:ink"]
    array = result.to_numpy()
    assert array.shape == (43, 64, 3)
    assert array.dtype == np.uint8
    assert np.array_equal(np.asarray(result.to_pil()), array)
    result.save(tmp_path / "file.png")
    buffer = io.BytesIO()
    result.save(buffer)
    assert buffer.getvalue() == (tmp_path / "file.png").read_bytes()
    result.save(buffer := io.BytesIO(), format="jpg", quality=50)
    with Image.open(buffer) as jpeg:
        assert (jpeg.format, jpeg.size) == ("JPEG", (64, 43))
