"""Copy the quoted code into the docs; a test compares the two.

A code block titled `PATH: NAME` quotes part of a file. NAME is one of:

- a function, a class, or an assigned name, with the names that contain it: `Config.alpha`
- a region, marked by `# region NAME` and `# endregion`
- `docstring`: the drawing in the module's docstring

python scripts/write_quotes.py
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").rglob("*.md"))
QUOTE = re.compile(r'^(```\w+ title="([^":]+): ([^"]+)"\n).*?^```$', re.DOTALL | re.MULTILINE)


def render(page: str) -> str:
    """Return the text of a page with its quotes renewed."""
    return QUOTE.sub(lambda match: f"{match[1]}{quote(ROOT / match[2], match[3])}\n```", page)


def quote(source: Path, name: str) -> str:
    """Return a named part of a Python file. Raises `KeyError` if the file has no such part."""
    text = source.read_text()
    if name == "docstring":
        return _drawing(ast.get_docstring(ast.parse(text), clean=False) or "")
    if region := re.search(rf"^ *# region {re.escape(name)}\n(.*?)^ *# endregion$", text, re.DOTALL | re.MULTILINE):
        return dedent(region[1]).strip()
    for found, node in _named(ast.parse(text)):
        if found == name:
            first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))])
            return dedent("\n".join(text.splitlines()[first - 1 : node.end_lineno]))
    raise KeyError(f"{source.relative_to(ROOT)} has no region or definition {name!r}. Correct the title in the docs.")


def _drawing(docstring: str) -> str:
    """Return the first indented block."""
    block = re.search(r"(?:^ {4}.*\n)+", cleandoc(docstring), re.MULTILINE)
    return dedent(block[0]).strip() if block else ""


def _named(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.stmt]]:
    """Yield every definition and assignment with its dotted name."""
    for item in ast.iter_child_nodes(node):
        if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield prefix + item.name, item
            yield from _named(item, f"{prefix}{item.name}.")
        elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            yield prefix + item.target.id, item
        elif isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name):
            yield prefix + item.targets[0].id, item


def main() -> None:
    """Renew the quotes of all pages."""
    for page in PAGES:
        text = page.read_text()
        if (renewed := render(text)) != text:
            page.write_text(renewed)


if __name__ == "__main__":
    main()
