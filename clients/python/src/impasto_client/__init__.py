"""Client of the Impasto studio: paint pictures through its REST API, with the standard library alone.

from impasto_client import Client
picture = Client().paint("photo.jpg", "painting.jpg", size=512)
"""

from __future__ import annotations

from impasto_client.client import API_VERSION, DEFAULT_URL, PRESETS, Client
from impasto_client.errors import (
    ConnectionLostError,
    JobCancelledError,
    JobError,
    JobFailedError,
    NoStudioError,
    NotInstalledError,
    PictureError,
    RequestError,
    StartError,
    StudioError,
    TokenError,
    VersionError,
)
from impasto_client.events import Cancelled, Done, Event, Failed, Preview, Progress
from impasto_client.job import Job
from impasto_client.pictures import Clip, Picture

__version__ = "0.1.0"

__all__ = [
    "API_VERSION",
    "DEFAULT_URL",
    "PRESETS",
    "Cancelled",
    "Client",
    "Clip",
    "ConnectionLostError",
    "Done",
    "Event",
    "Failed",
    "Job",
    "JobCancelledError",
    "JobError",
    "JobFailedError",
    "NoStudioError",
    "NotInstalledError",
    "Picture",
    "PictureError",
    "Preview",
    "Progress",
    "RequestError",
    "StartError",
    "StudioError",
    "TokenError",
    "VersionError",
]
