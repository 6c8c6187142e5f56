"""Checks of installed software: Impasto, Python, torch, libvips, compiled kernels and extras."""

from __future__ import annotations

import importlib
import importlib.util
import platform
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import impasto
from impasto.diagnosis.finding import Fact, Finding

__all__ = [
    "check_extra",
    "check_impasto",
    "check_kernels",
    "check_pictures",
    "check_python",
    "check_torch",
    "find_version",
    "pip_line",
]


def pip_line(*arguments: str) -> str:
    """Return the command that installs something for this Python, in quotes that all shells understand."""
    words = [f'"{argument}"' if set("[<>=") & set(argument.removeprefix("--")) else argument for argument in arguments]
    if importlib.util.find_spec("pip") is None:  # uv creates environments without pip
        pip = f"uv pip install --python {sys.prefix}"
    else:
        pip = "pipx runpip impasto install" if "pipx" in Path(sys.prefix).parts else "pip install"
    return " ".join(["Run:", pip, *words])


def check_impasto() -> Finding:
    """Find the version of Impasto, its folder, and required packages that are missing."""
    folder = str(Path(impasto.__file__).parent)
    facts: dict[str, Fact] = {"version": impasto.__version__, "folder": folder}
    summary = f"{impasto.__version__}, in {folder}"
    try:
        requirements = metadata.requires("impasto") or []
    except metadata.PackageNotFoundError:
        return Finding(f"{summary} (source that is not installed)", facts=facts)
    missing = [
        requirement for requirement in requirements if "extra ==" not in requirement and _is_missing(requirement)
    ]
    facts["missing"] = ", ".join(missing)
    if missing:
        return Finding(f"{summary}; missing: {', '.join(missing)}", "problem", pip_line(*missing), facts)
    return Finding(summary, facts=facts)


def _is_missing(requirement: str) -> bool:
    name = requirement
    for end in " <>=!~;[":
        name = name.partition(end)[0]
    return not find_version(name)


def find_version(distribution: str) -> str:
    """Return the version of a distribution, or an empty text if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def check_python() -> Finding:
    """Find the version of Python and its program."""
    facts = {"version": platform.python_version(), "program": sys.executable, "system": platform.platform()}
    return Finding(f"{facts['version']}, {sys.executable}", facts=dict(facts))


def check_torch() -> Finding:
    """Import torch, and find its version and build."""
    import torch

    build = "CPU"
    if torch.version.cuda:
        build = f"CUDA {torch.version.cuda}"
    elif hip := getattr(torch.version, "hip", None):
        build = f"ROCm {hip}"
    facts: dict[str, Fact] = {"version": torch.__version__, "build": build}
    return Finding(f"{torch.__version__}, built for {build}", facts=facts)


def check_pictures() -> Finding:
    """Import libvips, which reads and writes pictures."""
    import pyvips

    version = ".".join(str(pyvips.version(part)) for part in range(3))
    return Finding(f"libvips {version}", facts={"libvips": version})


def check_kernels() -> Finding:
    """Find the compiled kernels, and sum some ones with them."""
    if importlib.util.find_spec("impasto_kernels") is None:
        return Finding(
            "not installed; runs on a CPU take about twice the time",
            "note",
            pip_line("impasto-kernels"),
            {"installed": False, "instructions": None},
        )
    import torch

    from impasto.engine.kernels import CHANNELS, best_set, describe_kernels, load_kernels

    name = best_set()
    kernels = None if name is None else load_kernels(name, torch.float32)
    if kernels is None:
        return Finding(
            "installed, but cannot be loaded; runs on a CPU take about twice the time",
            "problem",
            pip_line("--force-reinstall", "--no-deps", "impasto-kernels"),
            {"installed": True, "instructions": None},
        )
    ones = torch.ones(1, 4, 4, CHANNELS).permute(0, 3, 1, 2)
    if float(kernels.moments(ones).sum.sum()) != ones.numel():
        return Finding(
            f"{describe_kernels()}, computes wrong sums",
            "problem",
            "Uninstall impasto-kernels, and report this.",
            {"installed": True, "instructions": name},
        )
    return Finding(f"working, {describe_kernels()}", facts={"installed": True, "instructions": name})


def check_extra(extra: str, purpose: str, **modules: str) -> Callable[[], Finding]:
    """Return a check that imports the modules of an extra, each with its distribution: `av="av"` for `video`."""

    def check() -> Finding:
        missing = [name for module, name in modules.items() if importlib.util.find_spec(module) is None]
        if missing:
            part = "" if len(missing) == len(modules) else f"{', '.join(missing)} is "
            return Finding(
                f"{part}not installed: {purpose}",
                "note",
                pip_line(f"impasto[{extra}]"),
                {"installed": False, "version": None},
            )
        for module, name in modules.items():
            try:
                # Ray takes a second to import, and reports broken parts only when it starts.
                if module != "ray":
                    importlib.import_module(module)
            except Exception as error:
                version = find_version(name)
                return Finding(
                    f"{name} {version} cannot be imported: {error}",
                    "problem",
                    pip_line("--force-reinstall", name),
                    {"installed": True, "version": version},
                )
        versions = {name: find_version(name) for name in modules.values()}
        summary = ", ".join(f"{name} {version}".strip() for name, version in versions.items())
        return Finding(summary, facts={"installed": True, "version": next(iter(versions.values()))})

    return check
