"""Checks of other programs that Impasto works with: the desktop, the Python client, Krita, ComfyUI and Docker."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from pathlib import Path

from impasto.diagnosis.finding import Fact, Finding
from impasto.diagnosis.software import find_version, pip_line
from impasto.errors import OutputError

__all__ = ["check_client", "check_comfyui", "check_desktop", "check_docker", "check_krita"]

COMFYUI_FOLDERS = ("ComfyUI", "comfy/ComfyUI", "Documents/ComfyUI")
"""Folders in the user's home where ComfyUI is usually installed."""

CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))
"""Files that Docker and Podman put into each container."""


def check_desktop() -> Finding:
    """Find what a window of the studio's own needs, and the shortcut."""
    from impasto.desktop import find_app_browser, find_missing_parts, find_shortcut

    missing, browser = find_missing_parts(), find_app_browser()
    version = None if missing == "pywebview" else find_version("pywebview")
    try:
        shortcut = find_shortcut()
    except OutputError:  # no place for one
        shortcut = None
    facts: dict[str, Fact] = {
        "pywebview": version,
        "missing": missing or None,
        "browser": str(browser) if browser else None,
        "shortcut": str(shortcut.path) if shortcut else None,
    }
    if shortcut and shortcut.command and not Path(shortcut.command[0]).exists():
        summary = f"{shortcut.path} starts {shortcut.command[0]}, which is gone"
        return Finding(summary, "problem", "Run: impasto studio --install-shortcut, or --remove-shortcut", facts)
    menu = "in the desktop's menu" if shortcut else "not in the desktop's menu"
    if missing in ("pywebview", "library") and browser:
        return Finding(f"{browser.stem} shows the studio's window; {menu}", facts=facts)
    if missing == "pywebview":
        return Finding(f"not installed: a window for the studio; {menu}", "note", pip_line("impasto[desktop]"), facts)
    if missing == "library":
        return Finding(f"pywebview {version} has no GUI library; {menu}", "note", pip_line("pywebview[qt]"), facts)
    if missing == "display":
        return Finding(f"pywebview {version}, but no display; {menu}", facts=facts)
    return Finding(f"pywebview {version}; {menu}", facts=facts)


def check_client() -> Finding:
    """Find the client in this Python, and compare its version of the API with that of this studio."""
    facts: dict[str, Fact] = {"installed": False, "version": None, "api": None}
    if importlib.util.find_spec("impasto_client") is None:
        return Finding("not installed: painting from other programs", "note", pip_line("impasto-client"), facts)
    import impasto_client

    from impasto.studio.schemas import API_VERSION

    version, api = impasto_client.__version__, impasto_client.API_VERSION
    facts = {"installed": True, "version": version, "api": api}
    if api != API_VERSION:
        summary = f"impasto-client {version} has API version {api}, and this studio has {API_VERSION}"
        older = "impasto-client" if api < API_VERSION else "impasto"
        return Finding(summary, "problem", pip_line("--upgrade", older), facts)
    return Finding(f"impasto-client {version}; API version {api}, as this studio has", facts=facts)


def check_krita() -> Finding:
    """Find Krita's folder, and compare the plug-in there with that of this Impasto."""
    from impasto.clients import find_krita_folder, find_krita_plugin

    install = "Close Krita, and run: impasto krita install --enable"
    facts: dict[str, Fact] = {"folder": None, "installed": False, "current": None}
    try:
        folder = find_krita_folder()
    except (OutputError, RuntimeError):  # no Krita, or no home folder
        return Finding("Krita is not on this machine, or was never started", facts=facts)
    plugin = find_krita_plugin(folder)
    facts["folder"] = str(folder)
    if plugin is None:
        return Finding("the plug-in is not installed", "note", install, facts)
    facts |= {"installed": True, "current": plugin.is_current}
    if not plugin.is_current:
        return Finding(f"{plugin.folder} is of another version of Impasto", "note", install, facts)
    if plugin.program and not Path(plugin.program).exists():
        return Finding(f"the plug-in starts {plugin.program}, which is gone", "problem", install, facts)
    return Finding(f"{plugin.folder}, of this version", facts=facts)


def check_comfyui() -> Finding:
    """Find ComfyUI in its usual folders, and Impasto's nodes there. Its Python is not looked at."""
    guide = "See docs/guides/comfyui.md"
    facts: dict[str, Fact] = {"folder": None, "nodes": None}
    try:
        folders = [Path.home() / name for name in COMFYUI_FOLDERS]
    except RuntimeError:  # no home folder
        folders = []
    if chosen := os.environ.get("COMFYUI_PATH"):
        folders.insert(0, Path(chosen).expanduser())
    folder = next((folder for folder in folders if (folder / "custom_nodes").is_dir()), None)
    if folder is None:
        return Finding("not checked: it is not in its usual folders, nor at COMFYUI_PATH", facts=facts)
    facts["folder"] = str(folder)
    nodes = folder / "custom_nodes" / "impasto_comfyui"
    if not nodes.is_dir():
        return Finding(f"{folder} has no nodes of Impasto", "note", guide, facts)
    version = re.search(r'^version = "(.+)"$', (nodes / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    facts["nodes"] = version[1] if version else None
    return Finding(f"nodes {version[1] if version else 'of unknown version'} in {nodes}", facts=facts)


def check_docker() -> Finding:
    """Look for a container around this process, and for the command `docker`. It is not run."""
    command = shutil.which("docker")
    is_container = any(mark.exists() for mark in CONTAINER_MARKS)
    facts: dict[str, Fact] = {"container": is_container, "command": command}
    if is_container:
        return Finding("in a container", facts=facts)
    return Finding(f"command found: {command}" if command else "command not found", facts=facts)
