"""The database: its tables, by versioned migrations, and how it is opened."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from impasto.jobs.errors import BrokenQueueError

__all__ = ["MIGRATIONS", "advice", "connect"]

BUSY_MS = 20_000
"""How long one waits for another's write: they take milliseconds, on a disk that answers."""

MIGRATIONS = (
    """
    CREATE TABLE jobs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'queued'
            CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
        priority INTEGER NOT NULL DEFAULT 0,
        config TEXT NOT NULL,
        run TEXT NOT NULL,
        inputs TEXT NOT NULL,
        output TEXT,
        created_s REAL NOT NULL,
        changed_s REAL NOT NULL,
        attempt INTEGER NOT NULL DEFAULT 0,
        deaths INTEGER NOT NULL DEFAULT 0,
        worker TEXT,
        lease_s REAL NOT NULL DEFAULT 0,
        asked TEXT CHECK (asked IN ('cancel')),
        plan TEXT,
        checkpoint TEXT,
        progress REAL NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 1),
        result TEXT,
        error TEXT
    ) STRICT;
    CREATE INDEX jobs_waiting ON jobs (state, priority DESC, id);
    CREATE INDEX jobs_by_key ON jobs (key);
    CREATE TABLE losses (
        job INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        step INTEGER NOT NULL,
        scale INTEGER NOT NULL,
        iteration INTEGER NOT NULL,
        total REAL NOT NULL,
        content REAL NOT NULL,
        style REAL NOT NULL,
        PRIMARY KEY (job, step)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    ALTER TABLE jobs ADD COLUMN held INTEGER NOT NULL DEFAULT 0 CHECK (held IN (0, 1));
    ALTER TABLE jobs ADD COLUMN asked_alpha REAL CHECK (asked_alpha >= 0);
    ALTER TABLE jobs ADD COLUMN turns TEXT NOT NULL DEFAULT '[]';
    ALTER TABLE jobs ADD COLUMN scales TEXT;
    ALTER TABLE jobs ADD COLUMN elapsed_s REAL NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX jobs_by_revision ON jobs (revision);
    CREATE TABLE revisions (last INTEGER NOT NULL, removed INTEGER NOT NULL) STRICT;
    INSERT INTO revisions VALUES (0, 0);
    """,
)
"""What makes each version of the schema from the one before. Only ever added to."""


def connect(path: Path) -> sqlite3.Connection:
    """Open the database, made or brought up to date as it needs. Raises `BrokenQueueError`."""
    try:
        connection = sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        # What was committed stays through a crash of the program; of the machine too, for it is synced.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        _migrate(connection)
    except sqlite3.Error as error:
        raise BrokenQueueError(f"{path} cannot be opened as a queue: {error}. {advice(error, path.parent)}") from error
    return connection


def advice(error: sqlite3.Error, folder: Path) -> str:
    """What to do about a queue in this folder that cannot be used."""
    if type(error) is not sqlite3.DatabaseError:  # locked, full, not to be written: those have classes of their own
        return "Try again when nothing else holds it and there is room, or take another --data-dir."
    return f"It is damaged; pictures are still in {folder / 'files'}. Move {folder} away, or take another --data-dir."


def _migrate(connection: sqlite3.Connection) -> None:
    if _version(connection) == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")  # two programs may come at once; the second finds it done
    try:
        version = _version(connection)
        if version > len(MIGRATIONS):
            raise BrokenQueueError("the queue is of a newer Impasto. Install that one, or take another --data-dir.")
        for migration in MIGRATIONS[version:]:
            for statement in filter(str.strip, migration.split(";")):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
