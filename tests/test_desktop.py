"""The studio's window, the shortcut in the menu, and a second start of a studio."""

from __future__ import annotations

import json
import os
import plistlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from builders.servers import RunningStudio, kill_studio, start_studio
from builders.systems import LINUX_ONLY
from builders.waiting import wait_until
from PIL import Image

from impasto.cli import main
from impasto.cli.viewer import Viewer
from impasto.desktop import (
    BrowserWindow,
    StudioWindow,
    WindowError,
    find_app_browser,
    find_missing_parts,
    find_shortcut,
    install_shortcut,
    remove_shortcut,
)
from impasto.desktop.downloads import repair_downloads
from impasto.desktop.shortcut import desktop_entry
from impasto.errors import OutputError
from impasto.jobs import JobStore
from impasto.studio.running import announce, find_running_studio

FAKE_WEBVIEW = '''
"""A stand-in for pywebview: its window is closed by a file "close" in its folder."""
import os, time
from pathlib import Path
from types import SimpleNamespace

HERE = Path(__file__).parent
settings = {}
open_windows = set()

class Event(list):
    __iadd__ = lambda self, handler: self.append(handler) or self

def create_window(title, address, **sizes):
    (HERE / f"opened-{os.getpid()}").write_text(address)
    window = SimpleNamespace(events=SimpleNamespace(shown=Event()), destroy=lambda: open_windows.discard(title))
    open_windows.add(title)
    settings["window"] = window
    return window

def start(gui=None, icon=None):
    exec((HERE / "behavior").read_text())
    for handler in settings["window"].events.shown:
        handler()
    while open_windows and not (HERE / "close").exists():
        time.sleep(0.02)
'''
GUILIB = (
    'def initialize(gui):\n    import types\n    return types.SimpleNamespace(__name__="none", BrowserView=object)\n'
)


@pytest.fixture
def webview(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the stand-in for pywebview where this process and its children find it."""
    folder = tmp_path / "modules" / "webview"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(FAKE_WEBVIEW)
    (folder / "guilib.py").write_text(GUILIB)
    (folder / "behavior").touch()
    (tmp_path / "modules" / "gi.py").touch()
    monkeypatch.syspath_prepend(folder.parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder.parent), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_DATA_HOME", "APPDATA", "LOCALAPPDATA", "IMPASTO_DATA"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def opened(webview: Path) -> list[str]:
    """Return the addresses of all windows that were opened."""
    return [address for path in webview.glob("opened-*") if (address := path.read_text())]


# ---- Window --------------------------------------------------------------------------------------


def test_window_shows_a_page_and_closes(webview: Path) -> None:
    window = StudioWindow("http://127.0.0.1:1")
    window.wait_until_shown()
    assert not window.is_closed
    assert opened(webview) == ["http://127.0.0.1:1"]
    window.close()
    assert window.is_closed


@pytest.mark.parametrize(
    ("behavior", "reason"),
    [("raise RuntimeError('You must have\\nQt')", "You must have Qt"), ("os._exit(7)", "at once, with status 7")],
)
def test_window_that_cannot_be_shown(webview: Path, behavior: str, reason: str) -> None:
    (webview / "behavior").write_text(behavior)
    window = StudioWindow("http://127.0.0.1:1")
    with pytest.raises(WindowError, match=reason):
        window.wait_until_shown()
    window.close()


def test_window_that_does_not_react_is_killed(webview: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("impasto.desktop.window.CLOSE_TIMEOUT_S", 0.1)
    (webview / "behavior").write_text("import webview; webview.settings['window'].destroy = lambda: time.sleep(60)")
    window = StudioWindow("http://127.0.0.1:1")
    window.wait_until_shown()
    window.close()
    assert window.is_closed


def test_missing_parts_are_named(webview: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    assert find_missing_parts() == ""
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert find_missing_parts() == "display"
    with pytest.raises(WindowError, match="no display"):
        StudioWindow("http://127.0.0.1:1")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if name == "webview" else None)
    assert find_missing_parts() == "library"
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert find_missing_parts() == "pywebview"
    monkeypatch.setenv("DISPLAY", ":99")
    with pytest.raises(WindowError, match=r"impasto\[desktop\]"):
        StudioWindow("http://127.0.0.1:1")


def test_downloads_are_repaired() -> None:
    asked: list[Any] = []

    class Browser:
        def create_file_dialog(self, kind: str, folder: str, name: str) -> None:
            asked.append((kind, folder, name))

    repair_downloads(SimpleNamespace(__name__="webview.platforms.gtk", BrowserView=Browser))
    Browser().create_file_dialog("save", None, "a.png")  # type: ignore[arg-type]
    assert asked == [("save", str(Path.home()), "a.png")]
    repair_downloads(SimpleNamespace(__name__="webview.platforms.qt", BrowserView=Browser))
    assert hasattr(Browser, "on_download_requested")


# ---- Browser -------------------------------------------------------------------------------------

FAKE_BROWSER = """#!/bin/sh
echo "$@" > '{folder}/arguments'
while ! [ -e '{folder}/close' ]; do sleep 0.02; done
exit "$(cat '{folder}/close')"
"""


@pytest.fixture
def chromium(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a stand-in for Chromium on the PATH, and hide pywebview. A file "close" with a status ends it."""
    monkeypatch.setattr("impasto.desktop.browser_window.START_S", 0.5)
    folder = tmp_path / "bin"
    folder.mkdir()
    browser = folder / "chromium"
    browser.write_text(FAKE_BROWSER.format(folder=folder))
    browser.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(folder), os.environ["PATH"]]))
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("impasto.desktop.window.find_missing_parts", lambda: "pywebview")
    return folder


