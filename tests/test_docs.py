"""The docs are complete, up to date and executable."""

from __future__ import annotations

import importlib
import re
import runpy
import shlex
from pathlib import Path

import pytest

from impasto.cli import app, main
from impasto.config import Config, RunOptions
from impasto.config.presets import PRESETS
from impasto.metrics.score import MEANINGS

pytestmark = pytest.mark.usefixtures("shared_models")

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
OPTIONS = (ROOT / "docs" / "options.md").read_text()
SCORE_PAGE = (ROOT / "docs" / "guides" / "score.md").read_text()
SHELL = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]
SCORED = [line for line in SHELL if line.startswith("impasto score ")]
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SMALL = ["--size", "96", "--iterations", "2"]
KINDS_OF_CHANGE = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
"""The headings of keepachangelog.com."""
PAGES = sorted((ROOT / "docs").rglob("*.md"))
PAINTED = ("reconstruct", "texture", "recombine", "sweep")
"""Views that paint pictures."""


@pytest.fixture(autouse=True)
def _enter_folder(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enter a folder with the files that the README names."""
    (desk / "painting.png").rename(desk / "painting.jpg")
    monkeypatch.chdir(desk)
    monkeypatch.setenv("IMPASTO_DATA", str(desk / "queue"))


@pytest.mark.slow
@pytest.mark.weights
def test_readme_commands_run(desk: Path) -> None:
    assert len(SHELL) >= 8
    for line in (line for line in SHELL if line not in (*SCORED, "impasto studio")):  # the studio runs until stopped
        program, command, *rest = shlex.split(line)
        assert program == "impasto"
        small = SMALL if command in ("stylize", "demo", "batch") else []
        if command == "jobs":
            small = SMALL if rest[0] == "add" else []
        if command == "insight" and rest[0] != "report":
            small = SMALL if rest[0] in PAINTED else SMALL[:2]
        rest = shlex.split(re.sub(r"--(size|iterations) \d+", "", shlex.join(rest)))
        assert main([command, *rest, *small]) == 0, line
        if "-o" in rest and command != "jobs":
            assert (desk / rest[rest.index("-o") + 1]).stat().st_size > 500, line
    assert (desk / "queued.png").stat().st_size > 500  # painted by the worker


@pytest.mark.weights
@pytest.mark.usefixtures("score_networks")
def test_readme_score_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stylize", "photo.jpg", "painting.jpg", "-o", "painted.png", *SMALL, "--quiet"]) == 0
    for line in SCORED:
        assert main(shlex.split(line)[1:]) == 0, line
    printed = capsys.readouterr().out
    assert len(SCORED) == 2
    for name in MEANINGS:
        assert f"| `{name}` |" in SCORE_PAGE
        assert printed.count(name) >= len(SCORED)


@pytest.mark.weights
@pytest.mark.parametrize("block", PYTHON)
def test_readme_python_runs(block: str) -> None:
    exec(compile(block.replace("size=512", "size=96, iterations=2"), "README.md", "exec"), {})


def test_options_page_is_up_to_date() -> None:
    page = runpy.run_path(str(ROOT / "scripts" / "write_options.py"))["render"]()
    assert page == OPTIONS, "run: python scripts/write_options.py"
    for model in (Config, RunOptions):
        for name in model.model_fields:
            assert f"| `{name}` |" in page
    for preset in PRESETS:
        assert f"| `{preset}` |" in page


def test_readme_lists_every_command() -> None:
    commands = {name for name in app if not name.startswith("-")}
    assert len(commands) >= 6
    for name in commands:
        assert f"impasto {name}" in README, name
    views = {name for name in app["insight"] if not name.startswith("-")}
    assert len(views) == 7
    for name in views:
        assert f"impasto insight {name}" in README, name
    for name in (name for name in app["jobs"] if not name.startswith("-")):
        assert f"impasto jobs {name}" in README, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_quoted_code_is_up_to_date(page: Path) -> None:
    text = page.read_text()
    quotes = runpy.run_path(str(ROOT / "scripts" / "write_quotes.py"))
    assert len(quotes["QUOTE"].findall(text)) == text.count(' title="'), "a title is PATH: NAME"
    assert quotes["render"](text) == text, "run: python scripts/write_quotes.py"


def test_report_guide_has_the_headings_of_a_report() -> None:
    guide = (ROOT / "docs" / "guides" / "report.md").read_text()
    report = (ROOT / "src" / "impasto" / "insight" / "report.html").read_text()
    assert re.findall(r"^\*\*(.+?)\.\*\* ", guide, re.MULTILINE) == re.findall(r"<h2>(.+)</h2>", report)


def test_reference_entries_exist() -> None:
    for name in re.findall(r"^::: (\S+)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE):
        module, _, attribute = name.rpartition(".")
        try:
            owner_or_module = importlib.import_module(module)
        except ModuleNotFoundError:  # a class and its method
            module, _, owner = module.rpartition(".")
            owner_or_module = getattr(importlib.import_module(module), owner)
        assert hasattr(owner_or_module, attribute), name


def test_readme_numbers_match_the_results() -> None:
    section = re.search(r"^## Performance\n(.*?)^## ", README, re.DOTALL | re.MULTILINE)
    assert section
    results = (ROOT / "benchmarks" / "RESULTS.md").read_text()
    figures = re.findall(r"\d[\d.]*\d", section[1])
    assert len(figures) >= 8
    for figure in figures:
        assert figure in results, figure


def test_options_become_flags() -> None:
    stylize = app["stylize"]
    flags = {name for argument in stylize.assemble_argument_collection() for name in argument.names}
    for model in (Config, RunOptions):
        for name in model.model_fields:
            assert "--" + name.replace("_", "-") in flags


def test_changelog_has_an_unreleased_section() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert changelog.index("## [Unreleased]\n") < min(
        heading.start() for heading in re.finditer(r"^### ", changelog, re.M)
    )
    assert set(re.findall(r"^### (.*)$", changelog, re.MULTILINE)) <= KINDS_OF_CHANGE


def test_links_between_pages_resolve() -> None:
    for page in (*ROOT.glob("*.md"), *PAGES):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
