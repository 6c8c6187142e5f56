"""`impasto krita`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from impasto.clients import install_krita_plugin

__all__ = ["app"]

app = App(name="krita", help="Install the plug-in for Krita.", suppress_keyboard_interrupt=False)


@app.command
def install(
    *,
    folder: Annotated[
        Path | None, Parameter(help="Krita's resource folder. It is found by itself in its usual places.")
    ] = None,
    enable: Annotated[
        bool, Parameter(help="Enable the plug-in in Krita's settings, too. Close Krita before.", negative="")
    ] = False,
) -> int:
    """Copy the plug-in into Krita's resource folder. An older one is replaced."""
    installed = install_krita_plugin(folder, enable=enable)
    print(installed.folder)
    if installed.settings is None:
        print("Enable Impasto in Krita: Settings, Configure Krita, Python Plugin Manager. Then restart Krita.")
    else:
        print(f"Enabled in {installed.settings}. Start Krita, and open Settings, Dockers, Impasto.")
    return 0
