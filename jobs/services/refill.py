"""Filling Redis again from the rows: after it came back empty, or with an old dump."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from jobs.clients.doorbells import advance_marker, marker, set_marker
from jobs.clients.postgres import run
from jobs.services.rescue import deliver_again

logger = logging.getLogger(__name__)

BATCH: Final = 2_000

_BEFORE: Final = """
SELECT id FROM jobs_job
WHERE state = 'queued' AND queue = %(queue)s AND published_at < %(moment)s
ORDER BY published_at LIMIT %(limit)s
"""
_NOW: Final = "SELECT clock_timestamp()"
_QUEUES: Final = """
WITH RECURSIVE found AS (
    (SELECT queue FROM jobs_job WHERE state = 'queued' ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT queue FROM jobs_job WHERE state = 'queued' AND queue > found.queue
        ORDER BY queue LIMIT 1)
    FROM found WHERE found.queue IS NOT NULL
)
SELECT queue FROM found WHERE queue IS NOT NULL
"""


class Memory:
    """What a sweeper remembers of Redis: how far it had counted."""

    def __init__(self) -> None:
        self.seen = 0

    def refill_if_lost(self) -> int:
        """If Redis came back empty or older than it was, ring for every queued job again.

        Returns for how many. Dying before the end does the work again, which costs doorbells too
        many and loses none. Raises: redis.RedisError.
        """
        found = marker()
        if found is not None and found >= self.seen:
            self.seen = advance_marker()
            return 0
        count = refill()
        self.seen += 1
        set_marker(self.seen)
        if count:
            logger.warning("Redis had lost its data: rang for %d queued jobs again", count)
        return count


def refill(
    *, queue: str | None = None, report: Callable[[str, int], None] = lambda queue, count: None
) -> int:
    """Ring anew for every job queued before now, the longest waiting first; return how many.

    `report` is told the queue and how many were rung for so far. Raises: redis.RedisError.
    """
    moment: datetime = run(_NOW)[0][0]
    names = [queue] if queue else [row[0] for row in run(_QUEUES)]
    return sum(_refill(name, moment, report) for name in names)


def _refill(queue: str, moment: datetime, report: Callable[[str, int], None]) -> int:
    total = 0
    parameters = {"queue": queue, "moment": moment, "limit": BATCH}
    while ids := [row[0] for row in run(_BEFORE, parameters)]:
        count = deliver_again(ids, losses=0)
        total += count
        report(queue, total)
        if not count:
            break  # All that is left is locked by those who run or move it.
    return total
