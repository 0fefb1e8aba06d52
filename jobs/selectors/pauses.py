"""Which queues are paused (W-17)."""

from __future__ import annotations

from typing import Final

from django.db import connection

from jobs.models import QueuePause

_IN_FORCE: Final = "resume_at IS NULL OR resume_at > clock_timestamp()"
_PAUSED: Final = f"SELECT queue FROM jobs_queuepause WHERE {_IN_FORCE}"  # noqa: S608 (no input)
_PAUSES: Final = f"SELECT * FROM jobs_queuepause WHERE {_IN_FORCE} ORDER BY queue"  # noqa: S608


def paused_query() -> str:
    """Return the statement for the names of the paused queues: one text column, no parameters.

    For the monitor's own connection, once a second: it reads a table of at most eight rows.
    """
    return _PAUSED


def paused_queues() -> set[str]:
    """Return the names of the queues that are paused now, by the database's clock."""
    with connection.cursor() as cursor:
        cursor.execute(_PAUSED)
        return {row[0] for row in cursor.fetchall()}


def pauses() -> dict[str, QueuePause]:
    """Return the pauses in force by queue."""
    return {pause.queue: pause for pause in QueuePause.objects.raw(_PAUSES)}
