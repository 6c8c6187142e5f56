"""The plug-in for Krita, as far as it works without Krita: `make test-krita` runs it there."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from builders.servers import RunningStudio
from builders.waiting import wait_until
from impasto_client import Client, NoStudioError
from impasto_krita import painting as painting_module
from impasto_krita.painting import Ended, Message, Painting, Picture, Request, Studios
from PIL import Image

from impasto.cli import main
from impasto.clients import find_krita_folder, install_krita_plugin
from impasto.errors import OutputError

pytestmark = pytest.mark.xdist_group("client")

SMALL: dict[str, Any] = {"size": 64, "iterations": 6, "scales": 1}
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def studios() -> Iterator[Studios]:
    studios = Studios()
    yield studios
    studios.close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a home folder of a user of Krita on Linux."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".local" / "share" / "krita").mkdir(parents=True)
    return tmp_path


def follow(painting: Painting) -> list[Any]:
    """Poll a painting until it has ended, and return what has happened."""
    events: list[Any] = []

    def has_ended() -> bool:
        events.extend(painting.poll())
        return bool(events) and isinstance(events[-1], Ended)

    wait_until(has_ended)
    return events


# ---- Paint ---------------------------------------------------------------------------------------


@pytest.mark.weights
def test_paints_in_a_thread(studios: Studios, studio: RunningStudio, photo: Path, painting: Path) -> None:
    stream = io.BytesIO()
    with Image.open(photo) as image:
        Image.new("L", image.size, 0).save(stream, "png")
    request = Request(photo.read_bytes(), str(painting), stream.getvalue(), {"preset": "painterly", **SMALL})
    events = follow(Painting(studios, studio.address, None, request))
    assert not events[-1].is_error, events[-1].text
    finished = [event for event in events if isinstance(event, Picture)][-1]
    assert finished.is_finished
    with Image.open(io.BytesIO(finished.content)) as image:
        assert max(image.size) == 64
    assert any(isinstance(event, Message) and event.text.startswith("Step") for event in events)
    assert events[-1].text.startswith("Painted in")


@pytest.mark.weights
def test_changes_alpha_and_cancels(studios: Studios, studio: RunningStudio, photo: Path, painting: Path) -> None:
    request = Request(photo.read_bytes(), painting.read_bytes(), options=SMALL | {"iterations": 4000})
    running = Painting(studios, studio.address, None, request)
    wait_until(lambda: any(isinstance(event, Picture) for event in running.poll()))
    running.set_alpha(7)
    job = Client(studio.address).jobs()[-1]
    wait_until(lambda: job.view()["alphas"][-1] == 7)
    running.cancel()
    assert follow(running)[-1] == Ended("Cancelled.")


def test_reports_errors(studios: Studios, studio: RunningStudio, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = follow(Painting(studios, studio.address, None, Request(b"no picture", "no-file.png")))
    assert refused[-1].is_error
    assert "picture" in refused[-1].text
    monkeypatch.setattr(painting_module, "_read_command", lambda: ["/nowhere/impasto"])
    missing = follow(Painting(studios, NOWHERE, None, Request(b"", "")))
    assert missing[-1].is_error
    assert "pip install impasto" in missing[-1].text


def test_starts_a_studio_once_if_none_runs(studios: Studios, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMPASTO_DATA", str(tmp_path / "data"))
    said: list[Any] = []
    first, second = (studios.connect(NOWHERE, None, said.append) for _ in range(2))
    assert first is second
    assert said == [Message("Starting a studio…")]
    assert first.jobs() == []
    studios.close()
    with pytest.raises(NoStudioError):
        first.check()


# ---- Install -------------------------------------------------------------------------------------


def test_installs_the_plugin_with_its_client(home: Path) -> None:
    folder = find_krita_folder() / "pykrita"
    (folder / "impasto_krita").mkdir(parents=True)
    (folder / "impasto_krita" / "old.py").touch()
    installed = install_krita_plugin()
    assert installed.settings is None
    assert installed.folder == folder / "impasto_krita"
    assert not (installed.folder / "old.py").exists()
    assert json.loads((installed.folder / "command.json").read_text()) == [sys.executable, "-m", "impasto"]
    desktop = (folder / "impasto_krita.desktop").read_text()
    assert f"X-KDE-Library={installed.folder.name}\n" in desktop
    assert (installed.folder / "Manual.html").exists()
    code = (
        f"import sys; sys.path.insert(0, {str(folder)!r}); import impasto_krita.painting as p; print(p._read_command())"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, capture_output=True, text=True)
    assert sys.executable in done.stdout


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "[python]\nenable_impasto_krita=true\n"),
        ("[a]\nb=1\n", "[a]\nb=1\n\n[python]\nenable_impasto_krita=true\n"),
        (
            "[python]\nenable_impasto_krita=false\nenable_scripter=true\n\n[z]\nä=1\n",
            "[python]\nenable_impasto_krita=true\nenable_scripter=true\n\n[z]\nä=1\n",
        ),
    ],
)
def test_enables_the_plugin(home: Path, before: str | None, after: str) -> None:
    settings = home / ".config" / "kritarc"
    if before is not None:
        settings.parent.mkdir()
        settings.write_text(before, encoding="utf-8")
    for _ in range(2):
        assert install_krita_plugin(enable=True).settings == settings
        assert settings.read_text(encoding="utf-8") == after


def test_finds_other_places(home: Path) -> None:
    (home / ".local" / "share" / "krita").rmdir()
    with pytest.raises(OutputError, match="--folder"):
        find_krita_folder()
    flatpak = home / ".var" / "app" / "org.kde.krita"
    (flatpak / "data" / "krita").mkdir(parents=True)
    assert install_krita_plugin(enable=True).settings == flatpak / "config" / "kritarc"
    with pytest.raises(OutputError, match="no directory"):
        install_krita_plugin(home / "nowhere")
    with pytest.raises(OutputError, match="Python Plugin Manager"):
        install_krita_plugin(home, enable=True)
    assert not (home / "pykrita").exists()


def test_command_says_what_to_do_next(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["krita", "install"]) == 0
    assert "Python Plugin Manager" in capsys.readouterr().out
    assert main(["krita", "install", "--enable"]) == 0
    assert "kritarc" in capsys.readouterr().out
    assert main(["krita", "install", "--folder", str(home / "nowhere")]) == 2
