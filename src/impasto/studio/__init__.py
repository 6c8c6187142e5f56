"""The studio: a web page on this machine, and the REST API behind it, as a front for the queue of `jobs`."""

from impasto.studio.app import Studio, create_app

__all__ = ["Studio", "create_app"]
