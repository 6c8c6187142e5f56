"""What Ray prints of its own accord, kept from the terminal: a command says what happened in lines of its own.

Ray's options leave some of it out: what a client is sent by its server, what everybody is told when a node dies (to
standard output, which is for a command's result), and a thread that finds its channel closed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import warnings
from collections.abc import Iterator

__all__ = ["hushed", "silence"]


def silence() -> None:
    """Let through errors alone."""
    from ray._private import worker
    from ray.util.client.logsclient import LogstreamClient

    warnings.filterwarnings("ignore", module=r"ray\.util\.client")
    logging.getLogger("ray").setLevel(logging.ERROR)
    # Its level is set again by every client.
    logging.getLogger(LogstreamClient.__module__).addFilter(_is_error)
    LogstreamClient.stdstream = _nothing  # type: ignore[method-assign]
    vars(worker)["_worker_logs_enabled"] = False
    threading.excepthook = _unless_of_grpc


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Without what Ray's native part writes to standard error, every second, while it tries to connect.

    It raises what it has to say, too.
    """
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def _nothing(*_: object, **__: object) -> None:
    pass


def _unless_of_grpc(raised: threading.ExceptHookArgs) -> None:
    """A thread's error, but for those of a channel that is watched when its connection is given up."""
    last = raised.exc_traceback
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is None or not last.tb_frame.f_globals.get("__name__", "").startswith("grpc"):
        threading.__excepthook__(raised)
