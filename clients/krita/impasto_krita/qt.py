"""Qt 5 in Krita 5, Qt 6 in Krita 6."""

from __future__ import annotations

try:
    from PyQt6 import QtCore, QtGui, QtWidgets
except ImportError:
    from PyQt5 import QtCore, QtGui, QtWidgets

__all__ = ["QtCore", "QtGui", "QtWidgets"]
