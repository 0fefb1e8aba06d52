"""Stopping a job that nobody wants any more."""

from __future__ import annotations

import uuid
from typing import Final

from django.db import transaction

from jobs import signals
from jobs.errors import JobAlreadyFinished, JobNotFound
from jobs.ids import public_id
from jobs.models import Job
from jobs.states import JobState

_CANCEL: Final = """
UPDATE jobs_job SET
    state = CASE WHEN state = 'running' THEN state ELSE 'cancelled' END,
    cancel_requested_at = COALESCE(cancel_requested_at, clock_timestamp()),
    finished_at = CASE WHEN state = 'running' THEN NULL ELSE clock_timestamp() END,
    next_attempt_at = NULL, published_at = NULL
WHERE id = %(job_id)s AND state IN ('pending', 'queued', 'retry_wait', 'running')
RETURNING *
"""


def cancel_job(
    *, job_id: uuid.UUID, organization_id: uuid.UUID | None = None, actor: str = ""
) -> Job:
    """Cancel a waiting job at once; ask the worker of a running one to stop.

    A running job is interrupted within about a second and confirms by ending as cancelled; should
    it succeed first, it has succeeded. Asking twice changes nothing. With an `organization_id`
    only that organization's jobs exist.

    Raises: JobNotFound, JobAlreadyFinished (also when it is cancelled already). Source: W-15.
    """
    with transaction.atomic():
        mine = Job.objects.all()
        if organization_id is not None:
            mine = mine.filter(organization_id=organization_id)
        before = mine.filter(id=job_id).first()
        if before is None:
            raise JobNotFound(f"There is no job {public_id('job', job_id)}.")
        changed = list(Job.objects.raw(_CANCEL, {"job_id": job_id}))
        if not changed:
            raise _already_finished(job_id)
        job = changed[0]
        if job.state == JobState.CANCELLED:
            signals.cancelled.send(
                sender=Job,
                job_id=job.id,
                kind=job.kind,
                organization_id=job.organization_id,
                actor=actor,
            )
    return job


def _already_finished(job_id: uuid.UUID) -> JobAlreadyFinished:
    state = Job.objects.values_list("state", flat=True).get(id=job_id)
    return JobAlreadyFinished(f"The job has already ended as {state}.", data={"state": state})
