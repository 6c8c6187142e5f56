"""The rules of docs/architecture.md: imports between packages, sizes and lazy imports."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
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


MODULES = sorted(ROOT.rglob("*.py"))
"""All modules. A test looks at all of them: thousands of tests would take longer to start than to run."""


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports_of(path: Path) -> set[str]:
    """Return the full names that a file imports."""
    names = set()
    for node in ast.walk(parse(path)):
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


def test_packages_import_only_lower_layers() -> None:
    higher = {}
    for path in MODULES:
        if (own := package_of(path)) not in ROOTS:
            lower = {package for package, layer in LAYERS.items() if layer <= HIGHEST[own]}
            higher[str(path)] = imported(path) - {own, ""} - lower
    refused = {path: packages for path, packages in higher.items() if packages}
    assert not refused, "see the table in docs/architecture.md; import what `impasto` exports from the package it is in"


def test_architecture_page_lists_every_package() -> None:
    packages = {package_of(path) for path in MODULES} - ROOTS
    assert packages == set(LAYERS)
    assert list(LAYERS.values()) == sorted(LAYERS.values())
    assert all(HIGHEST[package] == layer - 1 for package, layer in LAYERS.items())


def test_method_is_under_a_thousand_lines() -> None:
    order = ("method", "objective", "losses", "statistics", "optimize", "pyramid")
    assert sum(len((ROOT / "core" / f"{name}.py").read_text().splitlines()) for name in order) < 1000


def test_files_are_short() -> None:
    paths = [*MODULES, *sorted(ROOT.rglob("*.js"))]
    lines = {str(path): len(path.read_text().splitlines()) for path in paths}
    assert not {path: count for path, count in lines.items() if count > MAX_FILE_LINES}


def test_functions_are_short() -> None:
    """A function is counted without its parameters, of which a command has many."""
    long = []
    for path in MODULES:
        functions = [node for node in ast.walk(parse(path)) if isinstance(node, ast.FunctionDef)]
        lines = [(node.name, (node.end_lineno or 0) - node.body[0].lineno) for node in functions]
        long += [(path, name) for name, count in lines if count >= MAX_BODY_LINES]
    assert not long


def test_only_the_command_line_prints_or_exits() -> None:
    found = []
    for path in MODULES:
        if path.relative_to(ROOT).parts[0] not in ("cli", "__main__.py"):
            calls = [node.func for node in ast.walk(parse(path)) if isinstance(node, ast.Call)]
            names = [ast.unparse(call) for call in calls if isinstance(call, ast.Name | ast.Attribute)]
            found += [(path, name) for name in names if name in ("print", "exit", "sys.exit")]
    assert not found


def test_modules_have_docstrings_and_specific_names() -> None:
    assert not [path for path in MODULES if not ast.get_docstring(parse(path))], "write a module docstring"
    assert not [path for path in MODULES if path.stem in ("utils", "misc", "helpers", "common")]


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


def test_no_test_imports_another() -> None:
    """Shared helpers are in `builders`, shared fixtures in conftest.py."""
    for path in sorted(TESTS.rglob("*.py")):
        modules = {name.split(".")[0] for name in imports_of(path)}
        assert not {name for name in modules if name == "conftest" or name.startswith("test_")}, path
