"""Filling Redis again from the rows: after it came back empty, or with an old dump."""

from __future__ import annotations

import logging
from typing import Final

from jobs import telemetry
from jobs.clients.doorbells import advance_marker, marker, set_marker
from jobs.clients.inventory import begin_filling, end_filling, is_filled
from jobs.clients.postgres import run
from jobs.services.rebuild import rebuild_queue

logger = logging.getLogger(__name__)

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
    """What a sweeper remembers of Redis: how far it had counted.

    The count tells a dump that was loaded into a server that runs on; `is_filled` tells all else,
    also to a sweeper that has just begun.
    """

    def __init__(self) -> None:
        self.seen = 0

    def refill_if_lost(self) -> int:
        """If Redis came back empty or older than it was, ring for what it does not hold.

        Returns for how many. Dying before the end does the work again, and so does a Redis that is
        emptied meanwhile. Raises: redis.RedisError.
        """
        found = marker()
        if found is not None and found >= self.seen and is_filled():
            self.seen = advance_marker()
            return 0
        filling = begin_filling()
        self.seen = max(found or 0, self.seen) + 1
        set_marker(self.seen)
        count = sum(rebuild_queue(queue=row[0]).missing for row in run(_QUEUES))
        end_filling(filling)
        if count:
            logger.warning("Redis had lost its data: rang for %d queued jobs again", count)
            telemetry.publish("redis.wiped", rung_again=count)
        return count
