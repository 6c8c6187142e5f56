"""Check that a release is consistent: its tag is the version, and the changelog has a dated section for it.

python scripts/check_release.py v1.2.0
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def find_problem(tag: str, root: Path = ROOT) -> str | None:
    """Return what is wrong with releasing `tag`, or None."""
    source = root / "src/impasto/__init__.py"
    match = re.search(r'^__version__ = "(.+)"$', source.read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        return f'{source} has no line like __version__ = "1.2.0".'
    version = match[1]
    if tag != f"v{version}":
        return f"The tag is {tag or 'empty'}, but the version is {version}. Tag v{version}, or edit __version__."
    heading = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$"
    if not re.search(heading, (root / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE):
        return f"CHANGELOG.md has no section for {version}. Add a line like: ## [{version}] - 2026-01-31"
    return None


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(find_problem(sys.argv[1]))
