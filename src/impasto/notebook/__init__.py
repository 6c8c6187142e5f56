"""The widget for notebooks: Jupyter, marimo and VS Code. Needs the extra: pip install 'impasto[notebook]'."""

from impasto.notebook.api import widget

__all__ = ["widget"]
