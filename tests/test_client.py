"""The client of the studio, against real studios with small jobs."""

from __future__ import annotations

import ast
import http.server
import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import impasto_client
import pytest
from builders.clips import numbered_frame, write_clip
from builders.servers import RunningStudio, kill_studio, start_studio
from builders.waiting import wait_until
from impasto_client import (
    API_VERSION,
    Cancelled,
    Client,
    ConnectionLostError,
    Done,
    Failed,
    JobCancelledError,
    JobError,
    JobFailedError,
    NoStudioError,
    NotInstalledError,
    PictureError,
    Preview,
    Progress,
    RequestError,
    StartError,
    StudioError,
    TokenError,
    VersionError,
)
from impasto_client import local as local_module
from PIL import Image

import impasto
from impasto.clips import open_clip
from impasto.config.presets import PRESETS
from impasto.jobs import JobStore
from impasto.studio import schemas

pytestmark = pytest.mark.xdist_group("client")

SMALL: dict[str, Any] = {"size": 64, "iterations": 6, "scales": 1}
LONG: dict[str, Any] = {"size": 64, "iterations": 4000, "scales": 1}
PACKAGE = Path(impasto_client.__file__).parent
CLIENTS = Path(__file__).parent.parent / "clients"
TOKEN = "correct-horse-battery"


@pytest.fixture
def client(studio: RunningStudio) -> Client:
    return Client(studio.address)


def size_of(content: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(content)) as image:
        return image.size


class StandIn(http.server.BaseHTTPRequestHandler):
    """A server that answers every request with `answer`."""

    answer: tuple[int, bytes] = (200, b"")

    def do_GET(self) -> None:
        status, content = self.answer
        self.send_response(status)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def stand_in() -> Iterator[str]:
    """Start a server that is no studio, and return its address."""
    with http.server.HTTPServer(("127.0.0.1", 0), StandIn) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


# ---- Paint ---------------------------------------------------------------------------------------


@pytest.mark.weights
def test_paints_in_one_call(client: Client, photo: Path, painting: Path) -> None:
    picture = client.paint(photo.read_bytes(), painting, **SMALL, bits=16)
    assert picture.startswith(b"\x89PNG")
    assert max(size_of(picture)) == 64
    assert picture[24] == 16  # a run option, which the studio takes apart from the others


@pytest.mark.weights
def test_watches_a_job_to_its_end_and_saves_it(client: Client, tmp_path: Path, photo: Path, painting: Path) -> None:
    job = client.submit(photo, [painting, "sample:ink"], **SMALL, style_weights=[2, 1])
    events = list(job.watch())
    steps = [event for event in events if isinstance(event, Progress)]
    assert steps[-1].step == steps[-1].steps == 6
    assert set(steps[-1].losses) >= {"total", "content", "style"}
    assert any(isinstance(event, Preview) and event.jpeg.startswith(b"\xff\xd8") for event in events)
    assert isinstance(events[-1], Done)
    assert max(events[-1].width, events[-1].height) == 64
    assert job.status() == events[-1]
    for suffix in (".png", ".jpg", ".webp", ".tif"):
        path = job.save(tmp_path / f"painted{suffix}")
        assert size_of(path.read_bytes()) == (events[-1].width, events[-1].height)
    assert impasto.read_recipe(tmp_path / "painted.png").config.style_weights == (2, 1)
    assert len(list(tmp_path.iterdir())) == 4
    with pytest.raises(PictureError, match="suffix"):
        job.save(tmp_path / "painted.txt")
    with pytest.raises(PictureError, match="could not be written"):
        job.save(tmp_path / "nowhere" / "painted.png")


