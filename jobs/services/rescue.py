"""Taking back what was orphaned: by a worker that died, by a Redis that forgot."""

from __future__ import annotations

import logging
import uuid
from typing import Final

from django.db import DatabaseError, connection

from jobs.clients.doorbells import has_lost_its_data, set_marker, waiting
from jobs.errors import LeaseLost
from jobs.services.claim import Lease
from jobs.services.endings import lost
from jobs.services.release import release

logger = logging.getLogger(__name__)

_EXPIRED: Final = """
SELECT id, lease_token, lease_owner FROM jobs_job
WHERE state = 'running' AND lease_until < clock_timestamp()
ORDER BY lease_until LIMIT %(limit)s
FOR NO KEY UPDATE SKIP LOCKED
"""
_RING_AGAIN: Final = """
UPDATE jobs_job SET state = 'pending', published_at = NULL
WHERE id IN (
    SELECT id FROM jobs_job
    WHERE state = 'queued' AND published_at < clock_timestamp() - make_interval(secs => %(age_s)s)
        AND (%(ids)s::uuid[] IS NULL OR id = ANY(%(ids)s::uuid[]))
    FOR NO KEY UPDATE SKIP LOCKED
) AND state = 'queued'
"""
_LONG_QUEUED: Final = """
SELECT id, queue, delivery_no FROM jobs_job
WHERE state = 'queued' AND published_at < clock_timestamp() - make_interval(secs => %(age_s)s)
ORDER BY published_at LIMIT %(limit)s
"""


def rescue_expired(*, limit: int = 500) -> int:
    """Take running jobs back whose lease is over; return how many (W-13).

    One short transaction each, so that one job's `on_dead` or lock holds up no other. A row that
    is locked just now is left for the next pass, and so is a lease that was renewed meanwhile.
    """
    with connection.cursor() as cursor:
        cursor.execute(_EXPIRED, {"limit": limit})
        rows = cursor.fetchall()
    rescued = 0
    for job_id, token, owner in rows:
        ending = lost(f"the worker {owner} went away", expired_only=True)
        try:
            state = release(lease=Lease(job_id, token), ending=ending)
        except LeaseLost:
            continue
        except DatabaseError:
            logger.exception("job %s could not be rescued yet", job_id.hex)
            continue
        rescued += 1
        logger.warning("job %s was lost by %s and is %s", job_id.hex, owner, state)
    return rescued


def ring_again_after_wipe() -> int:
    """If Redis came back empty, put every queued job up for publishing; return how many.

    Raises: redis.RedisError.
    """
    if not has_lost_its_data():
        return 0
    count = _ring_again(age_s=0.0, ids=None)
    # Only now: dying before this line does the work again, which costs a second doorbell.
    set_marker()
    if count:
        logger.warning("Redis had lost its data: %d queued jobs are rung for again", count)
    return count


def ring_again_if_lost(*, older_than_s: float, limit: int = 5_000) -> int:
    """Put queued jobs up for publishing whose doorbell is not in Redis; return how many.

    A doorbell popped a moment ago by a worker that is about to claim is missing too; `older_than_s`
    leaves it the time, and a doorbell too many does no harm.
    Raises: redis.RedisError.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LONG_QUEUED, {"age_s": older_than_s, "limit": limit})
        rows = cursor.fetchall()
    present = {queue: waiting(queue) for queue in {row[1] for row in rows}}
    missing = [
        job_id
        for job_id, queue, delivery_no in rows
        if f"{job_id.hex}-{delivery_no}" not in present[queue]
    ]
    if not missing:
        return 0
    count = _ring_again(age_s=older_than_s, ids=missing)
    logger.warning("%d doorbells were lost and are rung again", count)
    return count


def _ring_again(*, age_s: float, ids: list[uuid.UUID] | None) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_RING_AGAIN, {"age_s": age_s, "ids": ids})
        return int(cursor.rowcount)
