"""What the engine does to jobs leaves an audit event, in the same transaction (D-06).

And what it asks is answered.
"""

from __future__ import annotations

import uuid
from typing import Any

from django.dispatch import receiver

from flagship.selectors.limits import jobs_in_flight_max
from flagship.services.audit import record
from jobs.ids import public_id
from jobs.models import FailedJob, QueuePause
from jobs.signals import (
    buried,
    cancelled,
    discarded,
    in_flight_max_asked,
    queue_paused,
    queue_resumed,
    requeued,
    schedule_paused,
    schedule_resumed,
    schedule_run_now,
)
from jobs.trace import Trace, bind_trace

WORKER = "worker"


@receiver(buried, dispatch_uid="flagship.job_buried")
def record_buried(sender: object, *, failed_job: FailedJob, **_: Any) -> None:
    """A job has died; the event carries the ids of the request it came from."""
    with bind_trace(Trace(failed_job.request_id, failed_job.correlation_id)):
        _record("job.buried", failed_job, WORKER, errorClass=failed_job.error_class)


@receiver(requeued, dispatch_uid="flagship.job_requeued")
def record_requeued(sender: object, *, failed_job: FailedJob, actor: str, **_: Any) -> None:
    """An operator sent a dead letter back to work."""
    _record("job.requeued", failed_job, actor)


@receiver(discarded, dispatch_uid="flagship.job_discarded")
def record_discarded(
    sender: object, *, failed_job: FailedJob, actor: str, reason: str, **_: Any
) -> None:
    """An operator gave a dead letter up."""
    _record("job.discarded", failed_job, actor, reason=reason[:1000])


@receiver(cancelled, dispatch_uid="flagship.job_cancelled")
def record_cancelled(
    sender: object,
    *,
    job_id: uuid.UUID,
    kind: str,
    organization_id: uuid.UUID | None,
    actor: str,
    **_: Any,
) -> None:
    """A job was cancelled, or a running one has confirmed it."""
    record(
        action="job.cancelled",
        subject_type="job",
        subject_id=public_id("job", job_id),
        organization_id=organization_id,
        actor=actor or WORKER,
        data={"kind": kind},
    )


@receiver(in_flight_max_asked, dispatch_uid="flagship.in_flight_max")
def answer_in_flight_max(sender: object, *, organization_id: uuid.UUID, **_: Any) -> int | None:
    """An organization's own number of jobs in flight (W-10)."""
    return jobs_in_flight_max(organization_id=organization_id)


@receiver(queue_paused, dispatch_uid="flagship.queue_paused")
def record_paused(sender: object, *, pause: QueuePause, actor: str, **_: Any) -> None:
    """An operator paused a queue."""
    _record_pause("queue.paused", pause, actor)


@receiver(queue_resumed, dispatch_uid="flagship.queue_resumed")
def record_resumed(sender: object, *, pause: QueuePause, actor: str, **_: Any) -> None:
    """An operator ended a pause before its time."""
    _record_pause("queue.resumed", pause, actor)


@receiver(schedule_paused, dispatch_uid="flagship.schedule_paused")
def record_schedule_paused(sender: object, *, name: str, actor: str, reason: str, **_: Any) -> None:
    """An operator paused a schedule."""
    _record_schedule("schedule.paused", name, actor, reason=reason[:1000])


@receiver(schedule_resumed, dispatch_uid="flagship.schedule_resumed")
def record_schedule_resumed(sender: object, *, name: str, actor: str, **_: Any) -> None:
    """An operator resumed a schedule."""
    _record_schedule("schedule.resumed", name, actor)


@receiver(schedule_run_now, dispatch_uid="flagship.schedule_run_now")
def record_schedule_run_now(
    sender: object, *, name: str, actor: str, job_id: uuid.UUID, **_: Any
) -> None:
    """An operator asked for a run of a schedule."""
    _record_schedule("schedule.triggered", name, actor, jobId=public_id("job", job_id))


def _record_schedule(action: str, name: str, actor: str, **more: str) -> None:
    """Record a decision about a schedule; it belongs to no organization."""
    record(
        action=action,
        subject_type="schedule",
        subject_id=name,
        organization_id=None,
        actor=actor,
        data=more,
    )


def _record_pause(action: str, pause: QueuePause, actor: str) -> None:
    """Record a decision about a queue; it belongs to no organization."""
    record(
        action=action,
        subject_type="queue",
        subject_id=pause.queue,
        organization_id=None,
        actor=actor,
        data={
            "reason": pause.reason,
            "pausedBy": pause.paused_by,
            "pausedAt": pause.paused_at.isoformat(),
            "resumeAt": pause.resume_at.isoformat() if pause.resume_at else None,
        },
    )


def _record(action: str, failed_job: FailedJob, actor: str, **more: str) -> None:
    """Record what happened to a dead letter under the job it is of."""
    record(
        action=action,
        subject_type="job",
        subject_id=public_id("job", failed_job.job_id),
        organization_id=failed_job.organization_id,
        actor=actor,
        data={
            "failedJobId": failed_job.pk,
            "kind": failed_job.kind,
            "queue": failed_job.queue,
            "attempts": failed_job.attempts,
            **more,
        },
    )
