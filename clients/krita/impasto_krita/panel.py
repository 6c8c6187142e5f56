"""The panel: what to paint, how, and how far it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from impasto_client import DEFAULT_URL, PRESETS
from krita import DockWidget, Krita

from impasto_krita.document import ResultLayer, layer_to_png, mask_to_png, picture_to_png, selection_to_mask
from impasto_krita.painting import Ended, Message, Painting, Picture, Request, Studios
from impasto_krita.qt import QtCore, QtWidgets

__all__ = ["Panel"]

POLL_MS = 100
ALPHA_DELAY_MS = 400
"""Pause after which a changed α is sent."""

SETTINGS = "impasto"
A_FILE = "A file…"
PICTURES = "Pictures (*.png *.jpg *.jpeg *.webp *.tif *.tiff *.avif *.gif *.psd *.exr)"


class Panel(DockWidget):
    """The docker of Krita. Everything that takes time happens in the thread of a `Painting`."""

    def __init__(self) -> None:
        super().__init__()
        self.setWindowTitle("Impasto")
        self.studios = Studios()
        self.painting: Painting | None = None
        self.layer: ResultLayer | None = None
        self._documents: list[Any] = []
        self._build()
        self._list_documents()
        self._poll_timer = QtCore.QTimer(self)
        self._poll_timer.setInterval(POLL_MS)
        self._poll_timer.timeout.connect(self._poll)
        self._alpha_timer = QtCore.QTimer(self)
        self._alpha_timer.setInterval(ALPHA_DELAY_MS)
        self._alpha_timer.setSingleShot(True)
        self._alpha_timer.timeout.connect(self._send_alpha)
        Krita.instance().notifier().applicationClosing.connect(self.studios.close)

    def canvasChanged(self, canvas: Any) -> None:  # noqa: N802 - Krita's name
        """List the documents that may be styles, when another document becomes active."""
        self._list_documents()

    def paint(self) -> None:
        """Paint the active document by the settings of the panel."""
        document = Krita.instance().activeDocument()
        if document is None:
            self._say("Open a picture first.")
            return
        if self.style.currentIndex() == 0 and not Path(self.file.text()).is_file():
            self._say("Choose a picture whose style to take.")
            return
        self._save_settings()
        node = document.activeNode()
        mask = selection_to_mask(document)
        is_layer = self.content.currentIndex() == 0 and node is not None
        content = layer_to_png(document, node) if is_layer else picture_to_png(document)
        protect = mask_to_png(mask, document.width(), document.height()) if mask is not None else None
        style = self._style()
        self.layer = ResultLayer(document, node, self.preset.currentText(), mask)
        request = Request(content, style, protect, self._options())
        self.painting = Painting(self.studios, self.url.text(), self.token.text() or None, request)
        self._set_painting(True)

    def cancel(self) -> None:
        """Cancel the painting. What it has come to stays as a layer."""
        if self.painting is not None:
            self.painting.cancel()
            self._say("Cancelling…")

    def _style(self) -> str | bytes:
        if self.style.currentIndex() == 0:
            return str(self.file.text())
        return picture_to_png(self._documents[self.style.currentIndex() - 1])

    def _options(self) -> dict[str, Any]:
        options = {"preset": self.preset.currentText(), "size": self.size_px.value()}
        if self.alpha.value() > 0:
            options["alpha"] = self.alpha.value()
        return options

    def _poll(self) -> None:
        """Show what has happened to the painting."""
        if self.painting is None or self.layer is None:
            return
        if self.layer.document not in Krita.instance().documents():
            self.painting.cancel()
            self._end("The picture was closed.")
            return
        for event in self.painting.poll():
            if isinstance(event, Picture):
                self.layer.show(event.content)
            elif isinstance(event, Message):
                self._say(event.text, event.fraction)
            elif isinstance(event, Ended):
                if event.is_error:
                    self.layer.remove()
                self._end(event.text)

    def _end(self, text: str) -> None:
        self.painting = self.layer = None
        self._set_painting(False)
        self._say(text)

    def _set_painting(self, is_painting: bool) -> None:
        self.paint_button.setEnabled(not is_painting)
        self.cancel_button.setEnabled(is_painting)
        self.progress.setVisible(is_painting)
        (self._poll_timer.start if is_painting else self._poll_timer.stop)()

    def _say(self, text: str, fraction: float = 0.0) -> None:
        self.message.setText(text)
        self.progress.setValue(round(1000 * fraction))

    def _send_alpha(self) -> None:
        if self.painting is not None and self.alpha.value() > 0:
            self.painting.set_alpha(self.alpha.value())

    def _list_documents(self) -> None:
        chosen, active = self.style.currentText(), Krita.instance().activeDocument()
        self._documents = [each for each in Krita.instance().documents() if active is None or each != active]
        names = [each.name() or Path(each.fileName()).name or "Unnamed" for each in self._documents]
        self.style.clear()
        self.style.addItems([A_FILE, *names])
        self.style.setCurrentIndex(max(0, self.style.findText(chosen)))

    def _choose_file(self) -> None:
        path, _ = QtWidgets.QFileDialog.getOpenFileName(self, "Style", self.file.text(), PICTURES)
        if path:
            self.file.setText(path)
            self.style.setCurrentIndex(0)

    def _save_settings(self) -> None:
        """Keep the address and the file for the next start. The token is only in memory, or in IMPASTO_TOKEN."""
        for name, widget in (("url", self.url), ("file", self.file)):
            Krita.instance().writeSetting(SETTINGS, name, widget.text())

    def _build(self) -> None:
        """Lay out the panel."""
        read = Krita.instance().readSetting
        self.content = _combo("content", ["Active layer", "Visible picture"])
        self.style = _combo("style", [A_FILE])
        self.file = _line("file", read(SETTINGS, "file", ""))
        browse = QtWidgets.QPushButton("…")
        browse.clicked.connect(self._choose_file)
        self.preset = _combo("preset", list(PRESETS))
        self.alpha = QtWidgets.QDoubleSpinBox()
        self.alpha.setRange(0, 1_000_000)
        self.alpha.setSpecialValueText("of the preset")
        self.alpha.valueChanged.connect(lambda _: self._alpha_timer.start())
        self.size_px = QtWidgets.QSpinBox()
        self.size_px.setRange(32, 16384)
        self.size_px.setSuffix(" px")
        self.size_px.setValue(1024)
        self.url = _line("url", read(SETTINGS, "url", DEFAULT_URL))
        self.token = _line("token", os.environ.get("IMPASTO_TOKEN", ""))
        self.token.setEchoMode(QtWidgets.QLineEdit.EchoMode.Password)
        self.paint_button, self.cancel_button = QtWidgets.QPushButton("Paint"), QtWidgets.QPushButton("Cancel")
        self.paint_button.clicked.connect(lambda _: self.paint())
        self.cancel_button.clicked.connect(lambda _: self.cancel())
        self.cancel_button.setEnabled(False)
        self.progress = QtWidgets.QProgressBar()
        self.progress.setRange(0, 1000)
        self.progress.setVisible(False)
        self.message = QtWidgets.QLabel()
        self.message.setWordWrap(True)
        form = QtWidgets.QFormLayout()
        form.addRow("Paint", self.content)
        form.addRow("Style", self.style)
        form.addRow("", _row(self.file, browse))
        form.addRow("Preset", self.preset)
        form.addRow("Strength α", self.alpha)
        form.addRow("Size", self.size_px)
        form.addRow(_row(self.paint_button, self.cancel_button))
        form.addRow(self.progress)
        form.addRow(self.message)
        form.addRow("Studio", self.url)
        form.addRow("Token", self.token)
        contents = QtWidgets.QWidget()
        contents.setLayout(form)
        scroll_area = QtWidgets.QScrollArea()
        scroll_area.setWidgetResizable(True)
        scroll_area.setFrameShape(QtWidgets.QFrame.Shape.NoFrame)
        scroll_area.setWidget(contents)
        self.setWidget(scroll_area)


def _combo(name: str, items: list[str]) -> Any:
    combo = QtWidgets.QComboBox()
    combo.setObjectName(name)
    combo.addItems(items)
    combo.setMinimumContentsLength(8)
    return combo


def _line(name: str, text: str) -> Any:
    line = QtWidgets.QLineEdit(text)
    line.setObjectName(name)
    return line


def _row(*widgets: Any) -> Any:
    row = QtWidgets.QWidget()
    layout = QtWidgets.QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        layout.addWidget(widget)
    return row
