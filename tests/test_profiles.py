"""Color profiles of output files: conversion, embedding, refusals, and recipes without folders."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
import torch
from builders.pixels import random_image, read_pixels
from PIL import Image, ImageCms
from starlette.testclient import TestClient

from impasto import images
from impasto.cli import main
from impasto.config import Config, Inputs, RunOptions
from impasto.core.tensor_store import RamStore
from impasto.errors import ConfigError, OutputError, RecipeError
from impasto.images.profiles import load_profile
from impasto.jobs import JobStore
from impasto.jobs.model import JobError
from impasto.jobs.submit import submit
from impasto.jobs.worker import Worker
from impasto.run import read_recipe
from impasto.run.recorded import reproduce
from impasto.studio import Studio, create_app
from impasto.studio.schemas import JobView, PaintRequest, PictureRef

INTENTS = ("perceptual", "relative", "saturation", "absolute")
BLACK_POINT, EXACT = 0x2000, 0x0100
"""Flags of LittleCMS: black point compensation, and no interpolation of the whole conversion."""


@pytest.fixture
def press(tmp_path: Path) -> Path:
    """Write the profile of a press, CMYK."""
    path = tmp_path / "press.icc"
    path.write_bytes(load_profile("cmyk").data)
    return path


@pytest.fixture
def client(press: Path) -> TestClient:
    studio = Studio(JobStore(press.parent / "studio"))
    return TestClient(create_app(studio), base_url="http://127.0.0.1")


def by_littlecms(pixels: np.ndarray, profile: bytes, mode: str, intent: str) -> np.ndarray:
    """Convert sRGB pixels with Pillow, independently of libvips."""
    source, target = (ImageCms.ImageCmsProfile(io.BytesIO(data)) for data in (load_profile("srgb").data, profile))
    flags = ImageCms.Flags(EXACT | (BLACK_POINT if intent == "relative" else 0))
    number: Any = INTENTS.index(intent)
    transform = ImageCms.buildTransform(source, target, "RGB", mode, number, flags)
    return np.asarray(transform.apply(Image.fromarray(pixels)))


@pytest.mark.parametrize("intent", INTENTS)
@pytest.mark.parametrize(("name", "mode"), [("cmyk", "CMYK"), ("p3", "RGB")])
def test_conversion_agrees_with_littlecms(name: str, mode: str, intent: Any, tmp_path: Path) -> None:
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 3, 24, 32)).astype(np.float32) / 255)
    profile = load_profile(name)
    images.save(tmp_path / "a.tif", pixels, profile=profile, intent=intent)
    with Image.open(tmp_path / "a.tif") as image:
        assert image.mode == mode
        assert image.info["icc_profile"] == profile.data
    expected = by_littlecms(images.quantize(pixels, None, 8, RamStore()), profile.data, mode, intent)
    difference = np.abs(read_pixels(tmp_path / "a.tif").astype(int) - expected)
    assert difference.max() <= 6
    assert difference.mean() < 0.1


def test_sixteen_bits_stay_sixteen_bits(tmp_path: Path) -> None:
    ramp = torch.linspace(0.3, 0.32, 600).expand(1, 3, 4, 600)
    for name in ("p3", "cmyk"):
        images.save(tmp_path / "a.tif", ramp, bits=16, profile=load_profile(name))
        values = pyvips.Image.new_from_file(str(tmp_path / "a.tif")).numpy()
        assert values.dtype == np.uint16
        assert len(np.unique(values[0, :, 0])) > 100  # 8 bits have 6 levels there
    images.save(tmp_path / "a.png", ramp, bits=16, profile=load_profile("p3"))
    assert float((images.load(tmp_path / "a.png").pixels - ramp).abs().max()) < 3e-4


def test_alpha_stays_beside_rgb_and_lies_on_white_in_cmyk(tmp_path: Path) -> None:
    pixels, alpha = random_image(1), torch.zeros(1, 1, 16, 12)
    images.save(tmp_path / "a.png", pixels, alpha, profile=load_profile("p3"))
    assert not read_pixels(tmp_path / "a.png")[:, :, 3].any()
    images.save(tmp_path / "a.tif", pixels, alpha, profile=load_profile("cmyk"))
    assert not read_pixels(tmp_path / "a.tif").any()  # no ink


def test_files_that_are_no_output_profile_are_one_line_errors(press: Path, tmp_path: Path) -> None:
    data = load_profile("cmyk").data
    bad = {
        "photo.icc": b"no profile at all" * 20,
        "short.icc": b"",
        "cut.icc": data[:3000],
        "gray.icc": data[:16] + b"GRAY" + data[20:],
        "link.icc": data[:12] + b"link" + data[16:],
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    for name in (*bad, "missing.icc", "."):
        with pytest.raises(ConfigError, match="profile") as caught:
            load_profile(tmp_path / name)
        assert "\n" not in str(caught.value)
    assert (load_profile(press).name, load_profile(press).space) == ("press.icc", "cmyk")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_cmyk_needs_a_tiff(name: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"needs \.tif"):
        images.require_output(tmp_path / name, profile=load_profile("cmyk"))


@pytest.mark.weights
def test_recipe_has_no_folder_and_reproduces_with_the_same_profile(
    press: Path, desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(desk)
    away = desk / "away"
    away.mkdir()
    elsewhere = press.rename(away / "press.icc")
    arguments = ["photo.jpg", "painting.png", "-o", "a.tif", "--size", "64", "--iterations", "2"]
    assert main(["stylize", *arguments, "--profile", str(elsewhere), "--intent", "perceptual"]) == 0
    recipe = read_recipe(desk / "a.tif")
    assert (recipe.run.profile, recipe.run.intent) == ("press.icc", "perceptual")
    assert str(desk) not in recipe.to_json()
    with pytest.raises(RecipeError, match=r"press\.icc is missing.*--profile FILE"):
        reproduce(desk / "a.tif")
    assert main(["reproduce", "a.tif", "-o", "b.tif", "--profile", str(elsewhere)]) == 0
    assert np.array_equal(read_pixels(desk / "a.tif"), read_pixels(desk / "b.tif"))
    other = desk / "press.icc"
    other.write_bytes(load_profile("p3").data)
    with pytest.raises(RecipeError, match="SHA-256 differs"):
        reproduce(desk / "a.tif")
    result = reproduce(desk / "a.tif", profile=elsewhere)
    result.save(desk / "c.png", profile="srgb")
    assert read_recipe(desk / "c.png").profile_sha256 is None
    capsys.readouterr()
    assert main(["stylize", *arguments[:3], "b.png", "--profile", str(elsewhere)]) == 2
    assert "needs .tif" in capsys.readouterr().err


def test_studio_takes_prints_and_built_in_profiles_only(photo: Path, painting: Path, press: Path) -> None:
    studio = Studio(JobStore(press.parent / "studio"))
    content, style = (PictureRef(sha256=studio.store.files.add(path), name=path.name) for path in (photo, painting))

    def submit_print(profile: str) -> JobView:
        config = {"print": "20x20mm", "dpi": 90, "bleed": "1mm"}
        return studio.submit(PaintRequest(content=content, styles=[style], config=config, run={"profile": profile}))

    job = submit_print("cmyk")
    assert (job.config["print"], job.config["bleed"]) == ("20x20mm", 1.0)
    assert "photo: 300 px for 2.2 cm" in job.note
    with pytest.raises(JobError, match="no profile"):
        submit_print(str(press))


def test_studio_refuses_uploads_that_are_no_profile(client: TestClient, photo: Path, press: Path) -> None:
    for content in (photo.read_bytes(), press.read_bytes()[:3000], b""):
        response = client.post("/api/profiles", params={"name": "C:\\colors\\Paper.ICM"}, content=content)
        assert response.status_code == 422
        error = response.json()["error"]
        assert error.startswith("Paper.ICM is ")
        assert "profile" in error
        assert str(press.parent) not in error
    form = client.post("/api/profiles", files={"file": press.read_bytes()})
    assert (form.status_code, "paper.icc" in form.json()["error"]) == (415, True)
    assert client.post("/api/profiles", content=b"0" * 16_000_001).status_code == 413
    assert not list((press.parent / "studio").glob("files/*"))


@pytest.mark.parametrize("name", ["srgb", "../../cmyk", "n" * 300])
def test_no_uploaded_profile_has_a_built_in_name(name: str, client: TestClient, press: Path) -> None:
    view = client.post("/api/profiles", params={"name": name}, content=press.read_bytes()).json()
    assert view["name"] == f"{name.removeprefix('../../')[:251]}.icc"
    assert view["space"] == "cmyk"


def test_job_refers_to_an_uploaded_profile(client: TestClient, press: Path) -> None:
    view = client.post("/api/profiles", params={"name": "Paper.ICM"}, content=press.read_bytes()).json()
    request = {"content": {"sample": "cat"}, "styles": [{"sample": "ink"}], "config": {"size": 64}}
    profile = {"sha256": view["sha256"], "name": view["name"]}
    job = client.post("/api/jobs", json=request | {"profile": profile}).json()
    (stored,) = [file for file in job["inputs"] if file["role"] == "profile"]
    assert (stored["name"], stored["sha256"]) == ("Paper.ICM", view["sha256"])
    both = client.post("/api/jobs", json=request | {"profile": profile, "run": {"profile": "p3"}})
    assert (both.status_code, "both set the color profile" in both.json()["error"]) == (409, True)
    missing = client.post("/api/jobs", json=request | {"profile": profile | {"sha256": "0" * 64}})
    assert (missing.status_code, "The color profile 000" in missing.json()["error"]) == (409, True)
    picture = next(file for file in job["inputs"] if file["role"] == "style")
    wrong = client.post("/api/jobs", json=request | {"profile": profile | {"sha256": picture["sha256"]}})
    assert (wrong.status_code, "is no ICC profile" in wrong.json()["error"]) == (422, True)
    assert len(client.get("/api/jobs").json()) == 1


@pytest.mark.weights
def test_studio_paints_with_an_uploaded_profile(client: TestClient, press: Path, tmp_path: Path) -> None:
    view = client.post("/api/profiles", params={"name": "paper.icc"}, content=press.read_bytes()).json()
    request = {"content": {"sample": "cat"}, "styles": [{"sample": "ink"}], "config": {"size": 64, "iterations": 2}}
    profile = {"sha256": view["sha256"], "name": view["name"]}
    job = client.post("/api/jobs", json=request | {"profile": profile, "run": {"bits": 16}}).json()
    done = Worker(JobStore(press.parent / "studio"), "here").run_one()
    assert done is not None
    assert done.error is None
    assert client.get(f"/api/jobs/{job['id']}").json()["result"]["suffix"] == ".tif"
    path = tmp_path / "a.tif"
    path.write_bytes(client.get(f"/api/jobs/{job['id']}/result", params={"format": "tiff"}).content)
    picture = pyvips.Image.new_from_file(str(path))
    assert (picture.interpretation, picture.format, picture.bands) == ("cmyk", "ushort", 4)
    assert picture.get("icc-profile-data") == press.read_bytes()
    recipe = read_recipe(path)
    assert (recipe.run.profile, recipe.profile_sha256) == ("paper.icc", view["sha256"])


@pytest.mark.weights
def test_queue_keeps_the_profile_of_a_job(press: Path, photo: Path, painting: Path, tmp_path: Path) -> None:
    store = JobStore(tmp_path / "queue")
    inputs, config = Inputs(content=photo, styles=(painting,)), Config(size=64, iterations=2)
    job = submit(store, inputs, config, RunOptions(profile=str(press)))
    plain = submit(store, inputs, config, RunOptions())
    assert job.key != plain.key
    press.unlink()
    done = Worker(store, "here").run_one()
    assert done is not None
    assert done.result is not None, done.error
    assert done.result["suffix"] == ".tif"
    path = store.files.path(done.result["sha256"])
    assert read_pixels(path).shape[2] == 4
    assert read_recipe(path).run.profile == "press.icc"
