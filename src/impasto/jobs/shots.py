"""Shots of a clip in the queue: jobs of their own, painted before the clip's job, by several workers at once.

A shot's job paints its frames into the folder of the clip. The job of the clip then finds them there, paints whatever
is missing, and writes the clip. So the shots save time, and nothing depends on them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from impasto.jobs.database import REVISION, Execute

__all__ = ["ACTIVE", "add_shots", "shots_of", "update_clips"]

ACTIVE = "state IN ('queued', 'running')"

COPIED = ("key", "priority", "config", "run", "inputs", "video", "created_s", "changed_s")
"""Columns that a shot has from its clip."""


def add_shots(execute: Execute, clip: int, shots: Sequence[range]) -> None:
    """Add a job for each shot of a clip. One shot alone needs none."""
    names = ", ".join(COPIED)
    for shot in shots if len(shots) > 1 else ():
        execute(
            f"INSERT INTO jobs ({names}, parent, shot, frames, revision) "
            f"SELECT {names}, id, ?, ?, {REVISION} FROM jobs WHERE id = ?",
            (json.dumps([shot.start, shot.stop]), json.dumps([0, len(shot)]), clip),
        )


def shots_of(execute: Execute, clip: int) -> list[Any]:
    """Return the rows of a clip's shots that have not ended."""
    return execute(f"SELECT * FROM jobs WHERE parent = ? AND {ACTIVE}", (clip,)).fetchall()


def update_clips(execute: Execute, now: float, lease_s: float) -> None:
    """Update the state, the progress and the time of clips from those of their shots.

    Several workers may paint a clip, so that its time is that which passes while any of them does: not their sum.
    Workers that live are heard of within a lease, so that a longer gap does not count.
    """
    shots = "FROM jobs AS shot WHERE shot.parent = jobs.id"
    done = f"(SELECT sum(json_extract(shot.frames, '$[0]')) {shots})"
    count = "json_extract(jobs.frames, '$[1]')"
    is_running = f"EXISTS (SELECT 1 {shots} AND shot.state = 'running')"
    execute(
        f"UPDATE jobs SET frames = json_array({done}, {count}), progress = 1.0 * {done} / {count}, "
        f"elapsed_s = elapsed_s + (state = 'running') * max(0, min(:now - changed_s, :lease_s)), "
        f"changed_s = :now, revision = {REVISION}, "
        f"state = CASE WHEN {is_running} THEN 'running' WHEN command = 'cancel' THEN 'cancelled' ELSE 'queued' END, "
        f"command = CASE WHEN {is_running} THEN command END, "
        f"paused = paused AND ({is_running} OR command IS NOT 'cancel') "
        f"WHERE worker IS NULL AND {ACTIVE} AND id IN (SELECT parent FROM jobs WHERE parent IS NOT NULL)",
        {"now": now, "lease_s": lease_s},
    )
