"""What the engine does to jobs leaves an audit event, in the same transaction (D-06).

And what it asks is answered.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from django.dispatch import receiver

from flagship.selectors.limits import jobs_in_flight_max
from flagship.services.audit import record
from jobs.ids import public_id
from jobs.models import FailedJob, FailureGroup, QueuePause, Redrive
from jobs.signals import (
    buried,
    cancel_requested,
    cancelled,
    cleanup_started,
    discarded,
    group_acknowledged,
    group_noted,
    group_withdrawn,
    in_flight_max_asked,
    letters_cleaned,
    letters_exported,
    queue_paused,
    queue_resumed,
    redrive_moved,
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
    """An operator sent a dead letter back to work; which fields he changed, never to what."""
    edited = failed_job.edited_payload
    if edited is None:
        _record("job.requeued", failed_job, actor)
        return
    fields = failed_job.payload.keys() | edited.keys()
    changed = [
        name for name in fields if failed_job.payload.get(name, ...) != edited.get(name, ...)
    ]
    _record("job.requeued_edited", failed_job, actor, changed=sorted(changed)[:100])


@receiver(discarded, dispatch_uid="flagship.job_discarded")
def record_discarded(
    sender: object, *, failed_job: FailedJob, actor: str, reason: str, **_: Any
) -> None:
    """An operator gave a dead letter up."""
    _record("job.discarded", failed_job, actor, reason=reason[:1000])


@receiver(letters_cleaned, dispatch_uid="flagship.letters_cleaned")
def record_cleaned(
    sender: object,
    *,
    actor: str,
    reason: str,
    fingerprint: str,
    letters: int,
    cutoff: datetime,
    **_: Any,
) -> None:
    """Old dead letters of a group were deleted; their tombstones say which."""
    _record_group(
        "dead_letters.cleaned",
        fingerprint,
        actor,
        reason=reason[:1000],
        letters=letters,
        diedBefore=cutoff.isoformat(),
    )


@receiver(group_acknowledged, dispatch_uid="flagship.group_acknowledged")
def record_acknowledged(sender: object, *, group: FailureGroup, actor: str, **_: Any) -> None:
    """An operator knows of a failure group."""
    told = {"deaths": group.acknowledged_deaths, "note": group.note[:1000]}
    _record_group("failure_group.acknowledged", group.pk, actor, **told)


@receiver(group_withdrawn, dispatch_uid="flagship.group_withdrawn")
def record_withdrawn(sender: object, *, group: FailureGroup, actor: str, by: str, **_: Any) -> None:
    """An operator took an acknowledgement back."""
    _record_group("failure_group.withdrawn", group.pk, actor, acknowledgedBy=by)


@receiver(group_noted, dispatch_uid="flagship.group_noted")
def record_noted(sender: object, *, group: FailureGroup, actor: str, **_: Any) -> None:
    """An operator wrote the note of a failure group."""
    _record_group("failure_group.noted", group.pk, actor, note=group.note[:1000])


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
    _record_cancel("job.cancelled", job_id, kind, organization_id, actor)


@receiver(cancel_requested, dispatch_uid="flagship.job_cancel_requested")
def record_cancel_requested(
    sender: object,
    *,
    job_id: uuid.UUID,
    kind: str,
    organization_id: uuid.UUID | None,
    actor: str,
    **_: Any,
) -> None:
    """A running job was asked to stop."""
    _record_cancel("job.cancel_requested", job_id, kind, organization_id, actor)


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


@receiver(redrive_moved, dispatch_uid="flagship.redrive_moved")
def record_redrive(sender: object, *, redrive: Redrive, verb: str, actor: str, **_: Any) -> None:
    """A redrive was asked for, decided about, or is over; it belongs to no organization."""
    record(
        action=f"redrive.{verb}",
        subject_type="redrive",
        subject_id=public_id("redrive", redrive.pk),
        organization_id=None,
        actor=actor or WORKER,
        data={
            "action": redrive.action,
            "filter": redrive.wanted,
            "size": redrive.size,
            "done": redrive.done,
            "refused": redrive.refused,
            "requestedBy": redrive.requested_by,
            "approvedBy": redrive.approved_by,
            "reason": redrive.reason,
            "note": redrive.note,
        },
    )


@receiver(cleanup_started, dispatch_uid="flagship.cleanup_started")
def record_cleanup(
    sender: object, *, days: float, actor: str, reason: str, job_id: uuid.UUID, **_: Any
) -> None:
    """An operator started a cleanup of dead letters; what it deletes is recorded batch by batch."""
    record(
        action="dead_letters.cleanup_started",
        subject_type="job",
        subject_id=public_id("job", job_id),
        organization_id=None,
        actor=actor,
        data={"days": days, "reason": reason},
    )


@receiver(letters_exported, dispatch_uid="flagship.letters_exported")
def record_exported(
    sender: object, *, wanted: dict[str, Any], form: str, actor: str, **_: Any
) -> None:
    """An operator took dead letters out of the console, of whichever organizations."""
    record(
        action="dead_letters.exported",
        subject_type="dead_letters",
        subject_id=form,
        organization_id=None,
        actor=actor,
        data={"filter": wanted},
    )


def _record_cancel(
    action: str, job_id: uuid.UUID, kind: str, organization_id: uuid.UUID | None, actor: str
) -> None:
    """Record a step on a job's way to being cancelled."""
    record(
        action=action,
        subject_type="job",
        subject_id=public_id("job", job_id),
        organization_id=organization_id,
        actor=actor or WORKER,
        data={"kind": kind},
    )


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


def _record_group(action: str, fingerprint: str, actor: str, **more: Any) -> None:
    """Record a decision about a failure group; it belongs to no organization."""
    record(
        action=action,
        subject_type="failure_group",
        subject_id=fingerprint,
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


def _record(action: str, failed_job: FailedJob, actor: str, **more: Any) -> None:
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
