"""The database in the hands of one program: whole transactions, one at a time, each with a number of its own."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from impasto.jobs.errors import BrokenQueueError
from impasto.jobs.schema import advice, connect

__all__ = ["REVISION", "Database", "Statement"]

Statement = Callable[..., sqlite3.Cursor]

REVISION = "(SELECT last FROM revisions)"
"""The number of the transaction that one is in, as SQL."""


class Database:
    """`jobs.sqlite` in a folder. Whatever goes wrong in it is a `BrokenQueueError`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._connection = connect(folder / "jobs.sqlite")
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let go of it."""
        self._connection.close()

    def read(self, statement: str, values: tuple[Any, ...] = ()) -> list[sqlite3.Row]:
        """The rows that a question finds."""
        with self._lock, self._told():
            return self._connection.execute(statement, values).fetchall()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Statement]:
        """Several questions to the database as it is at one time."""
        with self._transaction("BEGIN") as ask:
            yield ask

    @contextlib.contextmanager
    def writing(self) -> Iterator[Statement]:
        """One transaction: all of it, or nothing."""
        with self._transaction("BEGIN IMMEDIATE") as write:
            write("UPDATE revisions SET last = last + 1")
            yield write

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[Statement]:
        with self._lock, self._told():
            self._connection.execute(begin)
            try:
                yield self._connection.execute
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            where = f"The queue in {self.folder} cannot be used"
            raise BrokenQueueError(f"{where}: {error}. {advice(error, self.folder)}") from error
