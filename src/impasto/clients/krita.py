"""The plug-in for Krita, and its place."""

from __future__ import annotations

import filecmp
import json
import os
import re
import shutil
import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from impasto.errors import OutputError
from impasto.files import atomic_write

__all__ = ["Installation", "InstalledPlugin", "find_krita_folder", "find_krita_plugin", "install_krita_plugin"]

PLUGIN, CLIENT = "impasto_krita", "impasto_client"
COMMAND = "command.json"
"""A file with the command that runs Impasto, so that the plug-in can start a studio."""

ENABLED = f"enable_{PLUGIN}=true"
SECTION = "[python]"


@dataclass(frozen=True)
class Installation:
    """An installed plug-in: its folder, and Krita's file of settings if it is enabled there."""

    folder: Path
    settings: Path | None


@dataclass(frozen=True)
class InstalledPlugin:
    """A plug-in that was found in a resource folder of Krita."""

    folder: Path
    is_current: bool
    """True if its files are those of this Impasto."""

    program: str
    """The Python that it starts Impasto with; empty if that is not known."""


def find_krita_plugin(folder: Path) -> InstalledPlugin | None:
    """Return the plug-in that is installed in Krita's resource folder, or None. Raises `OSError`."""
    target = folder / "pykrita"
    if not (target / PLUGIN).is_dir():
        return None
    sources = (_source("krita", PLUGIN), _source("python", CLIENT))
    is_current = all(_has_same_files(source, target / source.name) for source in sources)
    try:
        command = json.loads((target / PLUGIN / COMMAND).read_text(encoding="utf-8"))
        program = str(command[0])
    except (OSError, ValueError, LookupError, TypeError):
        program = ""
    return InstalledPlugin(target / PLUGIN, is_current, program)


def _has_same_files(source: Path, target: Path) -> bool:
    names = [path.name for path in source.iterdir() if path.is_file()]
    return not any(filecmp.cmpfiles(source, target, names, shallow=False)[1:])


def find_krita_folder() -> Path:
    """Return the resource folder of the user's Krita. Raises `OutputError` if Krita was never started."""
    folders = [folder for folder, _ in _known_places()]
    found = next((folder for folder in folders if folder.is_dir()), None)
    if found is None:
        raise OutputError(
            f"Krita has no folder at {folders[0]}. Start Krita once, or give --folder: Krita shows it in Settings, "
            "Manage Resources, Open Resource Folder."
        )
    return found


def install_krita_plugin(folder: Path | None = None, *, enable: bool = False) -> Installation:
    """Copy the plug-in, and the client that it uses, into Krita's resource folder. An older one is replaced.

    With `enable`, it is also enabled in Krita's settings; close Krita before. Raises `OutputError`.
    """
    chosen = folder or find_krita_folder()
    if not chosen.is_dir():
        raise OutputError(f"There is no directory {chosen}. Give Krita's resource folder.")
    target = chosen / "pykrita"
    settings = _find_settings(chosen) if enable else None
    try:
        for source in (_source("krita", PLUGIN), _source("python", CLIENT)):
            _replace_folder(source, target / source.name)
        desktop = _source("krita", f"{PLUGIN}.desktop")
        _copy(desktop, target / desktop.name)
        with atomic_write(target / PLUGIN / COMMAND) as temporary:
            temporary.write_text(json.dumps([sys.executable, "-m", "impasto"]), encoding="utf-8")
        if settings is not None:
            _enable(settings)
    except OSError as error:
        raise OutputError(f"{target} could not be written: {error.strerror or error}.") from error
    return Installation(target / PLUGIN, settings)


def _source(client: str, name: str) -> Path:
    """Return a file or folder of a client: in the installed package, or in the source tree."""
    package = Path(str(resources.files("impasto")))
    installed = package / "clients" / "shipped" / name
    if installed.exists():
        return installed
    tree = package.parent.parent / "clients" / client
    return tree / "src" / name if client == "python" else tree / name


def _replace_folder(source: Path, target: Path) -> None:
    """Copy a folder of Python files, and remove what an older version has left there."""
    names = {path.name for path in source.iterdir() if path.is_file()}
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        _copy(source / name, target / name)
    for path in target.iterdir():
        if path.is_file() and path.name not in {*names, COMMAND}:
            path.unlink()
    shutil.rmtree(target / "__pycache__", ignore_errors=True)


def _copy(source: Path, target: Path) -> None:
    with atomic_write(target) as temporary:
        shutil.copyfile(source, temporary)


def _enable(settings: Path) -> None:
    """Enable the plug-in in Krita's file of settings, and keep all else."""
    text = settings.read_text(encoding="utf-8") if settings.exists() else ""
    lines = [line for line in text.splitlines() if not re.match(rf"enable_{PLUGIN}\s*=", line)]
    if SECTION not in lines:
        lines += ["", SECTION] if lines else [SECTION]
    lines.insert(lines.index(SECTION) + 1, ENABLED)
    settings.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(settings) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _find_settings(folder: Path) -> Path:
    """Return the file of settings that belongs to a resource folder. Raises `OutputError` for one of unknown place."""
    for known, settings in _known_places():
        if known == folder.absolute():
            return settings
    raise OutputError(
        f"The settings that belong to {folder} are not known. Leave out --enable, and enable Impasto in Krita: "
        "Settings, Configure Krita, Python Plugin Manager."
    )


def _known_places() -> list[tuple[Path, Path]]:
    """Return the resource folders and the files of settings of Krita on this system, the usual ones first."""
    home = Path.home()
    if sys.platform == "win32":
        roaming, local = (Path(os.environ.get(name, home)) for name in ("APPDATA", "LOCALAPPDATA"))
        return [(roaming / "krita", local / "kritarc")]
    if sys.platform == "darwin":
        library = home / "Library"
        return [(library / "Application Support" / "krita", library / "Preferences" / "kritarc")]
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    flatpak, snap = home / ".var" / "app" / "org.kde.krita", home / "snap" / "krita" / "current"
    return [
        (data / "krita", config / "kritarc"),
        (flatpak / "data" / "krita", flatpak / "config" / "kritarc"),
        (snap / ".local" / "share" / "krita", snap / ".config" / "kritarc"),
    ]
