"""Is anybody there to work? (O-03)"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import connection

from jobs.models import WorkerHeartbeat

_NEWEST: Final = """
SELECT beat_at, GREATEST(extract(epoch FROM clock_timestamp() - beat_at), 0)::float8
FROM jobs_workerheartbeat
WHERE role = 'worker' AND stopped_at IS NULL
ORDER BY beat_at DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class WorkerHealth:
    """Whether a worker is alive. `ok` is: the newest beat is not older than `stale_after_ms`."""

    ok: bool
    last_heartbeat_at: datetime | None
    age_ms: int | None
    stale_after_ms: int


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One process: its last sign of life, and whether that is too long ago.

    A process that said farewell is not stale, however long ago that was.
    """

    heartbeat: WorkerHeartbeat
    age_s: float
    is_stale: bool


def worker_health(*, stale_after_s: float, now: datetime | None = None) -> WorkerHealth:
    """Tell whether any worker has beaten within `stale_after_s` seconds.

    Of workers that said farewell nothing is expected, so they do not count: after the last one
    has stopped on purpose there is no heartbeat, and `ok` is false at once. Ages are by the
    database's clock unless `now` is given. Source: O-03.
    """
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST)
        row = cursor.fetchone()
    stale_after_ms = round(stale_after_s * 1000)
    if row is None:
        return WorkerHealth(False, None, None, stale_after_ms)
    beat_at, age_s = row
    if now is not None:
        age_s = max((now - beat_at).total_seconds(), 0.0)
    age_ms = round(age_s * 1000)
    return WorkerHealth(age_ms <= stale_after_ms, beat_at, age_ms, stale_after_ms)


def list_workers(*, stale_after_s: float, now: datetime | None = None) -> list[WorkerState]:
    """Return every process that has a row, the living first, each with its age."""
    now = now or _now()
    limit = timedelta(seconds=stale_after_s)
    states = [
        WorkerState(
            row,
            max((now - row.beat_at).total_seconds(), 0.0),
            row.stopped_at is None and now - row.beat_at > limit,
        )
        for row in WorkerHeartbeat.objects.all()
    ]
    return sorted(states, key=lambda state: state.heartbeat.stopped_at is not None)


def _now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        row = cursor.fetchone()
    now: datetime = row[0]
    return now
