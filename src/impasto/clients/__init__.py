"""Installs the clients that ship with Impasto into other programs."""

from impasto.clients.krita import Installation, find_krita_folder, install_krita_plugin

__all__ = ["Installation", "find_krita_folder", "install_krita_plugin"]
