"""The rules of docs/architecture.md: imports between packages, sizes and lazy imports."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import impasto

ROOT = Path(impasto.__file__).parent
ROOTS = {"__init__", "__main__"}
"""Modules above all packages."""

MAX_FILE_LINES, MAX_BODY_LINES = 300, 40

PAGE = Path(__file__).parent.parent / "docs" / "architecture.md"
ROWS = re.findall(r"^\| (\d+) \| `(\w+)` \| .+ \| (?:none|1–(\d+)|(1)) \|$", PAGE.read_text(), re.MULTILINE)
LAYERS = {package: int(layer) for layer, package, *_ in ROWS}
HIGHEST = {package: int(up_to or one or 0) for _, package, up_to, one in ROWS}
"""The highest layer that each package may import, from the table of docs/architecture.md."""


def imports_of(path: Path) -> set[str]:
    """Return the full names that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: write imports from the top"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return names


def imported(path: Path) -> set[str]:
    """Return the first names below `impasto` that a file imports."""
    return {name.split(".")[1] for name in imports_of(path) if name.startswith("impasto.")} - {"__version__"}


def package_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(ROOT.rglob("*.py")) if package_of(path) not in ROOTS],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_package_imports_only_lower_layers(path: Path) -> None:
    own = package_of(path)
    lower = {package for package, layer in LAYERS.items() if layer <= HIGHEST[own]}
    refused = imported(path) - {own, ""} - lower
    assert not refused, "see the table in docs/architecture.md; import what `impasto` exports from the package it is in"


def test_architecture_page_lists_every_package() -> None:
    packages = {package_of(path) for path in ROOT.rglob("*.py")} - ROOTS
    assert packages == set(LAYERS)
    assert list(LAYERS.values()) == sorted(LAYERS.values())
    assert all(HIGHEST[package] == layer - 1 for package, layer in LAYERS.items())


def test_method_is_under_a_thousand_lines() -> None:
    order = ("method", "objective", "losses", "statistics", "optimize", "pyramid")
    assert sum(len((ROOT / "core" / f"{name}.py").read_text().splitlines()) for name in order) < 1000


@pytest.mark.parametrize(
    "path", sorted([*ROOT.rglob("*.py"), *ROOT.rglob("*.js")]), ids=lambda path: str(path.relative_to(ROOT))
)
def test_files_and_functions_are_short(path: Path) -> None:
    """A function is counted without its parameters, of which a command has many."""
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_FILE_LINES
    if path.suffix == ".py":
        functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
        long = {node.name for node in functions if (node.end_lineno or 0) - node.body[0].lineno >= MAX_BODY_LINES}
        assert not long


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_command_line_prints_or_exits(path: Path) -> None:
    if path.relative_to(ROOT).parts[0] in ("cli", "__main__.py"):
        return
    calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    assert not [call for call in calls if isinstance(call, ast.Name) and call.id in ("print", "exit")]
    assert not [call for call in calls if isinstance(call, ast.Attribute) and ast.unparse(call) == "sys.exit"]


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_have_docstrings_and_specific_names(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "write a module docstring"
    assert path.stem not in ("utils", "misc", "helpers", "common")


@pytest.mark.parametrize(
    "code",
    [
        "import impasto; dir(impasto)",
        "import impasto.config, impasto.config.presets",
        "from impasto.cli import main; main(['--help'])",
        "from impasto.cli import app; app(['stylize', '--help'], result_action='return_value')",
        "from impasto.cli import app; app(['demo', '--help'], result_action='return_value')",
    ],
)
def test_torch_is_loaded_lazily(code: str) -> None:
    check = f"{code}; import sys; assert not {{'torch', 'pyvips', 'PIL', 'fastapi', 'ray', 'av'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True, capture_output=True)


def test_help_needs_neither_torch_nor_pydantic() -> None:
    check = "from impasto.cli import main; main(['--help']); import sys; assert 'pydantic' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True, capture_output=True)


TESTS = Path(__file__).parent


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_no_test_imports_another(path: Path) -> None:
    """Shared helpers are in `builders`, shared fixtures in conftest.py."""
    modules = {name.split(".")[0] for name in imports_of(path)}
    assert not {name for name in modules if name == "conftest" or name.startswith("test_")}
