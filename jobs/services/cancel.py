"""Stopping a job that nobody wants any more."""

from __future__ import annotations

import uuid
from typing import Final

from django.db import transaction

from jobs import signals
from jobs.clients.rows import fetch, update
from jobs.errors import JobAlreadyFinished, JobNotFound
from jobs.ids import public_id
from jobs.models import Job
from jobs.states import FINISHED, JobState

TRIES: Final = 5

_CANCEL: Final = """
SET state = 'cancelled', cancel_requested_at = clock_timestamp(),
    finished_at = clock_timestamp(), next_attempt_at = NULL, published_at = NULL
WHERE id = %s AND state IN ('pending', 'queued', 'retry_wait')
"""
_ASK: Final = """
SET cancel_requested_at = clock_timestamp()
WHERE id = %s AND state = 'running' AND cancel_requested_at IS NULL
"""
_MINE: Final = "WHERE id = %s AND (%s::uuid IS NULL OR organization_id = %s)"


class _Overtaken(Exception):
    """The job has moved since it was read."""


def cancel_job(
    *, job_id: uuid.UUID, organization_id: uuid.UUID | None = None, actor: str = ""
) -> Job:
    """Cancel a waiting job at once; ask the worker of a running one to stop.

    A running job is interrupted within about a second and confirms by ending as cancelled; should
    it succeed first, it has succeeded. Asking twice changes nothing and leaves one audit event.
    With an `organization_id` only that organization's jobs exist.

    Raises: JobNotFound, JobAlreadyFinished (also when it is cancelled already). Source: W-15.
    """
    for _ in range(TRIES):
        found = fetch(Job, _MINE, (job_id, organization_id, organization_id))
        if not found:
            raise JobNotFound(f"There is no job {public_id('job', job_id)}.")
        job = found[0]
        if job.state in FINISHED:
            raise JobAlreadyFinished(
                f"The job has already ended as {job.state}.", data={"state": job.state}
            )
        if job.state == JobState.RUNNING and job.cancel_requested_at:
            return job
        try:
            return _cancel(job, actor)
        except _Overtaken:
            continue
    raise JobAlreadyFinished(data={"state": "moving"})


def _cancel(job: Job, actor: str) -> Job:
    """Cancel the job if it is still as it was read. Raises: _Overtaken; nothing has changed."""
    with transaction.atomic():
        is_running = job.state == JobState.RUNNING
        # Before the row is locked: what receivers lock comes first in the lock order.
        (signals.cancel_requested if is_running else signals.cancelled).send(
            sender=Job,
            job_id=job.id,
            kind=job.kind,
            organization_id=job.organization_id,
            actor=actor,
        )
        changed = update(Job, _ASK if is_running else _CANCEL, (job.id,))
        if not changed:
            raise _Overtaken
    return changed[0]
