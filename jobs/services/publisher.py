"""From the row to the doorbell: pending or retry_wait to queued."""

from __future__ import annotations

import logging
import uuid
from typing import Any, Final

from django.db import DatabaseError, InterfaceError, connection, transaction
from redis.exceptions import RedisError

from jobs.clients.doorbells import Ring, ring

logger = logging.getLogger(__name__)

_BY_ID: Final = """
SELECT id, queue, delivery_no + 1, timeout_s FROM jobs_job
WHERE id = ANY(%(ids)s) AND state IN ('pending', 'retry_wait')
    AND next_attempt_at <= clock_timestamp()
FOR NO KEY UPDATE SKIP LOCKED
"""
_DUE: Final = """
SELECT id, queue, delivery_no + 1, timeout_s FROM jobs_job
WHERE state IN ('pending', 'retry_wait') AND next_attempt_at <= clock_timestamp()
ORDER BY next_attempt_at LIMIT %(limit)s
FOR NO KEY UPDATE SKIP LOCKED
"""
_MARK: Final = """
UPDATE jobs_job SET state = 'queued', delivery_no = delivery_no + 1,
    published_at = clock_timestamp()
WHERE id = ANY(%(ids)s)
"""


def publish_soon(*, job_id: uuid.UUID) -> None:
    """Ring for one job right after its transaction; a failure is left to the sweeper.

    Never raises for Redis or the database: the caller's work is committed and must not look
    failed because a bell did not ring.
    """
    try:
        _publish(_BY_ID, {"ids": [job_id]})
    except (RedisError, DatabaseError, InterfaceError) as error:
        logger.warning("job %s waits for the sweeper: %s", job_id.hex, error)


def publish_due(*, limit: int = 500) -> int:
    """Ring for up to `limit` jobs that are due, the longest waiting first; return how many.

    Invariant: the rows are locked while the doorbells are pushed, and marked in the same
    transaction. Dying in between leaves a second doorbell, never none (W-04).
    Raises: redis.RedisError; nothing is marked then.
    """
    return _publish(_DUE, {"limit": limit})


def _publish(select: str, parameters: dict[str, Any]) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(select, parameters)
        rings = [Ring(*row) for row in cursor.fetchall()]
        if rings:
            ring(rings)
            cursor.execute(_MARK, {"ids": [each.job_id for each in rings]})
    return len(rings)
