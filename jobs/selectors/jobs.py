"""Jobs as their organization sees them."""

from __future__ import annotations

import uuid

from django.db.models import QuerySet

from jobs.errors import JobNotFound
from jobs.ids import public_id
from jobs.models import Job


def list_jobs(
    *,
    organization_id: uuid.UUID,
    state: str | None = None,
    kind: str | None = None,
    queue: str | None = None,
) -> QuerySet[Job]:
    """Return an organization's jobs, newest first."""
    given = {"state": state, "kind": kind, "queue": queue}
    wanted = {name: value for name, value in given.items() if value is not None}
    return Job.objects.filter(organization_id=organization_id, **wanted).order_by("-id")


def get_job(*, organization_id: uuid.UUID, job_id: uuid.UUID) -> Job:
    """Return one job with its attempts.

    Raises: JobNotFound, also for another organization's job: the two look the same.
    """
    mine = Job.objects.filter(organization_id=organization_id)
    job = mine.prefetch_related("attempt_set").filter(id=job_id).first()
    if job is None:
        raise JobNotFound(f"There is no job {public_id('job', job_id)}.")
    return job
