"""The studio in the menu of programs: on Linux and other systems that follow freedesktop.org, macOS and Windows."""

from __future__ import annotations

import contextlib
import json
import os
import plistlib
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import impasto
from impasto.desktop.icon import write_icon
from impasto.errors import OutputError
from impasto.files import atomic_write

__all__ = ["Shortcut", "find_shortcut", "install_shortcut", "remove_shortcut"]

NAME, IDENTIFIER = "Impasto", "impasto"
SUMMARY = "Paint a photo in the style of a painting"
POWERSHELL_TIMEOUT_S = 60.0

MAKE_LINK = """
$ErrorActionPreference = 'Stop'
$link = (New-Object -ComObject WScript.Shell).CreateShortcut($env:IMPASTO_LINK)
$link.TargetPath = $env:IMPASTO_PROGRAM
$link.Arguments = $env:IMPASTO_ARGUMENTS
$link.IconLocation = $env:IMPASTO_ICON
$link.Description = $env:IMPASTO_SUMMARY
$link.Save()
"""
"""A program for PowerShell. Its values come from the environment, which needs no quoting."""


@dataclass(frozen=True)
class Shortcut:
    """The place of a shortcut, and of the other files that belong to it."""

    path: Path
    """A .desktop file, an .app folder, or a .lnk file."""

    icon: Path
    record: Path
    """The command that the shortcut starts, as JSON."""

    @property
    def command(self) -> list[str]:
        """The command that the shortcut starts; empty if it is not known."""
        with contextlib.suppress(OSError, ValueError):
            words = json.loads(self.record.read_text(encoding="utf-8"))
            return [str(word) for word in words] if isinstance(words, list) else []
        return []


def _place() -> Shortcut:
    """Return where the shortcut of this user is, or would be. Raises `OutputError`."""
    try:
        home = Path.home()
    except RuntimeError as error:
        raise OutputError("This user has no home folder, so there is no menu to add Impasto to.") from error
    if sys.platform == "win32":
        menu = Path(os.environ.get("APPDATA") or home / "AppData" / "Roaming") / "Microsoft" / "Windows" / "Start Menu"
        files = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / IDENTIFIER
        return Shortcut(menu / "Programs" / f"{NAME}.lnk", files / "impasto.ico", files / "shortcut.json")
    if sys.platform == "darwin":
        bundle = home / "Applications" / f"{NAME}.app"
        resource = bundle / "Contents" / "Resources"
        return Shortcut(bundle, resource / "impasto.icns", resource / "shortcut.json")
    if sys.platform.startswith(("linux", "freebsd", "openbsd", "netbsd", "dragonfly")):
        data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
        return Shortcut(
            data / "applications" / f"{IDENTIFIER}.desktop",
            data / "icons" / "hicolor" / "scalable" / "apps" / f"{IDENTIFIER}.svg",
            data / IDENTIFIER / "shortcut.json",
        )
    raise OutputError(f"Shortcuts are not known for {sys.platform}. Start the studio with: impasto studio --app")


def find_shortcut() -> Shortcut | None:
    """Return the installed shortcut, or None. Raises `OutputError` where there can be none."""
    place = _place()
    return place if place.path.exists() else None


def install_shortcut(options: Sequence[str] = (), *, terminal: bool = False) -> Shortcut:
    """Add the studio to the menu of programs. An older shortcut is replaced.

    `options` are passed to `impasto studio --app`. With `terminal`, a terminal shows the studio's messages, and ends it
    (not on macOS). Raises `OutputError`.
    """
    place = _place()
    # -P keeps modules in the folder that it is started from out of its way.
    command = [sys.executable, "-P", "-m", "impasto", "studio", "--app", *options]
    try:
        for folder in (place.path.parent, place.record.parent):
            folder.mkdir(parents=True, exist_ok=True)
        write_icon(place.icon)
        if sys.platform == "win32":
            _write_link(place, command, terminal)
        elif sys.platform == "darwin":
            _write_bundle(place.path, command)
        else:
            _write_text(place.path, desktop_entry(command, terminal=terminal))
        _write_text(place.record, json.dumps(command))
    except OSError as error:
        where = error.filename or place.path
        raise OutputError(
            f"The shortcut cannot be installed: {where}: {error.strerror or error}. "
            "Make the folder writable, or start the studio with: impasto studio --app"
        ) from error
    return place


