"""A plug-in for Krita that paints layers with an Impasto studio. `impasto krita install` copies it to its place."""

from __future__ import annotations


def register() -> None:
    """Add the panel to Krita."""
    from krita import DockWidgetFactory, DockWidgetFactoryBase, Krita

    from impasto_krita.panel import Panel

    factory = DockWidgetFactory("impasto", DockWidgetFactoryBase.DockPosition.DockRight, Panel)
    Krita.instance().addDockWidgetFactory(factory)


try:
    register()
except ModuleNotFoundError as error:  # imported by the tests, outside of Krita
    if error.name != "krita":
        raise
