"""Repairs of pywebview's downloads on Linux, as of version 6.2.

On Qt 6 its handler calls a method that Qt 5 had, and the process aborts. On GTK it needs a folder for downloads, which
not every user has.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["repair_downloads"]


def repair_downloads(toolkit: Any) -> None:
    """Replace what fails in the classes of `webview.platforms.qt` or `webview.platforms.gtk`."""
    browser = toolkit.BrowserView
    if toolkit.__name__.endswith(".qt"):
        browser.on_download_requested = _save_by_qt
    elif toolkit.__name__.endswith(".gtk"):
        show_dialog = browser.create_file_dialog

        def show_dialog_in_folder(view: Any, kind: Any, folder: str | None, *rest: Any) -> Any:
            return show_dialog(view, kind, folder or str(Path.home()), *rest)

        browser.create_file_dialog = show_dialog_in_folder


def _save_by_qt(view: Any, download: Any) -> None:
    """Ask where a download goes, and accept it."""
    from qtpy.QtCore import QStandardPaths
    from qtpy.QtWidgets import QFileDialog

    folder = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.DownloadLocation)
    chosen, _ = QFileDialog.getSaveFileName(view, "", str(Path(folder) / download.downloadFileName()))
    if chosen:
        download.setDownloadDirectory(str(Path(chosen).parent))
        download.setDownloadFileName(Path(chosen).name)
        download.accept()
