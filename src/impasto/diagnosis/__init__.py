"""Checks of what is installed, what this machine has, and what does not work.

Each check is isolated: one that raises is itself a problem, and the others go on. Nothing here may import torch, or
anything else that could be broken, before a check does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from impasto import __version__
from impasto.diagnosis import machine, programs, software
from impasto.diagnosis.finding import Fact, Finding, Report, Status

__all__ = ["CHECKS", "Check", "Fact", "Finding", "Report", "Status", "diagnose"]


@dataclass(frozen=True)
class Check:
    """A function that looks at one thing, and the name of its line."""

    name: str
    look: Callable[[], Finding]
    needs_torch: bool = False
    """True to skip it if the check of torch has found a problem."""

    advice: str = "Reinstall Impasto, or report this."
    """What to do if the check raises."""


CHECKS: tuple[Check, ...] = (
    Check("impasto", software.check_impasto),
    Check("python", software.check_python),
    Check("torch", software.check_torch, advice=software.pip_line("--force-reinstall", "torch")),
    Check("device", machine.check_device, needs_torch=True),
    Check("precision", machine.check_precision, needs_torch=True),
    Check("cores", machine.check_cores, needs_torch=True),
    Check("memory", machine.check_memory, needs_torch=True),
    Check("kernels", software.check_kernels, needs_torch=True),
    Check(
        "pictures", software.check_pictures, advice=software.pip_line("--force-reinstall", "pyvips", "pyvips-binary")
    ),
    Check("weights", machine.check_weights, needs_torch=True),
    Check("cache", machine.check_cache),
    Check("queue", machine.check_queue),
    Check("browser", machine.check_browser),
    Check("studio", machine.check_studio),
    Check("desktop", programs.check_desktop),
    Check(
        "client",
        programs.check_client,
        needs_torch=True,
        advice=software.pip_line("--force-reinstall", "impasto-client"),
    ),
    Check("krita", programs.check_krita),
    Check("comfyui", programs.check_comfyui),
    Check("docker", programs.check_docker),
    Check("video", software.check_extra("video", "clips, and films as MP4", av="av", cv2="opencv-python-headless")),
    Check("heic", software.check_extra("heic", "photos of iPhones", pillow_heif="pillow-heif")),
    Check("exr", software.check_extra("exr", "OpenEXR pictures", OpenEXR="openexr")),
    Check("notebook", software.check_extra("notebook", "the widget for notebooks", anywidget="anywidget")),
    Check("cluster", software.check_extra("cluster", "painting on several machines", ray="ray")),
)
"""The lines of a report, in order. An integration adds one."""


def diagnose(checks: Sequence[Check] = CHECKS) -> Report:
    """Carry out all checks, which takes a second or two. Never raises."""
    findings: dict[str, Finding] = {}
    has_torch = True
    for check in checks:
        if check.needs_torch and not has_torch:
            finding = Finding("not checked, because torch does not work", "note")
        else:
            finding = _look(check)
        if check.name == "torch":
            has_torch = finding.status != "problem"
        findings[check.name] = finding
    problems = sum(finding.status == "problem" for finding in findings.values())
    return Report(__version__, problems, findings)


def _look(check: Check) -> Finding:
    try:
        return check.look()
    except Exception as error:  # broken libraries raise anything
        reason = " ".join(str(error).split())
        return Finding(f"{type(error).__name__}: {reason}" if reason else type(error).__name__, "problem", check.advice)
