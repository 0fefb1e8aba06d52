"""The right to run a job: taken, kept, and lost."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final

from jobs.clients.postgres import run
from jobs.services.endings import SUSPECT_AFTER

_CLAIM: Final = f"""
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
free AS (
    SELECT job.id FROM jobs_job AS job, clock
    WHERE job.id = ANY(%(ids)s::uuid[]) AND job.state IN ('pending', 'queued', 'retry_wait')
        AND job.next_attempt_at <= clock.now
        AND (%(suspects)s OR job.crashes + job.losses < {SUSPECT_AFTER})
    FOR NO KEY UPDATE OF job SKIP LOCKED
), claimed AS (
    UPDATE jobs_job AS job SET state = 'running', attempts = attempts + 1,
        lease_token = lease_token + 1, lease_owner = %(worker)s,
        lease_until = clock.now + make_interval(secs => %(lease_s)s::float8),
        next_attempt_at = NULL, published_at = NULL, started_at = GREATEST(job.next_attempt_at,
            LEAST(clock.now, COALESCE(%(started_at)s::timestamptz, clock.now)))
    FROM clock, free WHERE job.id = free.id
    RETURNING job.id, kind, version, queue, organization_id, payload, attempts, lease_token,
        timeout_s, request_id, correlation_id, started_at
), attempt AS (
    INSERT INTO jobs_jobattempt (job_id, number, token, worker, outcome, started_at,
        error_class, message, traceback)
    SELECT id, attempts, lease_token, %(worker)s, 'running', started_at, '', '', ''
    FROM claimed
)
SELECT * FROM claimed
"""  # noqa: S608 (no input in it)
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
    """A job this worker may run as long as nobody raises its fence. `payload` is JSON text."""

    job_id: uuid.UUID
    kind: str
    version: int
    queue: str
    organization_id: uuid.UUID | None
    payload: str
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


def claim(
    *, job_id: uuid.UUID, worker: str, lease_s: float, started_at: datetime | None = None
) -> Claimed | None:
    """Take one waiting job that is due, whatever has happened to it before; see `claim_many`."""
    claimed = claim_many(
        job_ids=[job_id], worker=worker, lease_s=lease_s, suspects=True, started_at=started_at
    )
    return claimed[0] if claimed else None


def claim_many(
    *,
    job_ids: Sequence[uuid.UUID],
    worker: str,
    lease_s: float,
    suspects: bool = False,
    started_at: datetime | None = None,
) -> list[Claimed]:
    """Take those of the jobs that wait and are due: one statement, so that one caller gets each.

    What is not returned is not to be run here: a second doorbell, a job not yet due, finished,
    cancelled, or held by somebody else this moment. A job that was lost with its worker before is
    only taken by a caller that runs it alone (`suspects`, W-06). `started_at` is for a run that is
    only recorded: when it began by the database's clock, counted as not before the job was due.
    Units: `lease_s` in seconds from now.
    """
    parameters = {
        "ids": job_ids,
        "worker": worker,
        "lease_s": lease_s,
        "suspects": suspects,
        "started_at": started_at,
    }
    rows = run(_CLAIM, parameters)
    return [Claimed(**dict(zip(_COLUMNS, row, strict=True))) for row in rows]


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
