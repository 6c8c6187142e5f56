"""A stand-in for ComfyUI: its modules for nodes, its loader, and its execution of a workflow."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


class InterruptProcessingException(Exception):  # noqa: N818 - ComfyUI's name
    """The exception that ComfyUI raises in a node when a user cancels."""


@dataclass
class Comfy:
    """The state of the stand-in: the cancel button, and what progress bars showed."""

    is_interrupted: bool = False
    interrupt_at: int | None = None
    """Value of a progress bar at which the user cancels."""
    updates: list[tuple[int, int, Any]] = field(default_factory=list)

    def throw_exception_if_processing_interrupted(self) -> None:
        if self.is_interrupted:
            self.is_interrupted = False
            raise InterruptProcessingException

    def progress_bar(self, total: int, node_id: str | None = None) -> ProgressBar:
        return ProgressBar(self, total)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make `comfy.utils` and `comfy.model_management` importable."""
        package, utils, management = (ModuleType(f"comfy{name}") for name in ("", ".utils", ".model_management"))
        vars(utils)["ProgressBar"] = self.progress_bar
        for function in (self.throw_exception_if_processing_interrupted,):
            vars(management)[function.__name__] = function
        vars(package).update(utils=utils, model_management=management)
        for module in (package, utils, management):
            monkeypatch.setitem(sys.modules, module.__name__, module)


@dataclass
class ProgressBar:
    """ComfyUI's progress bar, whose hook raises an exception if the user has cancelled."""

    comfy: Comfy
    total: int

    def update_absolute(self, value: int, total: int | None = None, preview: Any = None) -> None:
        if preview is not None:
            kind, image, max_px = preview
            image.convert("RGB").thumbnail((max_px, max_px))
            assert kind in ("JPEG", "PNG")
        self.comfy.updates.append((value, self.total, preview))
        if self.comfy.interrupt_at is not None and value >= self.comfy.interrupt_at:
            self.comfy.is_interrupted = True


def load_custom_node(folder: Path) -> ModuleType:
    """Load a folder of custom nodes as ComfyUI does: under its path, with dots replaced, and not by its name."""
    name = str(folder).replace(".", "_x_")
    spec = importlib.util.spec_from_file_location(name, folder / "__init__.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def default_of(declaration: tuple[Any, ...]) -> Any:
    """Return the value that ComfyUI gives a widget at first."""
    kind, *rest = declaration
    if isinstance(kind, list):
        return kind[0]
    return rest[0]["default"]


def defaults_of(node: type) -> dict[str, Any]:
    """Return the values of all widgets of a node."""
    required = node.INPUT_TYPES()["required"]  # type: ignore[attr-defined]
    return {name: default_of(entry) for name, entry in required.items() if isinstance(entry[0], list) or entry[1:]}


def run_node(node: type, **inputs: Any) -> Any:
    """Check the inputs of a node against what it declares, run it, and return its outputs as a tuple."""
    declared = node.INPUT_TYPES()  # type: ignore[attr-defined]
    known = declared["required"] | declared.get("optional", {})
    assert set(inputs) <= set(known), set(inputs) - set(known)
    assert set(declared["required"]) <= set(inputs), set(declared["required"]) - set(inputs)
    for name, value in inputs.items():
        kind, *rest = known[name]
        if isinstance(kind, list):
            assert value in kind
        elif kind in ("INT", "FLOAT"):
            assert rest[0].get("min", value) <= value <= rest[0].get("max", value)
    function = getattr(node(), node.FUNCTION)  # type: ignore[attr-defined]
    assert not inspect.iscoroutinefunction(function)
    result = function(**inputs)
    outputs = result["result"] if isinstance(result, dict) else result
    assert len(outputs) == len(node.RETURN_TYPES)  # type: ignore[attr-defined]
    return outputs


def run_workflow(
    workflow: dict[str, Any], nodes: dict[str, type], loaded: dict[str, Any], changes: dict[str, Any]
) -> dict[int, Any]:
    """Run the nodes of a workflow file in their order, and return the outputs by the number of the node.

    `loaded` has the pictures of LoadImage nodes by their file name. `changes` replaces values of widgets.
    """
    outputs: dict[int, Any] = {}
    sources = {link: (source, slot) for link, source, slot, *_ in workflow["links"]}
    for entry in sorted(workflow["nodes"], key=lambda entry: entry["order"]):
        linked = {
            slot["name"]: outputs[sources[slot["link"]][0]][sources[slot["link"]][1]]
            for slot in entry["inputs"]
            if slot["link"] is not None
        }
        if entry["type"] == "LoadImage":
            outputs[entry["id"]] = (loaded[entry["widgets_values"][0]], None)
        elif entry["type"] in ("SaveImage", "PreviewImage"):
            outputs[entry["id"]] = (linked["images"],)
        else:
            node = nodes[entry["type"]]
            widgets = _name_widgets(node, entry["widgets_values"])
            chosen = {name: changes.get(name, value) for name, value in widgets.items()}
            outputs[entry["id"]] = run_node(node, **linked, **chosen)
    return outputs


def _name_widgets(node: type, values: list[Any]) -> dict[str, Any]:
    """Return a node's widgets by name. The page adds a second one, to change the seed, behind each seed."""
    names = []
    for name in defaults_of(node):
        names += [name, "control_after_generate"] if name == "seed" else [name]
    assert len(names) == len(values)
    return {name: value for name, value in zip(names, values, strict=True) if name != "control_after_generate"}