def arguments_of(browser: Path) -> dict[str, str]:
    """Return the flags with a value that the stand-in was started with."""
    wait_until(lambda: (browser / "arguments").exists() and (browser / "arguments").read_text())
    words = (browser / "arguments").read_text().split()
    return dict(word.split("=", 1) for word in words if "=" in word)


@LINUX_ONLY
def test_browser_shows_a_window_with_a_profile_of_its_own(chromium: Path) -> None:
    assert find_app_browser() == chromium / "chromium"
    window = BrowserWindow("http://127.0.0.1:1")
    window.wait_until_shown()
    arguments = arguments_of(chromium)
    assert arguments["--app"] == "http://127.0.0.1:1"
    profile = Path(arguments["--user-data-dir"])
    assert profile.is_dir()
    assert not window.is_closed
    window.close()
    assert window.is_closed
    assert not profile.exists()


@LINUX_ONLY
def test_browser_that_ends_at_once_is_no_window(chromium: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (chromium / "close").write_text("3")
    window = BrowserWindow("http://127.0.0.1:1")
    with pytest.raises(WindowError, match="chromium ended at once, with status 3"):
        window.wait_until_shown()
    window.close()
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert find_app_browser() is None
    with pytest.raises(WindowError, match="no display"):
        BrowserWindow("http://127.0.0.1:1")


def test_browser_is_found_in_the_usual_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    for variable in ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    for platform, place in (
        ("win32", "Microsoft/Edge/Application/msedge.exe"),
        ("darwin", "Applications/Chromium.app/Contents/MacOS/Chromium"),
    ):
        monkeypatch.setattr(sys, "platform", platform)
        assert find_app_browser() is None
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).touch()
        assert find_app_browser() == tmp_path / place


