"""Ringing for jobs whose rows say `queued`: after the commit that made them so (ADR 0009)."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from typing import Any, Final

from django.db import DatabaseError, InterfaceError, connection, transaction
from redis.exceptions import RedisError

from jobs.clients.doorbells import Ring, ring
from jobs.clients.postgres import run
from jobs.clients.wall import outside
from jobs.errors import UnknownKind
from jobs.registry import get_handler
from jobs.services.endings import SUSPECT_AFTER
from jobs.states import Shape

logger = logging.getLogger(__name__)

_COLUMNS: Final = "id, queue, delivery_no, timeout_s, kind, crashes + losses"
_PUBLISH: Final = f"""
UPDATE jobs_job SET state = 'queued', delivery_no = delivery_no + 1,
    published_at = clock_timestamp()
WHERE id = ANY(ARRAY(
    SELECT id FROM jobs_job
    WHERE state IN ('pending', 'retry_wait') AND next_attempt_at <= clock_timestamp()
        AND (%(ids)s::uuid[] IS NULL OR id = ANY(%(ids)s::uuid[]))
    ORDER BY next_attempt_at LIMIT %(limit)s
    FOR NO KEY UPDATE SKIP LOCKED
)) AND state IN ('pending', 'retry_wait')
RETURNING {_COLUMNS}
"""  # noqa: S608 (no input in it)
_TAKE_BACK: Final = """
UPDATE jobs_job SET state = 'pending', published_at = NULL
WHERE id IN (
    SELECT job.id FROM jobs_job AS job
    JOIN unnest(%(ids)s::uuid[], %(deliveries)s::bigint[]) AS rung (id, delivery_no)
        ON job.id = rung.id AND job.delivery_no = rung.delivery_no
    WHERE job.state = 'queued'
    FOR NO KEY UPDATE OF job SKIP LOCKED
)
"""
_LETTERS: Final = {Shape.STEPWISE: "s", Shape.TRANSACTIONAL: "t", Shape.BATCH: "b"}


class NewRings:
    """The doorbells of one transaction, or of one savepoint: pushed together once it commits."""

    def __init__(self) -> None:
        self.rings: list[Ring] = []

    def __call__(self) -> None:
        """Push; what cannot be pushed is left to the sweeper."""
        ring_softly(self.rings)


class NewlyDue:
    """Jobs of one transaction that wait and are due: rung for together once it commits."""

    def __init__(self) -> None:
        self.job_ids: list[uuid.UUID] = []

    def __call__(self) -> None:
        """Mark and push; what cannot be is left to the sweeper."""
        try:
            # After the transaction, whoever's it was.
            with outside():
                _publish(self.job_ids, len(self.job_ids))
        except (DatabaseError, InterfaceError) as error:
            logger.warning("%d jobs wait for the sweeper: %s", len(self.job_ids), error)


def ring_on_commit(rings: Sequence[Ring]) -> None:
    """Ring for rows of the caller's transaction once it has committed, all in one round trip.

    Never raises for Redis: the caller's work must not look failed because a bell did not ring.
    """
    here = set(connection.savepoint_ids)
    for savepoints, function, *_ in reversed(connection.run_on_commit):
        if isinstance(function, NewRings) and savepoints == here:
            # Kept or dropped by the same commit or rollback as these.
            function.rings.extend(rings)
            return
    new = NewRings()
    new.rings.extend(rings)
    transaction.on_commit(new, robust=True)


def ring_softly(rings: Sequence[Ring]) -> bool:
    """Push doorbells of committed rows; if Redis is away, leave the rows to the sweeper.

    Dying before, or in between, leaves queued rows without a doorbell: the sweeper misses it
    within JOB_LOST_AFTER_S (`ring_again_if_lost`). Returns whether they were pushed.
    """
    try:
        ring(rings)
        return True
    except RedisError as error:
        logger.warning("%d jobs wait for the sweeper: %s", len(rings), error)
    try:
        parameters = {
            "ids": [each.job_id for each in rings],
            "deliveries": [each.delivery_no for each in rings],
        }
        # After the transaction, whoever's it was.
        with outside():
            run(_TAKE_BACK, parameters)
    except (DatabaseError, InterfaceError) as error:
        logger.warning("%d jobs wait until their doorbells are missed: %s", len(rings), error)
    return False


def publish_on_commit(*, job_id: uuid.UUID) -> None:
    """Ring for a waiting job once the caller's transaction has committed, for all of its together.

    A failure is left to the sweeper.
    """
    for _, function, *_ in reversed(connection.run_on_commit):
        if isinstance(function, NewlyDue):
            # One whose savepoint is rolled back yet is asked about in vain: it does not wait.
            function.job_ids.append(job_id)
            return
    new = NewlyDue()
    new.job_ids.append(job_id)
    transaction.on_commit(new, robust=True)


def publish_due(*, limit: int = 500) -> int:
    """Ring for up to `limit` jobs that are due, the longest waiting first; return how many.

    The rows are marked and committed before the doorbells are pushed, so that a worker that
    answers one finds its row free.
    Raises: redis.RedisError; the rows are pending again then.
    """
    count, pushed = _publish(None, limit)
    if not pushed:
        raise RedisError("the doorbells were not pushed")
    return count


def ring_for(row: Sequence[Any]) -> Ring:
    """Describe the doorbell of a row: id, queue, delivery, timeout, kind, crashes and losses."""
    job_id, queue, delivery_no, timeout_s, kind, lost = row
    return Ring(job_id, queue, delivery_no, timeout_s, letter_of(kind, lost))


def letter_of(kind: str, lost: int) -> str:
    """Say how a job of this kind is run that was lost so many times."""
    if lost >= SUSPECT_AFTER:
        return "i"
    try:
        handler = get_handler(kind)
    except UnknownKind:
        return "s"
    return "i" if handler.isolated else _LETTERS[handler.shape]


def _publish(ids: list[uuid.UUID] | None, limit: int) -> tuple[int, bool]:
    rings = [ring_for(row) for row in run(_PUBLISH, {"ids": ids, "limit": limit})]
    return len(rings), ring_softly(rings) if rings else True
