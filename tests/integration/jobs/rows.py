"""Jobs in any state, without running them."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django.db.models.functions import Now

from jobs.models import Job, JobAttempt

STATES = ("pending", "queued", "running", "retry_wait", "succeeded", "dead", "cancelled")
WAITING = ("pending", "queued", "retry_wait")
FINISHED = ("succeeded", "dead", "cancelled")


def make_job(
    state: str,
    organization_id: uuid.UUID | None = None,
    run: dict[str, Any] | None = None,
    **columns: Any,
) -> Job:
    """A probe in this state, with one run where the state needs one; `run` has columns of that."""
    ran = state not in ("pending", "queued", "cancelled")
    values: dict[str, Any] = {
        "kind": "jobs.probe",
        "queue": "flagship:maintenance",
        "payload": {},
        "timeout_s": 60.0,
        "attempts": int(ran),
        "lease_token": int(ran),
        "started_at": Now() if ran else None,
        "next_attempt_at": Now() if state in WAITING else None,
        "published_at": Now() if state == "queued" else None,
        "lease_until": Now() + timedelta(minutes=1) if state == "running" else None,
        "lease_owner": "w" if state == "running" else "",
        "finished_at": Now() if state in FINISHED else None,
    }
    job = Job.objects.create(state=state, organization_id=organization_id, **(values | columns))
    job.refresh_from_db()
    if ran:
        make_run(job, **(run or {}))
    return job


def make_run(job: Job, **columns: Any) -> JobAttempt:
    """The run of a job made above; it took two seconds if it has ended."""
    ended = job.state != "running"
    values: dict[str, Any] = {
        "number": 1,
        "token": 1,
        "worker": "worker-1",
        "outcome": "running" if not ended else "failed",
        "started_at": job.started_at,
        "ended_at": job.started_at + timedelta(seconds=2) if ended and job.started_at else None,
        "retry_at": job.next_attempt_at,
    }
    return JobAttempt.objects.create(job=job, **(values | columns))