@LINUX_ONLY
def test_closing_the_browsers_window_ends_the_viewer(chromium: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Viewer(app=True, browser=False) as viewer:
        viewer.show("http://127.0.0.1:1")
        profile = Path(arguments_of(chromium)["--user-data-dir"])
        wait_until(lambda: viewer._is_shown)
        assert not viewer.is_closed
        (chromium / "close").write_text("0")
        wait_until(lambda: viewer.is_closed)
    assert not profile.exists()
    assert capsys.readouterr().err == ""


# ---- Studio --------------------------------------------------------------------------------------


@pytest.fixture
def app(webview: Path, tmp_path: Path) -> Iterator[RunningStudio]:
    studio = start_studio(tmp_path / "data", "--app", "--workers", "0")
    wait_until(lambda: opened(webview))
    yield studio
    kill_studio(studio)


def test_closing_the_window_closes_the_studio(app: RunningStudio, webview: Path, tmp_path: Path) -> None:
    assert opened(webview) == [app.address]
    assert find_running_studio(tmp_path / "data") == app.address
    (webview / "close").touch()
    assert app.process.wait(300) == 0
    assert not (tmp_path / "data" / "studio.json").exists()
    assert app.process.stderr is not None
    assert "the studio is closed" in app.process.stderr.read()


def test_second_start_opens_a_window_of_the_first(app: RunningStudio, webview: Path, tmp_path: Path) -> None:
    second = start_studio(tmp_path / "data", "--app")
    assert second.address == app.address
    wait_until(lambda: len(opened(webview)) == 2)
    assert opened(webview) == [app.address] * 2
    assert second.interrupt() == 0
    assert app.process.poll() is None
    assert app.interrupt() == 0
    kill_studio(second)


def test_second_start_opens_a_browser_if_the_port_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = start_studio(tmp_path / "data", "--workers", "0")
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", shown.append)
    command = ["studio", "--port", first.address.rpartition(":")[2], "--workers", "0"]
    try:
        assert main([*command, "--data-dir", str(tmp_path / "data")]) == 0
        assert shown == [first.address]
        assert main([*command, "--data-dir", str(tmp_path / "other")]) == 2  # the studio of another queue
    finally:
        kill_studio(first)


def test_browser_opens_where_no_window_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    browser = tmp_path / "browser"
    browser.write_text(f"#!/bin/sh\necho $1 > '{tmp_path}/shown'\n")
    browser.chmod(0o755)
    command = [sys.executable, "-m", "impasto", "studio", "--app", "--port", "0", "--workers", "0"]
    environment = os.environ | {"BROWSER": f"{browser} %s"}
    process = subprocess.Popen(
        [*command, "--data-dir", str(tmp_path / "data")],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: (tmp_path / "shown").exists() and (tmp_path / "shown").read_text())
    process.terminate()
    output, errors = process.communicate(timeout=300)
    assert (tmp_path / "shown").read_text().strip() == output.split()[-1]
    assert "There is no window of its own: there is no display." in errors.splitlines()[0]
    assert errors.splitlines()[0].endswith("Opening the browser instead.")


def test_a_studio_is_found_only_if_it_answers(tmp_path: Path) -> None:
    assert find_running_studio(tmp_path) is None
    with announce(tmp_path, "http://127.0.0.1:9"):
        assert find_running_studio(tmp_path) is None
        assert JobStore(tmp_path).verify() == []
    assert not (tmp_path / "studio.json").exists()
    for text in ("", "[]", "{}", '{"address": "x", "pid": "x", "machine": ""}', "\x00"):
        (tmp_path / "studio.json").write_text(text)
        assert find_running_studio(tmp_path) is None


def test_studio_with_a_token_is_not_announced(tmp_path: Path) -> None:
    studio = start_studio(tmp_path / "data", "--workers", "0", "--token", "sixteen-signs-or-more")
    assert not (tmp_path / "data" / "studio.json").exists()
    kill_studio(studio)


# ---- Shortcut ------------------------------------------------------------------------------------


def test_desktop_entry_quotes_what_the_specification_asks() -> None:
    entry = desktop_entry(["/opt/my python/python3", "-m", "impasto", '100% "a" $b `c` \\d'])
    assert r'Exec="/opt/my python/python3" -m impasto "100%% \\"a\\" \\$b \\`c\\` \\\\d"' in entry.splitlines()
    assert "TryExec=/opt/my python/python3" in entry.splitlines()


@LINUX_ONLY
def test_shortcut_is_valid(home: Path) -> None:
    shortcut = install_shortcut(["--data-dir", "/data/a b"])
    assert shortcut.path == home / ".local" / "share" / "applications" / "impasto.desktop"
    assert shortcut.icon.read_text().startswith("<svg")
    assert shortcut.command[-3:] == ["--app", "--data-dir", "/data/a b"]
    if shutil.which("desktop-file-validate"):
        checked = subprocess.run(["desktop-file-validate", shortcut.path], capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stdout) == (0, "")


@LINUX_ONLY
def test_shortcut_starts_from_any_folder(home: Path, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('a file of the user')")
    command = install_shortcut().command
    assert command[:2] == [sys.executable, "-P"]
    subprocess.run([*command, "--help"], cwd=tmp_path, check=True, capture_output=True)


@LINUX_ONLY
def test_command_installs_and_removes_a_shortcut(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["studio", "--install-shortcut", "--data-dir", "here", "--workers", "2", "--port", "9000"]) == 0
    shortcut = find_shortcut()
    assert shortcut is not None
    assert capsys.readouterr().out.strip() == str(shortcut.path)
    options = ["--data-dir", str(Path("here").absolute()), "--port", "9000", "--workers", "2"]
    assert shortcut.command[-6:] == options
    assert not Path("here").exists()
    assert main(["studio", "--remove-shortcut"]) == 0
    assert find_shortcut() is None
    assert not shortcut.icon.exists()
    assert not shortcut.record.exists()
    assert main(["studio", "--remove-shortcut"]) == 0
    assert "There is no shortcut." in capsys.readouterr().out


def test_shortcut_for_macos(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(sys, "executable", "/opt/my python/python3")
    shortcut = install_shortcut()
    assert shortcut.path == home / "Applications" / "Impasto.app"
    properties = plistlib.loads((shortcut.path / "Contents" / "Info.plist").read_bytes())
    program = shortcut.path / "Contents" / "MacOS" / properties["CFBundleExecutable"]
    assert program.read_text() == "#!/bin/sh\nexec '/opt/my python/python3' -P -m impasto studio --app\n"
    assert program.stat().st_mode & 0o111
    with Image.open(shortcut.path / "Contents" / "Resources" / properties["CFBundleIconFile"]) as icon:
        assert icon.format == "ICNS"
    assert remove_shortcut() == shortcut
    assert not shortcut.path.exists()


def test_shortcut_for_windows(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[dict[str, str]] = []

    def run(command: list[str], env: dict[str, str], **_: Any) -> None:
        assert command[0] == "powershell"
        started.append(env)
        Path(env["IMPASTO_LINK"]).touch()

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(subprocess, "run", run)
    shortcut = install_shortcut(["--data-dir", "C:\\my data"])
    assert shortcut.path.suffix == ".lnk"
    assert started[0]["IMPASTO_ARGUMENTS"].endswith('--app --data-dir "C:\\my data"')
    with Image.open(shortcut.icon) as icon:
        assert icon.format == "ICO"

    def fail(*_: Any, **__: Any) -> None:
        raise subprocess.CalledProcessError(1, "powershell")

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(OutputError, match="PowerShell"):
        install_shortcut()
    assert remove_shortcut() == shortcut


def test_refused_shortcuts(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    token = "sixteen-signs-or-more"
    for options, message in (
        (["--remove-shortcut"], "exclude each other"),
        (["--host", "0.0.0.0", "--token", token], "this computer alone"),
        (["--workers", "99"], "0 to 64"),
    ):
        assert main(["studio", "--install-shortcut", *options]) == 2
        assert message in capsys.readouterr().err
    (home / ".local").write_text("a file")
    assert main(["studio", "--install-shortcut"]) == 2
    assert "cannot be installed" in capsys.readouterr().err
    monkeypatch.setattr(sys, "platform", "emscripten")
    assert main(["studio", "--install-shortcut"]) == 2
    assert "not known for emscripten" in capsys.readouterr().err


def test_record_of_a_shortcut_may_be_damaged(home: Path) -> None:
    shortcut = install_shortcut()
    for text in ("", "{}", json.dumps("x")):
        shortcut.record.write_text(text)
        assert shortcut.command == []
