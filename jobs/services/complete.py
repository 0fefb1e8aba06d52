"""Success, in the transaction of the handler's last effects."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any, Final

from jobs.clients.postgres import run
from jobs.errors import LeaseLost
from jobs.models import Job
from jobs.services.claim import Lease
from jobs.states import JobState

_COMPLETE: Final = """
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
done AS (
    UPDATE jobs_job SET state = 'succeeded', finished_at = clock.now, result = %(result)s::jsonb,
        lease_owner = '', lease_until = NULL
    FROM clock
    WHERE id = %(job_id)s AND lease_token = %(token)s AND state = 'running'
    RETURNING id, clock.now
), closed AS (
    UPDATE jobs_jobattempt AS attempt SET outcome = 'succeeded', ended_at = done.now
    FROM done WHERE attempt.job_id = done.id AND attempt.token = %(token)s
)
SELECT id FROM done
"""
_COMPLETE_MANY: Final = """
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
free AS (
    SELECT job.id, run.result, clock.now
    FROM clock, jobs_job AS job
    JOIN unnest(%(ids)s::uuid[], %(tokens)s::bigint[], %(results)s::jsonb[])
        AS run (id, token, result) ON job.id = run.id AND job.lease_token = run.token
    WHERE job.id = ANY(%(ids)s::uuid[]) AND job.state = 'running'
    FOR NO KEY UPDATE OF job SKIP LOCKED
), done AS (
    UPDATE jobs_job AS job SET state = 'succeeded', finished_at = free.now, result = free.result,
        lease_owner = '', lease_until = NULL
    FROM free WHERE job.id = free.id
    RETURNING job.id, job.lease_token, free.now
), closed AS (
    UPDATE jobs_jobattempt AS attempt SET outcome = 'succeeded', ended_at = done.now
    FROM done WHERE attempt.job_id = done.id AND attempt.token = done.lease_token
)
SELECT id FROM done
"""
_HOLD: Final = """
SELECT id FROM jobs_job WHERE id = %(job_id)s AND lease_token = %(token)s AND state = 'running'
FOR NO KEY UPDATE
"""
_PROGRESS: Final = """
UPDATE jobs_job SET progress = %(report)s::jsonb
WHERE id = %(job_id)s AND lease_token = %(token)s AND state = 'running'
RETURNING id
"""


def complete(*, lease: Lease, result: dict[str, Any] | None) -> None:
    """Move a running job to succeeded under its fence, in the caller's transaction if it has one.

    Raises: LeaseLost when another run owns the job; the caller's transaction must roll back.
    """
    stored = None if result is None else json.dumps(result)
    _fenced(_COMPLETE, lease, {"result": stored})


def complete_many(
    *, leases: Sequence[Lease], results: Sequence[dict[str, Any] | None]
) -> set[uuid.UUID]:
    """Move running jobs to succeeded, each under its fence, in one statement.

    Returns those that moved. Another run owns each of the others, or somebody holds its row just
    now, for whom the rest does not wait.
    """
    parameters = {
        "ids": [lease.job_id for lease in leases],
        "tokens": [lease.token for lease in leases],
        "results": [None if result is None else json.dumps(result) for result in results],
    }
    return {row[0] for row in run(_COMPLETE_MANY, parameters)}


def hold(*, lease: Lease) -> None:
    """Lock a running job's row under its fence until the caller's transaction ends.

    Raises: LeaseLost.
    """
    _fenced(_HOLD, lease, {})


def store_progress(*, lease: Lease, report: dict[str, Any]) -> None:
    """Replace the progress report of a running job. Raises: LeaseLost."""
    _fenced(_PROGRESS, lease, {"report": json.dumps(report)})


def has_completed(*, job_id: uuid.UUID, token: int) -> bool:
    """Tell whether this very run succeeded, for a caller whose COMMIT got no answer."""
    return Job.objects.filter(id=job_id, lease_token=token, state=JobState.SUCCEEDED.value).exists()


def _fenced(statement: str, lease: Lease, parameters: dict[str, str | None]) -> None:
    fence: dict[str, Any] = {"job_id": lease.job_id, "token": lease.token}
    if not run(statement, fence | parameters):
        raise LeaseLost(f"job {lease.job_id.hex} is not held under token {lease.token}")
