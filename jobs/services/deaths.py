"""What a death still owes."""

from __future__ import annotations

import uuid

from django.db import transaction

from jobs.context import Death, JobContext
from jobs.models import Job
from jobs.payloads import RunOnDead
from jobs.services.release import call_on_dead
from jobs.states import JobState


class _Requeued(Exception):
    """The job lives again; nothing is owed any more."""


def pay_on_dead(*, owed: RunOnDead, context: JobContext) -> bool:
    """Run the `on_dead` that failed in the burying transaction, unless the job lives again.

    Invariant: its effects and the completion of this job are one transaction. Returns whether it
    was run.
    """
    job = Job.objects.get(id=uuid.UUID(owed.job_id))
    death = Death(job.id, owed.error_class, owed.message, owed.attempts)
    try:
        with transaction.atomic():
            call_on_dead(job.kind, job.payload, death)
            # Last, as the lock order wants it: a requeue that came first undoes what was written.
            dead = Job.objects.filter(id=job.id, state=JobState.DEAD.value)
            if not dead.select_for_update(no_key=True).exists():
                raise _Requeued
            context.complete({"ran": True})
    except _Requeued:
        return False
    return True
