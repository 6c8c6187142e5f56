"""A connection to the queue's database: transactions, each with its own revision number."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from impasto.jobs.model import BrokenQueueError
from impasto.jobs.schema import connect, repair_advice

__all__ = ["REVISION", "Database", "Execute"]

Execute = Callable[..., sqlite3.Cursor]

REVISION = "(SELECT last FROM revisions)"
"""SQL for the revision of the current transaction."""


class Database:
    """The file `jobs.sqlite` in a folder.

    Threads may share it. Failures raise `BrokenQueueError`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._connection = connect(folder / "jobs.sqlite")
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def read(self, statement: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[sqlite3.Row]:
        """Return all rows of a query."""
        with self._lock, self._translate_errors():
            return self._connection.execute(statement, values).fetchall()

    @contextlib.contextmanager
    def read_transaction(self) -> Iterator[Execute]:
        """Run several queries on one snapshot of the database."""
        with self._transaction("BEGIN") as execute:
            yield execute

    @contextlib.contextmanager
    def write_transaction(self) -> Iterator[Execute]:
        """Run statements that are committed together, or not at all if one fails."""
        with self._transaction("BEGIN IMMEDIATE") as execute:
            execute("UPDATE revisions SET last = last + 1")
            yield execute

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[Execute]:
        with self._lock, self._translate_errors():
            self._connection.execute(begin)
            try:
                yield self._connection.execute
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise BrokenQueueError(
                f"The queue in {self.folder} cannot be used: {error}. {repair_advice(error, self.folder)}"
            ) from error
