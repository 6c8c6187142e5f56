"""The errors of the client. Each message says what happened and what to do."""

from __future__ import annotations

__all__ = [
    "ConnectionLostError",
    "JobCancelledError",
    "JobError",
    "JobFailedError",
    "NoStudioError",
    "NotInstalledError",
    "PictureError",
    "RequestError",
    "StartError",
    "StudioError",
    "TokenError",
    "VersionError",
]


class StudioError(Exception):
    """Base class of all errors of the client."""


class NoStudioError(StudioError):
    """No studio answers at the address."""


class ConnectionLostError(StudioError):
    """The studio stopped answering, and did not come back in time."""


class TokenError(StudioError):
    """The studio needs a token, or another one."""


class VersionError(StudioError):
    """The studio has another version of the API."""


class PictureError(StudioError):
    """A picture that cannot be sent: a missing or empty file."""


class RequestError(StudioError):
    """A request that the studio refused, with its message: an unknown option, a file that is no picture."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class JobError(StudioError):
    """A job that has no result."""


class JobFailedError(JobError):
    """A job that failed, with the studio's message."""


class JobCancelledError(JobError):
    """A job that was cancelled."""


class StartError(StudioError):
    """A studio that could not be started."""


class NotInstalledError(StartError):
    """Impasto is not installed where the client looks for it."""
