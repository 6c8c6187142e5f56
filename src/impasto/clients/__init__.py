"""Installs the clients that ship with Impasto into other programs."""

from impasto.clients.krita import (
    Installation,
    InstalledPlugin,
    find_krita_folder,
    find_krita_plugin,
    install_krita_plugin,
)

__all__ = ["Installation", "InstalledPlugin", "find_krita_folder", "find_krita_plugin", "install_krita_plugin"]
