"""The right to run a job: taken, kept, and lost."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final

from django.db import connection

_CLAIM: Final = """
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
claimed AS (
    UPDATE jobs_job SET state = 'running', attempts = attempts + 1,
        lease_token = lease_token + 1, lease_owner = %(worker)s,
        lease_until = clock.now + make_interval(secs => %(lease_s)s),
        next_attempt_at = NULL, published_at = NULL, started_at = clock.now
    FROM clock
    WHERE id = %(job_id)s AND state IN ('pending', 'queued', 'retry_wait')
        AND next_attempt_at <= clock.now
    RETURNING id, kind, version, queue, organization_id, payload, attempts, lease_token,
        timeout_s, request_id, correlation_id, started_at
), attempt AS (
    INSERT INTO jobs_jobattempt (job_id, number, token, worker, outcome, started_at,
        error_class, message, traceback)
    SELECT id, attempts, lease_token, %(worker)s, 'running', started_at, '', '', ''
    FROM claimed
)
SELECT * FROM claimed
"""
_RENEW: Final = """
UPDATE jobs_job SET lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
FROM (
    SELECT job.id AS job_id
    FROM jobs_job AS job
    JOIN unnest(%(ids)s::uuid[], %(tokens)s::bigint[]) AS held (id, token)
        ON job.id = held.id AND job.lease_token = held.token
    WHERE job.state = 'running'
    FOR NO KEY UPDATE OF job SKIP LOCKED
) AS mine
WHERE id = mine.job_id
"""
_STANDING: Final = """
SELECT job.id, job.cancel_requested_at IS NOT NULL
FROM jobs_job AS job
JOIN unnest(%(ids)s::uuid[], %(tokens)s::bigint[]) AS held (id, token)
    ON job.id = held.id AND job.lease_token = held.token
WHERE job.state = 'running'
"""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job this worker may run as long as nobody raises its fence."""

    job_id: uuid.UUID
    kind: str
    version: int
    queue: str
    organization_id: uuid.UUID | None
    payload: dict[str, Any]
    attempt: int
    token: int
    timeout_s: float
    request_id: str
    correlation_id: str
    started_at: datetime


_COLUMNS: Final = tuple(column.name for column in fields(Claimed))
"""In the order in which the claim returns them."""


@dataclass(frozen=True, slots=True)
class Lease:
    """One right to run, as the worker that holds it names it."""

    job_id: uuid.UUID
    token: int


def claim(*, job_id: uuid.UUID, worker: str, lease_s: float) -> Claimed | None:
    """Take a waiting job that is due: one statement, so that of many callers one gets it.

    Returns None when there is nothing to run: a second doorbell, a job not yet due, finished,
    cancelled or held by somebody else. Units: `lease_s` in seconds from now.
    """
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, {"job_id": job_id, "worker": worker, "lease_s": lease_s})
        row = cursor.fetchone()
    if row is None:
        return None
    values = dict(zip(_COLUMNS, row, strict=True))
    return Claimed(**(values | {"payload": json.loads(values["payload"])}))


def renewal(leases: Iterable[Lease], lease_s: float) -> tuple[str, dict[str, Any]]:
    """Return the statement that moves the ends of leases, for the monitor's own connection.

    A row that is locked just now is passed over: a transaction of its holder is open, and waiting
    for it would cost all the others their leases.
    """
    return _RENEW, _pairs(leases) | {"lease_s": lease_s}


def standing(leases: Iterable[Lease]) -> tuple[str, dict[str, Any]]:
    """Return the query for the leases that still hold: (job id, asked to cancel)."""
    return _STANDING, _pairs(leases)


def _pairs(leases: Iterable[Lease]) -> dict[str, Any]:
    held = list(leases)
    return {"ids": [lease.job_id for lease in held], "tokens": [lease.token for lease in held]}
