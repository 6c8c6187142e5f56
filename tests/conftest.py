"""A tiny seeded encoder keeps tests fast; those that speak of pictures use the real weights."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cluster import Nodes, two_nodes
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from torch import Tensor

from impasto import samples
from impasto.config import Config, ResolvedConfig
from impasto.config.networks import ALEXNET, VGG16, VGG19, Layer, Network
from impasto.core.encoder import Encoder, Weights
from impasto.core.evaluate import AutogradEngine, Evaluation
from impasto.core.objective import Losses, Objective
from impasto.core.targets import build_objective
from impasto.errors import WeightsError
from impasto.metrics.score import ScoreNetworks, load_score_networks
from impasto.weights import load

pytest_plugins = ("studio_pages",)


def random_weights(network: Network, seed: int = 0) -> Weights:
    """He-initialized weights of `network`'s shapes: only tests may ask for such."""
    generator = torch.Generator().manual_seed(seed)
    kernels, biases = {}, {}
    for layer in network.convolutions:
        shape = (layer.outputs, layer.inputs, layer.kernel, layer.kernel)
        fan_in = layer.inputs * layer.kernel**2
        kernels[layer.name] = torch.randn(shape, generator=generator) * (2 / fan_in) ** 0.5
        biases[layer.name] = torch.randn(layer.outputs, generator=generator) * 0.1
    return Weights(kernels, biases, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


TINY = Network(
    "tiny",
    (
        Layer("conv1_1", "conv", 3, 1, 1, 3, 6),
        Layer("relu1_1", "relu"),
        Layer("pool1", "pool", 2, 2),
        Layer("conv2_1", "conv", 3, 1, 1, 6, 10),
        Layer("relu2_1", "relu"),
    ),
    ("relu2_1",),
    ("relu1_1", "relu2_1"),
    iterations=50,
)


@pytest.fixture(scope="session")
def tiny() -> Encoder:
    """Two convolutions, seeded."""
    return Encoder(TINY, random_weights(TINY))


@pytest.fixture(scope="session")
def tiny64() -> Encoder:
    """Return the tiny encoder in float64, for gradients."""
    return Encoder(TINY, random_weights(TINY), dtype=torch.float64)


@pytest.fixture(scope="session", params=[VGG19, VGG16, ALEXNET], ids=lambda network: network.name)
def random_network(request: pytest.FixtureRequest) -> Encoder:
    """Return each real architecture with random weights."""
    network: Network = request.param
    return Encoder(network, random_weights(network))


@pytest.fixture(scope="session")
def vgg19() -> Encoder:
    """VGG19 with its real weights."""
    return Encoder(VGG19, load("vgg19"))


@pytest.fixture(scope="session")
def score_networks() -> ScoreNetworks:
    """VGG16, AlexNet and the LPIPS heads, downloaded if missing."""
    try:
        return load_score_networks()
    except WeightsError as error:  # pragma: no cover
        pytest.skip(f"the networks of a score could not be downloaded: {error}")


@pytest.fixture
def noise_image() -> Tensor:
    """Return a seeded image (1, 3, 24, 20)."""
    return torch.rand(1, 3, 24, 20, generator=torch.Generator().manual_seed(7))


@pytest.fixture(scope="session")
def photo() -> Path:
    """Return the path of the sample photo."""
    return samples.photo_path("cat")


@pytest.fixture(scope="session")
def painting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a sample painting to a file."""
    path = tmp_path_factory.mktemp("paintings") / "swirl.png"
    Image.fromarray(samples.paint("swirl", size_px=160)).save(path)
    return path


@pytest.fixture
def desk(tmp_path: Path, photo: Path, painting: Path) -> Path:
    """Make a folder with a photo and a painting, to run commands in."""
    shutil.copy(photo, tmp_path / "photo.jpg")
    shutil.copy(painting, tmp_path / "painting.png")
    return tmp_path


BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """Two nodes of a cluster."""
    with two_nodes() as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start the system's Chromium, without a window."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:  # pragma: no cover
        pytest.skip("there is no chromium here: scripts/find_browser.sh says how to get one")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=QUIET)
        yield running
        running.close()


@dataclass
class Watched:
    """A page, what it asked for, and what it complained of."""

    page: Page
    requests: list[str]
    complaints: list[str]


@pytest.fixture
def watched(browser: Browser) -> Iterator[Watched]:
    """Open a page whose requests and console errors are recorded."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    yield watch(page)
    page.close()


def watch(page: Page) -> Watched:
    """Note from now on what a page asks for, and what it complains of."""
    seen = Watched(page, [], [])
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on("requestfailed", lambda request: seen.complaints.append(f"failed: {request.url[:100]}"))
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on("console", lambda said: seen.complaints.append(said.text) if said.type in ("error", "warning") else None)
    return seen


def resolved(*, height: int = 64, width: int = 64, styles: int = 1, **options: Any) -> ResolvedConfig:
    """Return the config of these options, resolved for a target of this size."""
    return Config(**options).resolve(height, width, styles=styles)


def objective_of(encoder: Encoder, content: Tensor, style: Tensor, config: Config) -> Objective:
    """Build the objective with the plain engine, the config resolved for the content."""
    return build_objective(AutogradEngine(encoder), content, [(1.0, style)], config.resolve(*content.shape[2:]))


def plainly(encoder: Encoder, objective: Objective, image: Tensor) -> Evaluation:
    """Losses and gradient by autograd."""
    return AutogradEngine(encoder).evaluator(objective, objective.config.alpha)(image)


def losses_of(encoder: Encoder, objective: Objective, image: Tensor) -> Losses:
    """Losses alone."""
    return AutogradEngine(encoder).measure(objective, image, objective.config.alpha)


def pixels(path: Path) -> np.ndarray:
    """Read a picture's bytes with Pillow, which Impasto does not decode with."""
    with Image.open(path) as image:
        return np.asarray(image)
