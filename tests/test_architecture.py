"""The house's rules, read from the source: what may import what, and how large it may be."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import impasto

ROOT = Path(impasto.__file__).parent
ROOTS = {"__init__", "__main__"}
"""What stands above the rooms."""

ROOMS = {
    # room: what it may import, besides the core and itself
    "images": set(),
    "presets": set(),
    "recipes": {"images"},
    "weights": set(),
    "engine": {"weights"},
    "samples": {"images", "weights"},
    "compose": {"images", "recipes", "weights", "engine"},
    "insight": {"images", "recipes", "weights", "engine", "samples", "compose"},
    "jobs": {"images", "recipes", "weights", "engine", "samples", "compose"},
    "cluster": {"images", "recipes", "weights", "engine", "samples", "compose", "insight", "jobs"},
    "studio": {"images", "presets", "recipes", "weights", "engine", "samples", "compose", "insight", "jobs"},
    "cli": {
        "images",
        "presets",
        "recipes",
        "weights",
        "engine",
        "samples",
        "compose",
        "insight",
        "jobs",
        "cluster",
        "studio",
    },
}


def imported(path: Path) -> set[str]:
    """First names below `impasto` that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: write imports from the top"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return {name.split(".")[1] for name in names if name.startswith("impasto.")} - {"__version__"}


def files(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


CORE = [path for path in sorted(ROOT.glob("*.py")) if path.stem not in ROOTS]


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.stem)
def test_the_core_imports_no_room(path: Path) -> None:
    assert not imported(path) & (set(ROOMS) | ROOTS)


@pytest.mark.parametrize("room", [room for room in ROOMS if (ROOT / room).is_dir()])
def test_a_room_imports_only_what_stands_before_it(room: str) -> None:
    core = {path.stem for path in CORE}
    for path in files(room):
        assert imported(path) <= core | ROOMS[room] | {room, ""}, path


def test_every_room_is_known() -> None:
    rooms = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms <= set(ROOMS)


def test_the_core_stays_small() -> None:
    lines = {path.name: len(path.read_text().splitlines()) for path in sorted(ROOT.glob("*.py"))}
    assert sum(lines.values()) < 2500
    assert max(lines.values()) <= 300, max(lines, key=lambda name: lines[name])


def test_the_method_reads_in_under_a_thousand_lines() -> None:
    order = ("method", "objective", "losses", "statistics", "optimize", "pyramid")
    assert sum(len((ROOT / f"{name}.py").read_text().splitlines()) for name in order) < 1000


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_command_line_prints_or_exits(path: Path) -> None:
    if path.relative_to(ROOT).parts[0] in ("cli", "__main__.py"):
        return
    calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    assert not [call for call in calls if isinstance(call, ast.Name) and call.id in ("print", "exit")]
    assert not [call for call in calls if isinstance(call, ast.Attribute) and ast.unparse(call) == "sys.exit"]


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_validated_by_assertion_alone_and_every_module_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "a module opens with its contract"
    assert path.stem not in ("utils", "misc", "helpers", "common")


@pytest.mark.parametrize(
    "code",
    [
        "import impasto; dir(impasto)",
        "import impasto.config, impasto.presets",
        "from impasto.cli import main; main(['--help'])",
    ],
)
def test_torch_is_not_loaded_before_it_is_needed(code: str) -> None:
    check = f"{code}; import sys; assert not {{'torch', 'pyvips', 'PIL'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True, capture_output=True)


def test_help_needs_neither_torch_nor_pydantic() -> None:
    check = "from impasto.cli import main; main(['--help']); import sys; assert 'pydantic' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True, capture_output=True)
