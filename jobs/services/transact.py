"""Whole runs in one transaction: held by the row lock, settled in the round trip of COMMIT.

For transactional and batch kinds (docs/engine.md, "Three shapes"). Until the COMMIT the row says
`queued` and nothing of the run can be seen; a transaction that ends in any other way leaves no
trace, so there is no lease, no fence to check and nothing to take back.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from django.db import IntegrityError, ProgrammingError, transaction

from jobs.clients.postgres import (
    forget_prepared,
    has_lost_plans,
    literal,
    prepare,
    run,
    run_together,
    take_later,
)
from jobs.errors import LeaseLost
from jobs.services.claim import Claimed
from jobs.services.endings import SUSPECT_AFTER

_COLUMNS: Final = """id, kind, version, queue, organization_id, payload, attempts + 1, lease_token,
    timeout_s, request_id, correlation_id, clock_timestamp()"""
_FREE: Final = f"""state IN ('pending', 'queued', 'retry_wait')
    AND next_attempt_at <= clock_timestamp() AND crashes + losses < {SUSPECT_AFTER}"""
_HOLD_ONE: Final = f"""
(uuid) AS SELECT {_COLUMNS} FROM jobs_job WHERE id = $1 AND {_FREE}
FOR NO KEY UPDATE SKIP LOCKED
"""  # noqa: S608 (no input in it)
_HOLD_MANY: Final = f"""
SELECT {_COLUMNS} FROM jobs_job WHERE id = ANY(%(ids)s::uuid[]) AND {_FREE}
FOR NO KEY UPDATE SKIP LOCKED
"""  # noqa: S608 (no input in it)
_MOVE: Final = """
UPDATE jobs_job AS job SET state = 'succeeded', attempts = attempts + 1,
    lease_token = lease_token + 1, next_attempt_at = NULL, published_at = NULL,
"""
_ATTEMPT: Final = """
INSERT INTO jobs_jobattempt (job_id, number, token, worker, outcome, started_at, ended_at,
    error_class, message, traceback)
"""
# Where the row is no longer as it was held, `number` is NULL, which fails the transaction.
_SETTLE: Final = f"""
(uuid, bigint, text, jsonb, timestamptz) AS
WITH done AS (
    {_MOVE} started_at = $5, finished_at = clock_timestamp(), result = $4
    WHERE id = $1 AND lease_token = $2 AND state IN ('pending', 'queued', 'retry_wait')
    RETURNING attempts, finished_at
)
{_ATTEMPT}
SELECT $1, done.attempts, $2 + 1, $3, 'succeeded', $5, done.finished_at, '', '', ''
FROM (VALUES (1)) AS one LEFT JOIN done ON true
"""  # noqa: S608 (no input in it)
_PLANS: Final = {"flagship_hold": _HOLD_ONE, "flagship_settle": _SETTLE}
_SETTLE_MANY: Final = f"""
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now), done AS (
    {_MOVE} started_at = %(started_at)s, finished_at = clock.now
    FROM clock
    WHERE id = ANY(%(ids)s::uuid[]) AND state IN ('pending', 'queued', 'retry_wait')
    RETURNING job.id, attempts, lease_token, finished_at
), closed AS (
    {_ATTEMPT}
    SELECT id, attempts, lease_token, %(worker)s, 'succeeded', %(started_at)s, finished_at,
        '', '', ''
    FROM done
)
SELECT count(*) FROM done
"""  # noqa: S608 (no input in it)


def hold(*, job_id: uuid.UUID) -> Claimed | None:
    """Begin the transaction of the caller's `one_transaction` and lock a job that waits and is due.

    Returns None when there is nothing to run, or somebody else runs it. Its `token` is the fence
    the row has now.
    """
    return _read(job_id, _begin(_hold(job_id)))


def settle(
    *, held: Claimed, worker: str, result: str | None, then: uuid.UUID | None = None
) -> Claimed | None:
    """Complete a held job and commit, in one round trip with what `run_later` has put off.

    With `then`, on the same trip, begin the next transaction and hold that job, as `hold` does;
    it is returned. Otherwise this is the last thing the caller does. `result` is JSON text.
    Raises: LeaseLost when the handler has moved its own job; DatabaseError for what was put off,
    and for a deferred constraint of what the handler wrote. Nothing is stored then, nor held.
    """
    values = (
        f"'{held.job_id.hex}', {held.token}, ".encode(),
        _name(worker),
        b", ",
        b"NULL" if result is None else literal(result),
        f", '{held.started_at.isoformat()}'".encode(),
    )
    complete = b"EXECUTE flagship_settle(" + b"".join(values) + b")"
    statements = [*take_later(), complete, b"COMMIT"]
    try:
        if then is None:
            run_together(*statements)
            return None
        return _read(then, run_together(*statements, b"BEGIN", _hold(then)))
    except IntegrityError as error:
        if getattr(error.__cause__, "diag", None) and _is_unmoved(error.__cause__):
            raise LeaseLost(f"job {held.job_id.hex} was moved by its own run") from error
        raise


def hold_many(*, job_ids: Sequence[uuid.UUID]) -> list[Claimed]:
    """Lock those of the jobs that wait and are due, until the caller's transaction ends."""
    _require_transaction()
    return [Claimed(*row) for row in run(_HOLD_MANY, {"ids": list(job_ids)})]


def settle_many(*, held: Sequence[Claimed], worker: str) -> None:
    """Complete held jobs in the caller's transaction. Raises: LeaseLost; it must roll back."""
    _require_transaction()
    ids = [each.job_id for each in held]
    parameters = {"ids": ids, "worker": worker, "started_at": held[0].started_at}
    if run(_SETTLE_MANY, parameters)[0][0] != len(ids):
        raise LeaseLost("a job of the batch was moved by its own run")


def _hold(job_id: uuid.UUID) -> bytes:
    return f"EXECUTE flagship_hold('{job_id.hex}')".encode()


def _read(job_id: uuid.UUID, rows: list[list[bytes | None]]) -> Claimed | None:
    if not rows:
        return None
    text = [None if value is None else value.decode() for value in rows[0]]
    return Claimed(
        job_id,
        str(text[1]),
        int(text[2] or 0),
        str(text[3]),
        None if text[4] is None else uuid.UUID(text[4]),
        str(text[5]),
        int(text[6] or 0),
        int(text[7] or 0),
        float(text[8] or 0),
        str(text[9]),
        str(text[10]),
        datetime.fromisoformat(str(text[11])),
    )


@lru_cache(maxsize=8)
def _name(worker: str) -> bytes:
    """Write the name of this process, the same for every job."""
    return literal(worker)


def _begin(execute: bytes) -> list[list[bytes | None]]:
    """Begin and hold, with the plans of both ends of the transaction in the connection."""
    for last_try in (False, True):
        prepare(_PLANS)
        try:
            return run_together(b"BEGIN", execute)
        except ProgrammingError as error:
            if last_try or not has_lost_plans(error):
                raise
            # A ROLLBACK on this connection took the plans along; nothing has been done yet.
            run_together(b"ROLLBACK")
            forget_prepared()
    raise AssertionError("the loop ends with its last turn")


def _is_unmoved(error: Any) -> bool:
    return (error.diag.table_name, error.diag.column_name) == ("jobs_jobattempt", "number")


def _require_transaction() -> None:
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("call this inside transaction.atomic(), with the effects it is about")
