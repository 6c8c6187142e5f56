"""Krita's layers and selections as files, and files as layers."""

from __future__ import annotations

from typing import Any

from impasto_krita.qt import QtCore, QtGui

__all__ = ["ResultLayer", "layer_to_png", "mask_to_png", "picture_to_png", "selection_to_mask"]

SRGB = "sRGB-elle-V2-srgbtrc.icc"
PREFIX = "Impasto "
"""Beginning of the names of result layers."""

ACTIVATE_MS = 200

FORMAT = QtGui.QImage.Format.Format_ARGB32
"""Bytes in the order of Krita's 8-bit layers: blue, green, red, alpha."""


def picture_to_png(document: Any) -> bytes:
    """Encode what is visible of a document."""
    return _to_png(document.projection(0, 0, document.width(), document.height()))


def layer_to_png(document: Any, node: Any) -> bytes:
    """Encode a layer, at the size of its document."""
    width, height = document.width(), document.height()
    if not _is_srgb(node):
        node = node.duplicate()
        node.setColorSpace("RGBA", "U8", SRGB)
    pixels = bytes(node.projectionPixelData(0, 0, width, height))
    return _to_png(QtGui.QImage(pixels, width, height, 4 * width, FORMAT))


def selection_to_mask(document: Any) -> bytes | None:
    """Return the selection of a document, a byte for each pixel, or None if nothing is selected."""
    selection = document.selection()
    if selection is None:
        return None
    return bytes(selection.pixelData(0, 0, document.width(), document.height()))


def mask_to_png(mask: bytes, width: int, height: int) -> bytes:
    """Encode the part of a picture that a mask leaves out, in white."""
    image = QtGui.QImage(mask, width, height, width, QtGui.QImage.Format.Format_Grayscale8).copy()
    image.invertPixels()
    return _to_png(image)


class ResultLayer:
    """A new layer above another one and its earlier paintings. It is transparent outside of the selection."""

    def __init__(self, document: Any, above: Any, preset: str, mask: bytes | None) -> None:
        self.document, self._mask = document, mask
        self.node = document.createNode(f"{PREFIX}{preset}", "paintlayer")
        if not _is_srgb(self.node):
            self.node.setColorSpace("RGBA", "U8", SRGB)
        parent = (above.parentNode() if above is not None else None) or document.rootNode()
        parent.addChildNode(self.node, _highest_painting(parent, above))
        if above is not None:
            # Krita activates new layers, later. The next painting is to be one of the same layer.
            QtCore.QTimer.singleShot(ACTIVATE_MS, lambda: document.setActiveNode(above))

    def show(self, content: bytes) -> None:
        """Show a picture, enlarged to the size of the document."""
        width, height = self.document.width(), self.document.height()
        image = QtGui.QImage.fromData(content).convertToFormat(FORMAT)
        if (image.width(), image.height()) != (width, height):
            image = image.scaled(
                width,
                height,
                QtCore.Qt.AspectRatioMode.IgnoreAspectRatio,
                QtCore.Qt.TransformationMode.SmoothTransformation,
            )
        if self._mask is not None:
            image = _cut(image, self._mask)
        pixels = image.constBits()
        pixels.setsize(4 * width * height)
        self.node.setPixelData(bytes(pixels), 0, 0, width, height)
        self.document.refreshProjection()

    def remove(self) -> None:
        """Remove the layer."""
        self.node.remove()
        self.document.refreshProjection()


def _highest_painting(parent: Any, node: Any) -> Any:
    """Return the highest of the paintings directly above a layer, or the layer if there is none."""
    if node is None:
        return None
    siblings = parent.childNodes()
    identities = [sibling.uniqueId() for sibling in siblings]
    start = identities.index(node.uniqueId()) if node.uniqueId() in identities else len(siblings)
    for sibling in siblings[start + 1 :]:
        if not sibling.name().startswith(PREFIX):
            break
        node = sibling
    return node


def _cut(image: Any, mask: bytes) -> Any:
    """Multiply the alpha of a picture by a mask."""
    width, height = image.width(), image.height()
    alpha = QtGui.QImage(mask, width, height, width, QtGui.QImage.Format.Format_Alpha8)
    painter = QtGui.QPainter(image)
    painter.setCompositionMode(QtGui.QPainter.CompositionMode.CompositionMode_DestinationIn)
    painter.drawImage(0, 0, alpha)
    painter.end()
    return image


def _is_srgb(node: Any) -> bool:
    return (node.colorModel(), node.colorDepth()) == ("RGBA", "U8") and node.colorProfile().startswith("sRGB")


def _to_png(image: Any) -> bytes:
    content = QtCore.QByteArray()
    buffer = QtCore.QBuffer(content)
    buffer.open(QtCore.QIODevice.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")
    return bytes(content)
