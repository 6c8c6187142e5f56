"""A plug-in for Krita that uses Impasto's panel as a person would, and writes what it has seen to a folder."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from krita import Extension, Krita, Selection
from PyQt5 import QtCore, QtWidgets

FOLDER = Path(os.environ["KRITA_CHECK_FOLDER"])
TICK_MS = 50
TIMEOUT_MS = 300_000
SIZE_PX = 96
DRAWN_PX = 384

Condition = Callable[[], Any]


class Check(Extension):
    """Goes through the steps, one condition after the other, while Krita's interface continues."""

    def setup(self) -> None:
        """Do nothing before there is a window."""

    def createActions(self, window: Any) -> None:  # noqa: N802 - Krita's name
        """Start the steps."""
        self.steps, self.waited_ms = draw() if "KRITA_CHECK_DRAW" in os.environ else steps(), 0
        self.condition: Condition = lambda: True
        self.seen: dict[str, Any] = {}
        self.timer = QtCore.QTimer()
        self.timer.timeout.connect(self.tick)
        self.timer.start(TICK_MS)

    def tick(self) -> None:
        """Take the next step once its condition holds."""
        try:
            self.waited_ms += TICK_MS
            if self.waited_ms > TIMEOUT_MS:
                raise TimeoutError(f"after {list(self.seen)}")
            if self.condition():
                step = next(self.steps)
                self.waited_ms = 0
                if callable(step):
                    self.condition = step
                else:
                    self.seen.update(step)
        except StopIteration:
            self.end()
        except Exception:
            self.seen["error"] = traceback.format_exc()
            self.end()

    def end(self) -> None:
        """Write what was seen and end Krita, which would ask to save the picture otherwise."""
        self.timer.stop()
        screenshot("end")
        panel = find_panel()
        if panel is not None:
            panel.studios.close()
        (FOLDER / "seen.json").write_text(json.dumps(self.seen))
        os._exit(0)


def steps() -> Iterator[Condition | dict[str, Any]]:
    """Yield conditions to wait for, and what was seen."""
    application = Krita.instance()
    yield from arrange()
    document, panel = application.activeDocument(), find_panel()
    photo = document.activeNode()
    before = pixels(document, photo)
    panel.size_px.setValue(SIZE_PX)
    panel.paint()
    yield {"without_style": panel.message.text()}

    panel.file.setText(str(FOLDER / "style.png"))
    screenshot("ready")
    layer = click_paint(panel)
    yield lambda: panel.progress.value() > 200 or panel.painting is None
    yield {"live": opaque_share(document, layer) == 1, "while_painting": panel.message.text()}
    screenshot("painting")
    panel.alpha.setValue(20)
    yield lambda: panel.painting is None
    yield wait_ms(500)
    screenshot("painted")
    yield describe("layer", document, panel, layer, photo, before)

    select_left_half(document)
    panel.content.setCurrentIndex(1)
    layer = click_paint(panel)
    yield lambda: panel.painting is None
    yield describe("selection", document, panel, layer, photo, before)
    document.setSelection(None)
    screenshot("selection")

    panel.content.setCurrentIndex(0)
    document.setColorSpace("RGBA", "U16", "sRGB-elle-V2-g10.icc")
    document.waitForDone()
    layer = click_paint(panel)
    yield lambda: panel.painting is None
    yield describe("linear_16_bit", document, panel, layer, photo)
    screenshot("linear_16_bit")

    panel.size_px.setValue(1024)
    panel.paint_button.click()
    yield lambda: panel.progress.value() > 0 or panel.painting is None
    panel.cancel_button.click()
    yield lambda: panel.painting is None
    yield {"cancelled": panel.message.text()}

    panel.size_px.setValue(SIZE_PX)
    panel.url.setText("http://127.0.0.1:9")
    other = application.openDocument(str(FOLDER / "style.png"))
    application.activeWindow().addView(other)
    yield lambda: panel.style.count() > 1
    panel.style.setCurrentIndex(1)
    yield {"style_document": panel.style.currentText()}
    panel.paint_button.click()
    yield lambda: panel.painting is None
    yield {"own_studio": panel.message.text()}


def draw() -> Iterator[Condition]:
    """Yield conditions to wait for, until the picture of the guide is on the screen."""
    yield from arrange()
    document, panel = Krita.instance().activeDocument(), find_panel()
    panel.size_px.setValue(DRAWN_PX)
    panel.file.setText(str(FOLDER / "style.png"))
    select_left_half(document)
    panel.paint_button.click()
    yield lambda: panel.painting is None
    document.setSelection(None)
    yield wait_ms(2000)


def arrange() -> Iterator[Condition]:
    """Yield conditions to wait for, until the window shows the panel, the layers and the picture."""
    application = Krita.instance()
    yield lambda: application.activeDocument() is not None and find_panel() is not None
    yield wait_ms(2000)
    window = application.activeWindow().qwindow()
    for docker in application.dockers():
        docker.setVisible(docker.windowTitle() in ("Impasto", "Layers"))
    window.showNormal()
    window.setGeometry(0, 0, 1280, 900)
    yield wait_ms(1000)
    find_panel().url.setText(os.environ["KRITA_CHECK_URL"])


def select_left_half(document: Any) -> None:
    """Select the left half of a document."""
    selection = Selection()
    selection.select(0, 0, document.width() // 2, document.height(), 255)
    document.setSelection(selection)


def click_paint(panel: Any) -> Any:
    """Click Paint and return the new layer."""
    panel.paint_button.click()
    return panel.layer.node


def describe(
    name: str, document: Any, panel: Any, layer: Any, photo: Any, before: bytes | None = None
) -> dict[str, Any]:
    """Describe a painted layer."""
    return {
        name: {
            "message": panel.message.text(),
            "name": layer.name(),
            "opaque_share": opaque_share(document, layer),
            "is_photo_active": document.activeNode().uniqueId() == photo.uniqueId(),
            "nodes": [node.name() for node in document.topLevelNodes()],
            "differs": pixels(document, layer) != before,
            "photo_is_unchanged": before is None or pixels(document, photo) == before,
            "mean": mean(document, layer),
            "mean_of_photo": mean(document, photo),
        }
    }


def pixels(document: Any, node: Any) -> bytes:
    """Return the pixels of a layer."""
    return bytes(node.pixelData(0, 0, document.width(), document.height()))


def opaque_share(document: Any, node: Any) -> float:
    """Return the share of pixels that are opaque."""
    alpha = pixels(document, node)[3::4]
    return sum(value == 255 for value in alpha) / len(alpha)


def mean(document: Any, node: Any) -> list[float]:
    """Return the mean of each byte of a pixel."""
    values = pixels(document, node)
    return [round(sum(values[channel::4]) / len(values[channel::4]), 1) for channel in range(4)]


def wait_ms(milliseconds: int) -> Condition:
    """Return a condition that holds after a while."""
    timer = QtCore.QElapsedTimer()
    timer.start()
    return lambda: timer.hasExpired(milliseconds)


def find_panel() -> Any:
    """Return Impasto's panel, if it is there."""
    return next((each for each in Krita.instance().dockers() if each.windowTitle() == "Impasto"), None)


def screenshot(name: str) -> None:
    """Save what the screen shows."""
    QtWidgets.QApplication.processEvents()
    QtWidgets.QApplication.primaryScreen().grabWindow(0).save(str(FOLDER / f"{name}.png"))


Krita.instance().addExtension(Check(Krita.instance()))
