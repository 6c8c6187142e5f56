"""The studio: a web page on this machine and the REST API behind it, on top of the job queue."""

from impasto.studio.app import create_app
from impasto.studio.studio import Studio

__all__ = ["Studio", "create_app"]
