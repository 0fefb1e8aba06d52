"""How the queues are doing (W-17); from PostgreSQL, so right whoever has died."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.db import connection

from jobs.queues import QUEUES

_FACTS: Final = """
SELECT queue,
    count(*) FILTER (WHERE state = 'pending' OR state = 'queued'),
    count(*) FILTER (WHERE state = 'running'),
    count(*) FILTER (WHERE state = 'retry_wait'),
    COALESCE(extract(epoch FROM clock_timestamp() - min(next_attempt_at)
        FILTER (WHERE next_attempt_at <= clock_timestamp())), 0)::float8
FROM jobs_job WHERE finished_at IS NULL
GROUP BY queue
"""


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """One queue now. `oldest_age_s` is how long the job that is due longest has been waiting."""

    queue: str
    waiting: int = 0
    running: int = 0
    retrying: int = 0
    oldest_age_s: float = 0.0


def queue_facts() -> list[QueueFacts]:
    """Return the facts of every queue of the table, empty ones included."""
    with connection.cursor() as cursor:
        cursor.execute(_FACTS)
        found = {row[0]: QueueFacts(*row) for row in cursor.fetchall()}
    return [found.get(name) or QueueFacts(name) for name in QUEUES]
