"""Taking back what was orphaned: by a worker that died, by a Redis that forgot."""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from django.db import DatabaseError

from jobs.clients.doorbells import job_id_of, ring, standing
from jobs.clients.postgres import run
from jobs.errors import LeaseLost
from jobs.queues import QUEUES
from jobs.services.claim import Lease
from jobs.services.endings import handed_back, lost
from jobs.services.publisher import ring_for
from jobs.services.release import release

logger = logging.getLogger(__name__)

WINDOW: Final = 5_000
"""So many of a queue's first doorbells are looked at."""

_EXPIRED: Final = """
SELECT id, lease_token, lease_owner FROM jobs_job
WHERE state = 'running' AND lease_until < clock_timestamp()
ORDER BY lease_until LIMIT %(limit)s
FOR NO KEY UPDATE SKIP LOCKED
"""
_OWNED: Final = """
SELECT id, lease_token FROM jobs_job WHERE state = 'running' AND lease_owner = %(owner)s
"""
_OWNED_OF: Final = """
SELECT id, lease_token FROM jobs_job
WHERE id = ANY(%(ids)s::uuid[]) AND state = 'running' AND lease_owner = %(owner)s
"""
_OLDEST_QUEUED: Final = """
SELECT oldest.* FROM unnest(%(queues)s::text[]) AS given (queue) CROSS JOIN LATERAL (
    SELECT job.id, job.queue, job.delivery_no, job.published_at FROM jobs_job AS job
    WHERE job.state = 'queued' AND job.queue = given.queue
        AND job.published_at < clock_timestamp() - make_interval(secs => %(age_s)s::float8)
    ORDER BY job.published_at LIMIT %(limit)s
) AS oldest
"""
_PUBLISHED_AT: Final = """
SELECT published_at FROM jobs_job WHERE id = %(job_id)s AND state = 'queued'
"""
_DELIVER_AGAIN: Final = """
UPDATE jobs_job SET delivery_no = delivery_no + 1, published_at = clock_timestamp(),
    losses = losses + %(losses)s
WHERE id IN (
    SELECT id FROM jobs_job WHERE id = ANY(%(ids)s::uuid[]) AND state = 'queued'
    FOR NO KEY UPDATE SKIP LOCKED
) AND state = 'queued'
RETURNING id, queue, delivery_no, timeout_s, kind, crashes + losses
"""


def rescue_expired(*, limit: int = 500) -> int:
    """Take running jobs back whose lease is over; return how many (W-13).

    One short transaction each, so that one job's `on_dead` or lock holds up no other. A row that
    is locked just now is left for the next pass, and so is a lease that was renewed meanwhile.
    """
    rescued = 0
    for job_id, token, owner in run(_EXPIRED, {"limit": limit}):
        why = f"the worker {owner} went away"
        rescued += _take_back(Lease(job_id, token), why, expired_only=True)
    return rescued


def rescue_owned(*, owner: str, why: str) -> int:
    """Take back at once what a process ran that is known to have ended; return how many."""
    rows = run(_OWNED, {"owner": owner})
    return sum(_take_back(Lease(*row), why, expired_only=False) for row in rows)


def hand_back_unknown(*, owner: str, job_ids: Sequence[uuid.UUID], known: Collection[Lease]) -> int:
    """Hand back those of the jobs that a worker has claimed and does not know of; return how many.

    For a claim that was committed and whose answer got lost: nothing was run, so nothing is paid,
    and the sweeper rings for the job. `known` are the claims that the worker was told of; no other
    may be about to be answered.
    """
    count = 0
    for row in run(_OWNED_OF, {"owner": owner, "ids": list(job_ids)}):
        lease = Lease(*row)
        if lease not in known:
            with contextlib.suppress(LeaseLost):
                release(lease=lease, ending=handed_back("the answer to its claim was lost"))
                count += 1
    return count


def missing_doorbells(*, older_than_s: float, limit: int = 2_000) -> dict[uuid.UUID, int]:
    """Return the queued jobs without a doorbell in Redis, and which delivery of theirs it was.

    Looks at each queue's longest waiting rows and first doorbells. That one is missing means
    little yet: a worker may have taken it and be about to run the job.
    Raises: redis.RedisError.
    """
    oldest = {"queues": list(QUEUES), "age_s": older_than_s, "limit": limit}
    by_queue: dict[str, list[tuple[Any, ...]]] = {}
    for row in run(_OLDEST_QUEUED, oldest):
        by_queue.setdefault(row[1], []).append(row)
    return {row[0]: row[2] for queue, rows in by_queue.items() for row in _missing(queue, rows)}


def ring_again_if_lost(
    *, older_than_s: float, missed_before: Mapping[uuid.UUID, int]
) -> dict[uuid.UUID, int]:
    """Ring again for queued jobs whose doorbell was missing before and still is.

    The rows of what is being run in a transaction are locked and passed over; everything else had
    the time between two calls to begin. A doorbell too many does no harm, but each loss is counted
    (W-06). Returns what is missing now, for the next call. Raises: redis.RedisError.
    """
    missing = missing_doorbells(older_than_s=older_than_s)
    lost = [job_id for job_id, no in missing.items() if missed_before.get(job_id) == no]
    if lost:
        count = deliver_again(lost, losses=1)
        if count:
            logger.warning("%d doorbells were lost and are rung again", count)
    return {job_id: no for job_id, no in missing.items() if job_id not in lost}


def deliver_again(job_ids: Sequence[uuid.UUID], *, losses: int) -> int:
    """Ring anew for those of the jobs that are queued; return how many.

    Raises: redis.RedisError; the rows then look as if rung for and are missed again later.
    """
    rows = run(_DELIVER_AGAIN, {"ids": list(job_ids), "losses": losses})
    ring([ring_for(row) for row in rows])
    return len(rows)


def _missing(queue: str, rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return the rows that stand before a queue's last visible doorbell but have none there."""
    bells = standing(queue, limit=WINDOW)
    present = {rq_id[:-1] for rq_id in bells}
    gone = [row for row in rows if f"{row[0].hex}-{row[2]}" not in present]
    if not gone or len(bells) < WINDOW:
        return gone
    # More doorbells than are seen: a row younger than the last one seen may stand behind it.
    last = job_id_of(bells[-1])
    seen = run(_PUBLISHED_AT, {"job_id": last}) if last else []
    return [row for row in gone if seen and row[3] < seen[0][0]]


def _take_back(lease: Lease, why: str, *, expired_only: bool) -> bool:
    try:
        state = release(lease=lease, ending=lost(why, expired_only=expired_only))
    except LeaseLost:
        return False
    except DatabaseError:
        logger.exception("job %s could not be rescued yet", lease.job_id.hex)
        return False
    logger.warning("job %s was lost (%s) and is %s", lease.job_id.hex, why, state)
    return True
