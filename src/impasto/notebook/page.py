"""The widget's page as one ES module: notebooks load a widget from a text, which cannot import other files.

The controls and the chart are modules of the studio's page, and so is the look.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

__all__ = ["build_module"]

FOLDER = Path(__file__).parent
STUDIO_PAGE = FOLDER.parent / "studio" / "page"

IMPORT = re.compile(r'^import \{ (.+) \} from "(?:.*/)?([\w-]+)\.js";$', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:const|class|function|async function) (\w+))", re.MULTILINE)


def build_module() -> str:
    """Return the widget's module, with the modules that it imports and its style sheet inside."""
    css = "\n".join(path.read_text(encoding="utf-8") for path in (STUDIO_PAGE / "studio.css", FOLDER / "widget.css"))
    text = (FOLDER / "widget.js").read_text(encoding="utf-8")
    modules: dict[str, str] = {}
    _add_imports(text, modules)
    return "\n".join([f"const CSS = {json.dumps(css)};", "const modules = {};", *modules.values(), _link(text)])


def _add_imports(text: str, modules: dict[str, str]) -> None:
    """Add the modules that a module imports, each after those that it imports itself."""
    for _, name in IMPORT.findall(text):
        if name not in modules:
            imported = (STUDIO_PAGE / f"{name}.js").read_text(encoding="utf-8")
            _add_imports(imported, modules)
            modules[name] = _wrap(name, imported)


def _wrap(name: str, text: str) -> str:
    """Return a module as a function, which keeps its names apart from those of other modules."""
    exports = ", ".join(EXPORT.findall(text))
    return f'modules["{name}"] = (() => {{\n{EXPORT.sub("", _link(text))}\nreturn {{ {exports} }};\n}})();'


def _link(text: str) -> str:
    """Replace the imports of a module."""
    return IMPORT.sub(r'const { \1 } = modules["\2"];', text)
