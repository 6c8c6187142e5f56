"""The check that precedes a release."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "check_release.py"
find_problem = runpy.run_path(str(SCRIPT))["find_problem"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Build a repository of version 1.2.0, with its changelog."""
    source = tmp_path / "src" / "impasto"
    source.mkdir(parents=True)
    (source / "__init__.py").write_text('"""Impasto."""\n\n__version__ = "1.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n\n## [1.2.0] - 2026-03-01\n")
    return tmp_path


def test_release_of_the_version_passes(repository: Path) -> None:
    assert find_problem("v1.2.0", repository) is None


@pytest.mark.parametrize("tag", ["", "1.2.0", "v1.2", "v1.2.1", "v1.2.0rc1"])
def test_tag_other_than_the_version_is_refused(repository: Path, tag: str) -> None:
    assert "the version is 1.2.0" in find_problem(tag, repository)


@pytest.mark.parametrize(
    "heading", ["## [Unreleased]", "## [1.2.0]", "## [1.2.0rc1] - 2026-03-01", "## [1.20] - 2026-03-01"]
)
def test_version_without_a_changelog_section_is_refused(repository: Path, heading: str) -> None:
    (repository / "CHANGELOG.md").write_text(f"# Changelog\n\n{heading}\n")
    assert "no section for 1.2.0" in find_problem("v1.2.0", repository)


def test_source_without_a_version_is_refused(repository: Path) -> None:
    (repository / "src/impasto/__init__.py").write_text("")
    assert "__version__" in find_problem("v1.2.0", repository)
