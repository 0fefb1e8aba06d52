"""Signs of life of the processes that work (O-03): written by them, watched by the sweeper."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from django.db import connection

from jobs import telemetry

logger = logging.getLogger(__name__)

_BEAT: Final = """
INSERT INTO jobs_workerheartbeat AS mine (name, host, pid, role, queues, slots, busy, jobs_done,
    memory_bytes, version, stopping, started_at, beat_at)
SELECT %(name)s, %(host)s, %(pid)s, %(role)s, %(queues)s::text[], %(slots)s, %(busy)s,
    %(jobs_done)s, %(memory_bytes)s, %(version)s, %(stopping)s, clock.now, clock.now
FROM (SELECT clock_timestamp() AS now) AS clock
ON CONFLICT (name) DO UPDATE SET slots = excluded.slots, busy = excluded.busy,
    jobs_done = excluded.jobs_done, memory_bytes = excluded.memory_bytes,
    queues = excluded.queues, stopping = excluded.stopping, beat_at = excluded.beat_at
WHERE mine.stopped_at IS NULL
"""
_FAREWELL: Final = """
UPDATE jobs_workerheartbeat SET stopping = true, busy = 0,
    beat_at = clock.now, stopped_at = clock.now
FROM (SELECT clock_timestamp() AS now) AS clock
WHERE name = %(name)s AND stopped_at IS NULL
"""
_GONE_SILENT: Final = """
UPDATE jobs_workerheartbeat SET stale_reported_at = clock_timestamp()
WHERE stopped_at IS NULL AND stale_reported_at IS NULL
    AND beat_at < clock_timestamp() - make_interval(secs => %(stale_after_s)s)
RETURNING name, host, pid, role, busy, beat_at
"""
_BACK_AGAIN: Final = """
UPDATE jobs_workerheartbeat SET stale_reported_at = NULL
WHERE stale_reported_at IS NOT NULL
    AND (stopped_at IS NOT NULL
        OR beat_at >= clock_timestamp() - make_interval(secs => %(stale_after_s)s))
RETURNING name, host, pid, role, busy, beat_at
"""
_PRUNE: Final = """
DELETE FROM jobs_workerheartbeat
WHERE beat_at < clock_timestamp() - make_interval(secs => %(older_than_s)s)
    AND (stopped_at IS NOT NULL OR stale_reported_at IS NOT NULL)
"""


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """What a process says about itself.

    `name` is unique per start (`jobs.clients.process.new_worker_name`), `role` is `worker` or
    `scheduler`. `slots` is how many jobs it may run at once, `busy` how many it runs now,
    `jobs_done` how many have ended since its start. Units: `memory_bytes` in bytes.
    """

    name: str
    host: str
    pid: int
    role: str
    queues: tuple[str, ...] = ()
    slots: int = 0
    busy: int = 0
    jobs_done: int = 0
    memory_bytes: int = 0
    version: str = ""
    stopping: bool = False


def beat(facts: WorkerFacts) -> tuple[str, dict[str, Any]]:
    """Return the statement that says "alive", for the monitor's own connection.

    The first of a name inserts its row. After the farewell it changes nothing, so that a beat
    that was on its way does not bring a worker back.
    """
    return _BEAT, asdict(facts) | {"queues": list(facts.queues)}


def farewell(name: str) -> tuple[str, dict[str, Any]]:
    """Return the statement that says "gone on purpose": such a row is never stale."""
    return _FAREWELL, {"name": name}


def report_workers(*, stale_after_s: float) -> int:
    """Publish `worker.stale` for each process gone silent and `worker.back` for each that is back.

    Returns how many were published; any number of sweepers report each change once.
    Units: `stale_after_s` in seconds without a beat.
    """
    limit = {"stale_after_s": stale_after_s}
    silent, back = _changed(_GONE_SILENT, limit), _changed(_BACK_AGAIN, limit)
    for row in silent:
        logger.warning("the %s %s has not been heard of since %s", row["role"], *_when(row))
        telemetry.publish("worker.stale", **row)
    for row in back:
        telemetry.publish("worker.back", **row)
    return len(silent) + len(back)


def prune_workers(*, older_than_s: float) -> int:
    """Delete the rows of processes that are long gone; return how many.

    A silent process is kept until it has been reported. Units: `older_than_s` in seconds.
    """
    with connection.cursor() as cursor:
        cursor.execute(_PRUNE, {"older_than_s": older_than_s})
        return int(cursor.rowcount)


def _changed(statement: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        columns = ("worker", "host", "pid", "role", "busy", "beat_at")
        return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


def _when(row: dict[str, Any]) -> tuple[str, datetime]:
    return row["worker"], row["beat_at"]