@pytest.mark.weights
def test_paints_a_clip(client: Client, tmp_path: Path, painting: Path) -> None:
    path = write_clip(tmp_path / "bright.mp4", [numbered_frame(number) for number in range(6)])
    clip = client.upload_clip(path)
    assert (clip.name, clip.width, clip.height, clip.frame_count, clip.sound) == ("bright.mp4", 64, 48, 6, False)
    job = client.submit_clip(clip, painting, **SMALL, every=2, frame_iterations=2, precision="float32")
    events = list(job.watch())
    assert [event.frames for event in events if isinstance(event, Progress)][-1] == 3
    done = events[-1]
    assert isinstance(done, Done)
    assert (done.frames, done.duration_s, done.width, done.height) == (3, 0.24, 64, 48)
    assert job.result()[4:8] == b"ftyp"
    with pytest.raises(PictureError, match=r"another format than the clip. Use the suffix \.mp4"):
        job.save(tmp_path / "painted.png")
    assert open_clip(job.save(tmp_path / "painted.mp4")).frame_count == 3
    with pytest.raises(RequestError, match="evry"):
        client.submit_clip(path, painting, evry=2)
    with pytest.raises(RequestError, match=r"painting|swirl"):
        client.submit_clip(painting, painting)
    with pytest.raises(PictureError, match="is empty"):
        client.upload_clip(b"")


