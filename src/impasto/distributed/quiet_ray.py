"""Suppression of what Ray prints in this process: commands report in their own lines.

Ray's options do not cover messages from a ray:// server, announcements of dead nodes (on standard output, which is for
a command's result), and errors of threads whose channel was closed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import warnings
from collections.abc import Iterator

__all__ = ["discard_stderr", "silence"]


def silence() -> None:
    """Suppress everything but errors."""
    from ray._private import worker
    from ray.util.client.logsclient import LogstreamClient

    warnings.filterwarnings("ignore", module=r"ray\.util\.client")
    logging.getLogger("ray").setLevel(logging.ERROR)
    # Every client resets the level of this logger, so filter its records.
    logging.getLogger(LogstreamClient.__module__).addFilter(_is_error)
    LogstreamClient.stdstream = _ignore  # type: ignore[method-assign]
    vars(worker)["_worker_logs_enabled"] = False
    threading.excepthook = _report_unless_grpc


@contextlib.contextmanager
def discard_stderr() -> Iterator[None]:
    """Discard standard error: Ray's native code prints every second while it tries to connect.

    Errors are raised as well, so nothing is lost.
    """
    original, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(original, 2)
        os.close(original)
        os.close(null)


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def _ignore(*_: object, **__: object) -> None:
    pass


def _report_unless_grpc(raised: threading.ExceptHookArgs) -> None:
    """Report a thread's error, except from grpc: its threads fail when a connection is closed."""
    last = raised.exc_traceback
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is None or not last.tb_frame.f_globals.get("__name__", "").startswith("grpc"):
        threading.__excepthook__(raised)
