"""The queue's database: its tables, as versioned migrations, and how to open it."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from impasto.jobs.model import BrokenQueueError

__all__ = ["MIGRATIONS", "connect", "repair_advice"]

BUSY_MS = 20_000
"""Timeout for other processes' writes. They take milliseconds on a healthy disk."""
POLL_S = 0.02

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
    """
    ALTER TABLE jobs RENAME COLUMN deaths TO crashes;
    ALTER TABLE jobs RENAME COLUMN held TO paused;
    ALTER TABLE jobs RENAME COLUMN asked TO command;
    ALTER TABLE jobs RENAME COLUMN asked_alpha TO requested_alpha;
    ALTER TABLE jobs RENAME COLUMN turns TO alpha_changes;
    -- Checkpoints of earlier versions cannot be resumed, so their jobs start over.
    DELETE FROM losses WHERE job IN (SELECT id FROM jobs WHERE state != 'done');
    UPDATE jobs SET checkpoint = NULL, plan = NULL, progress = 0, elapsed_s = 0, scales = NULL WHERE state != 'done';
    UPDATE jobs SET
        config = rename_keys('config', config), run = rename_keys('run', run), plan = rename_keys('plan', plan);
    """,
    """
    ALTER TABLE jobs ADD COLUMN video TEXT;
    ALTER TABLE jobs ADD COLUMN parent INTEGER REFERENCES jobs (id) ON DELETE CASCADE;
    ALTER TABLE jobs ADD COLUMN shot TEXT;
    ALTER TABLE jobs ADD COLUMN frames TEXT;
    CREATE INDEX jobs_by_parent ON jobs (parent);
    """,
)
"""SQL from each version of the schema to the next. Add new ones; never edit one that was released."""

RENAMED = {
    "config": {
        "bounded": "clamp",
        "detail": "detail_transfer",
        "history": "lbfgs_history",
        "noise": "init_noise",
        "tv": "tv_norm",
    },
    "run": {},
    "plan": {
        "evaluator": "engine",
        "winograd": "winograd_channels",
        "block": "tile_px",
        "history": "lbfgs_history",
        "scratch": "on_disk",
    },
}
"""Keys of the JSON columns that version 3 renamed."""

AUTO = {
    "config": ("content_layers", "style_layers", "style_weights", "fourier_power", "iterations", "scales"),
    "run": ("device", "precision", "threads", "memory", "save_every"),
    "plan": ("winograd_channels", "tile_px", "lbfgs_history"),
}
"""Keys whose 0, "auto" or empty text became null in version 3."""


def rename_keys(column: str, text: str | None) -> str | None:
    """Return a JSON column's value with the keys of version 3. An SQL function of its migration."""
    if text is None:
        return None
    values: dict[str, Any] = {RENAMED[column].get(name, name): value for name, value in json.loads(text).items()}
    for name in AUTO[column]:
        if values.get(name) in (0, "auto", ""):
            values[name] = None
    if values.get("engine") == "chained":
        values["engine"] = "manual"
    return json.dumps(values)


def connect(path: Path) -> sqlite3.Connection:
    """Open the database; create it or migrate it first if necessary. Raises `BrokenQueueError`."""
    try:
        connection = sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        _use_write_ahead_log(connection)
        # WAL alone survives a crash of the program. FULL syncs each commit, to survive a power failure too.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        _migrate(connection)
    except sqlite3.Error as error:
        raise BrokenQueueError(
            f"{path} cannot be opened as a queue: {error}. {repair_advice(error, path.parent)}"
        ) from error
    return connection


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Turn on the write-ahead log of a new database.

    SQLite waits for locks, except for two connections that turn it on at once: the second fails immediately.
    """
    deadline = monotonic() + BUSY_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or monotonic() > deadline:
                raise
            sleep(POLL_S)
        else:
            return


def repair_advice(error: sqlite3.Error, folder: Path) -> str:
    """Return what to do about an unusable queue in this folder."""
    if type(error) is not sqlite3.DatabaseError:  # subclasses: locked, disk full, read-only
        return "Retry when no other program locks it and the disk has space, or give another --data-dir."
    return f"It is damaged; pictures are still in {folder / 'files'}. Move {folder} away, or give another --data-dir."


def _migrate(connection: sqlite3.Connection) -> None:
    if _version(connection) == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")  # of two programs that start at once, the second finds nothing to do
    try:
        version = _version(connection)
        if version > len(MIGRATIONS):
            raise BrokenQueueError(
                "The queue was written by a newer Impasto. Install that version, or give another --data-dir."
            )
        connection.create_function("rename_keys", 2, rename_keys)
        for migration in MIGRATIONS[version:]:
            for statement in filter(str.strip, migration.split(";")):  # executescript would commit first
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