def remove_shortcut() -> Shortcut | None:
    """Remove the shortcut, and return where it was; None if there is none. Raises `OutputError`."""
    place = find_shortcut()
    if place is None:
        return None
    try:
        if place.path.is_dir():
            shutil.rmtree(place.path)
        for path in (place.path, place.icon, place.record):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"The shortcut {place.path} cannot be removed: {error.strerror or error}.") from error
    return place


# ---- Linux ---------------------------------------------------------------------------------------


def desktop_entry(command: Sequence[str], *, terminal: bool = False) -> str:
    """Return the text of a .desktop file: https://specifications.freedesktop.org/desktop-entry-spec/latest/."""
    lines = {
        "Type": "Application",
        "Version": "1.1",
        "Name": NAME,
        "GenericName": "Style Transfer",
        "Comment": SUMMARY,
        "Exec": " ".join(map(_quote_argument, command)),
        "TryExec": command[0],
        "Icon": IDENTIFIER,
        "Terminal": "true" if terminal else "false",
        "Categories": "Graphics;2DGraphics;RasterGraphics;",
        "Keywords": "painting;style;photo;art;",
        "StartupNotify": "true",
        "StartupWMClass": IDENTIFIER,
    }
    return "[Desktop Entry]\n" + "".join(f"{key}={_escape(value)}\n" for key, value in lines.items())


def _quote_argument(word: str) -> str:
    """Quote an argument of `Exec`. Percent signs are doubled, because one begins a field code."""
    if re.fullmatch(r"[\w./:+,@-]+", word, re.ASCII):
        return word
    for character in '\\"`$':
        word = word.replace(character, f"\\{character}")
    return '"' + word.replace("%", "%%") + '"'


def _escape(value: str) -> str:
    """Escape a value of any key, on top of the quotes of `Exec`."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")


# ---- macOS and Windows ---------------------------------------------------------------------------


def _write_bundle(bundle: Path, command: Sequence[str]) -> None:
    """Write an application for macOS: a script, and a list of properties."""
    program = bundle / "Contents" / "MacOS" / IDENTIFIER
    program.parent.mkdir(parents=True, exist_ok=True)
    properties = {
        "CFBundleName": NAME,
        "CFBundleDisplayName": NAME,
        "CFBundleIdentifier": "art.impasto.studio",
        "CFBundleVersion": impasto.__version__,
        "CFBundleShortVersionString": impasto.__version__,
        "CFBundlePackageType": "APPL",
        "CFBundleExecutable": IDENTIFIER,
        "CFBundleIconFile": "impasto.icns",
        "NSHighResolutionCapable": True,
    }
    with atomic_write(bundle / "Contents" / "Info.plist") as temporary:
        temporary.write_bytes(plistlib.dumps(properties))
    _write_text(program, f"#!/bin/sh\nexec {shlex.join(command)}\n")
    program.chmod(0o755)


def _write_link(place: Shortcut, command: Sequence[str], terminal: bool) -> None:
    """Write a shortcut for Windows, which only Windows itself can do."""
    program, *arguments = command
    windowed = Path(program).with_name("pythonw.exe")
    values = {
        "IMPASTO_LINK": str(place.path),
        "IMPASTO_PROGRAM": program if terminal or not windowed.exists() else str(windowed),
        "IMPASTO_ARGUMENTS": subprocess.list2cmdline(arguments),
        "IMPASTO_ICON": str(place.icon),
        "IMPASTO_SUMMARY": SUMMARY,
    }
    try:
        subprocess.run(
            ["powershell", "-NoProfile", "-NonInteractive", "-Command", MAKE_LINK],
            env=os.environ | values,
            check=True,
            capture_output=True,
            timeout=POWERSHELL_TIMEOUT_S,
        )
    except subprocess.SubprocessError as error:
        raise OutputError(f"PowerShell could not write {place.path}: {error}") from error


def _write_text(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