@pytest.mark.weights
def test_sends_masks_and_uploads_once(client: Client, photo: Path, painting: Path) -> None:
    content = client.upload(photo)
    stream = io.BytesIO()
    half = Image.new("L", (content.width, content.height), 0)
    half.paste(255, (0, 0, content.width // 2, content.height))
    half.save(stream, "png")
    mask = stream.getvalue()
    assert (content.name, content.recipe) == (photo.name, False)
    unprotected, protected = (
        client.submit(content, painting, protect=protect, **SMALL)
        for protect in (None, client.upload(mask, "mask.png"))
    )
    assert unprotected.result() != protected.result()
    regions = client.submit(content, [painting, painting], content_masks=[mask, mask], init="sample:cat", **SMALL)
    roles = {picture["role"] for picture in regions.view()["inputs"]}
    assert roles >= {"content", "style", "style_2", "init", "content_mask", "content_mask_2"}, roles
    assert max(size_of(regions.result("jpeg"))) == 64


@pytest.mark.weights
def test_changes_alpha_pauses_and_cancels(client: Client, photo: Path, painting: Path) -> None:
    job = client.submit(photo, painting, **LONG)
    events = job.watch(every_s=0.2)
    next(event for event in events if isinstance(event, Preview))
    assert job.preview().startswith(b"\xff\xd8")
    job.set_alpha(3)
    wait_until(lambda: job.view()["alphas"][-1] == 3)
    job.pause()
    assert [next(e for e in events if isinstance(e, Progress) and e.state == "paused").state for _ in range(3)]
    job.resume()
    again = client.job(job.id)
    assert job.id in [each.id for each in client.jobs()]
    again.cancel()
    assert list(events)[-1] == Cancelled()
    with pytest.raises(JobCancelledError):
        job.wait()
    job.remove()
    for look_up in (lambda: client.job(job.id), job.status, job.wait, lambda: job.save("gone.png")):
        with pytest.raises(JobError, match="is not in the queue of"):
            look_up()


@pytest.mark.weights
def test_a_watch_that_is_left_ends_its_thread(client: Client) -> None:
    job = client.submit("sample:cat", "sample:ink", **LONG)
    events = job.watch()
    next(event for event in events if isinstance(event, Preview))
    events.close()  # type: ignore[attr-defined]
    wait_until(lambda: not [thread for thread in threading.enumerate() if thread.name == "impasto-events"])
    with pytest.raises(TimeoutError):
        job.wait(timeout_s=0.5)
    job.cancel()


# ---- A studio that goes away ---------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.weights
def test_finds_its_job_again_after_a_restart(tmp_path: Path, photo: Path, painting: Path) -> None:
    running = start_studio(tmp_path / "data", "--checkpoint-every", "0.2", has_samples=True)
    port = int(running.address.rpartition(":")[2])
    try:
        job = Client(running.address).submit(photo, painting, size=64, iterations=200, scales=1)
        events = job.watch()
        before = next(event for event in events if isinstance(event, Progress) and event.step > 2)
        with ThreadPoolExecutor(1) as thread:
            rest = thread.submit(list, events)
            running.interrupt()
            kill_studio(running)
            running = start_studio(tmp_path / "data", port=port)
            after = rest.result(300)
        assert isinstance(after[-1], Done)
        assert before.steps == 200
        assert [event.step for event in after if isinstance(event, Progress)][-1] == 200
    finally:
        kill_studio(running)


def test_says_when_the_studio_is_gone_or_has_another_queue(tmp_path: Path) -> None:
    running = start_studio(tmp_path / "data", "--workers", "0", has_samples=True)
    port = int(running.address.rpartition(":")[2])
    try:
        events = Client(running.address).submit("sample:cat", "sample:ink", **SMALL).watch(reconnect_s=0.3)
        lost = Client(running.address).job(1).watch(reconnect_s=300)
        for stream in (events, lost):
            assert isinstance(next(stream), Progress)
        with ThreadPoolExecutor(2) as threads:
            rest = [threads.submit(list, stream) for stream in (events, lost)]
            kill_studio(running)
            with pytest.raises(ConnectionLostError, match=f"127.0.0.1:{port} was lost"):
                rest[0].result(300)
            running = start_studio(tmp_path / "other", "--workers", "0", port=port, has_samples=True)
            with pytest.raises(JobError, match="another queue"):
                rest[1].result(300)
    finally:
        kill_studio(running)


def test_says_when_a_job_was_removed(tmp_path: Path) -> None:
    running = start_studio(tmp_path / "data", "--workers", "0", has_samples=True)
    try:
        job = Client(running.address).submit("sample:cat", "sample:ink", **SMALL)
        events = job.watch(every_s=0.1)
        next(events)
        next(events)
        job.remove()
        with pytest.raises(JobError, match="not in the queue"):
            list(events)
    finally:
        kill_studio(running)


def test_reports_a_failed_job(tmp_path: Path) -> None:
    running = start_studio(tmp_path / "data", "--workers", "0", has_samples=True)
    try:
        job = Client(running.address).submit("sample:cat", "sample:ink", **SMALL)
        store = JobStore(tmp_path / "data")
        claim = store.claim("worker")
        assert claim
        store.fail(claim, "The disk is full.")
        assert list(job.watch())[-1] == Failed("The disk is full.")
        with pytest.raises(JobFailedError, match=f"Job {job.id} failed: The disk is full."):
            job.result()
        job.retry()
        assert isinstance(job.status(), Progress)
    finally:
        kill_studio(running)


# ---- Refusals ------------------------------------------------------------------------------------


def test_says_how_to_start_a_studio() -> None:
    with pytest.raises(NoStudioError, match="impasto studio"):
        Client("http://127.0.0.1:9").check()
    for url in ("127.0.0.1:8077", "http://", "ftp://localhost", "http://localhost:port"):
        with pytest.raises(StudioError, match="no address"):
            Client(url)


def test_needs_the_right_token(tmp_path: Path) -> None:
    running = start_studio(tmp_path / "data", "--workers", "0", "--token", TOKEN)
    try:
        assert Client(running.address, TOKEN).jobs() == []
        with pytest.raises(TokenError, match="needs a token"):
            Client(running.address).submit("sample:cat", "sample:ink")
        with pytest.raises(TokenError, match="refused the token"):
            Client(running.address, "another-token-altogether").jobs()
    finally:
        kill_studio(running)


def test_versions_of_client_and_studio_are_the_same(client: Client) -> None:
    assert schemas.API_VERSION == API_VERSION
    assert client.check() == impasto.__version__
    assert tuple(PRESETS) == impasto_client.PRESETS


@pytest.mark.parametrize(
    ("health", "upgrade"),
    [({"version": "0.0.9"}, "impasto"), ({"version": "9.0.0", "api": API_VERSION + 1}, "impasto-client")],
)
def test_says_which_side_to_upgrade(
    stand_in: str, monkeypatch: pytest.MonkeyPatch, health: dict[str, Any], upgrade: str
) -> None:
    monkeypatch.setattr(StandIn, "answer", (200, json.dumps(health).encode()))
    with pytest.raises(VersionError, match=rf"pip install --upgrade {upgrade}$"):
        Client(stand_in).check()


@pytest.mark.parametrize(
    "answer", [(200, b"<html>"), (200, b"[]"), (200, b""), (404, b"no"), (404, b'{"error": "no"}')]
)
def test_recognizes_other_servers(stand_in: str, monkeypatch: pytest.MonkeyPatch, answer: tuple[int, bytes]) -> None:
    monkeypatch.setattr(StandIn, "answer", answer)
    with pytest.raises(StudioError, match="no Impasto studio"):
        Client(stand_in).submit("sample:cat", "sample:ink")


def test_a_proxy_without_its_studio_is_a_lost_connection(stand_in: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StandIn, "answer", (502, b"<html>"))
    with pytest.raises(ConnectionLostError, match="502"):
        Client(stand_in).jobs()


def test_refuses_empty_and_missing_files(client: Client, tmp_path: Path) -> None:
    empty = tmp_path / "empty.png"
    empty.touch()
    for picture, message in ((empty, "empty.png is empty"), (b"", "0 bytes"), (tmp_path / "no.png", "cannot be read")):
        with pytest.raises(PictureError, match=message):
            client.submit(picture, "sample:ink")


def test_passes_on_what_the_studio_says(client: Client) -> None:
    for styles, options, message in (
        ("sample:ink", {"sise": 64}, "sise"),
        ("sample:ink", {"size": -1}, "size"),
        ("sample:ink", {"preset": "nice"}, "There is no preset 'nice'"),
        ("sample:nothing", {}, "nothing"),
        (b"no picture", {}, "picture"),
        ("sample:ink", {"profile": b"no profile"}, "profile"),
    ):
        with pytest.raises(RequestError, match=message) as caught:
            client.submit("sample:cat", styles, **options)
        assert caught.value.status in (409, 422)
    with pytest.raises(RequestError) as caught:
        client.upload(b"\x00" * 200_000_001)
    assert caught.value.status == 413


# ---- A studio of its own -------------------------------------------------------------------------


@pytest.mark.weights
def test_starts_and_ends_a_studio(tmp_path: Path) -> None:
    with Client.local(data_dir=str(tmp_path / "data")) as client:
        assert max(size_of(client.paint("sample:cat", "sample:ink", **SMALL))) == 64
        with pytest.raises(TokenError):
            Client(client.url).jobs()
    with pytest.raises(NoStudioError):
        client.check()


def test_ends_its_studio_with_the_program(tmp_path: Path) -> None:
    code = f"""
import sys; sys.path.insert(0, {str(PACKAGE.parent)!r})
from impasto_client import Client
print(Client.local(data_dir={str(tmp_path / "data")!r}, workers=0).url)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    with pytest.raises(NoStudioError):
        Client(done.stdout.strip()).check()


def test_says_why_a_studio_cannot_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match="file"):
        Client.local(data_dir=str(tmp_path / "file"))
    with pytest.raises(NotInstalledError, match="pip install impasto"):
        Client.local(command=[str(tmp_path / "impasto")])
    with pytest.raises(StartError, match="did not answer within"):
        Client.local(command=[sys.executable, "-c", "import time; time.sleep(100)"], start_timeout_s=0.2)
    with pytest.raises(StartError, match="it ended with status 3"):
        Client.local(command=[sys.executable, "-c", "raise SystemExit(3)"])
    monkeypatch.setattr(sys, "executable", "/usr/bin/krita")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotInstalledError, match="PATH"):
        Client.local()
    (tmp_path / "impasto").touch(0o755)
    assert local_module.find_impasto() == [str(tmp_path / "impasto")]


# ---- In the Pythons of other programs ------------------------------------------------------------


def test_imports_without_any_package() -> None:
    code = f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); import impasto_client; impasto_client.Client()"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)


@pytest.mark.parametrize("path", sorted(CLIENTS.rglob("*.py")), ids=lambda path: str(path.relative_to(CLIENTS)))
def test_is_written_for_python_3_8(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 8))
    aliases = [node.value for node in tree.body if isinstance(node, ast.Assign)]
    generics = [ast.unparse(alias.value) for alias in aliases if isinstance(alias, ast.Subscript)]
    assert not {"dict", "frozenset", "list", "set", "tuple"} & set(generics), "these are types only since Python 3.9"


def test_package_is_typed_and_its_names_exist() -> None:
    assert (PACKAGE / "py.typed").exists()
    assert all(hasattr(impasto_client, name) for name in impasto_client.__all__)
