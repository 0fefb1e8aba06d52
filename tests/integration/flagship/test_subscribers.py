"""What the engine does to jobs leaves an audit event (D-06)."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from django.db.models.functions import Now

from flagship.models import AuditEvent
from jobs import signals
from jobs.ids import new_id, public_id
from jobs.models import FailedJob, Job
from jobs.trace import Trace, bind_trace

pytestmark = pytest.mark.django_db

ORGANIZATION = new_id()


def letter() -> FailedJob:
    job = Job.objects.create(
        kind="jobs.probe",
        queue="flagship:maintenance",
        payload={},
        timeout_s=1.0,
        next_attempt_at=Now(),
        organization_id=ORGANIZATION,
    )
    return FailedJob.objects.create(
        job=job,
        kind=job.kind,
        queue=job.queue,
        organization_id=ORGANIZATION,
        error_class="builtins.RuntimeError",
        message="no",
        fingerprint="f",
        attempts=3,
        payload={},
        request_id="req_origin",
        correlation_id="cor_origin",
        died_at=Now(),
    )


@pytest.mark.parametrize(
    ("name", "arguments", "actor", "more", "request_id"),
    [
        ("buried", {}, "worker", {"errorClass": "builtins.RuntimeError"}, "req_origin"),
        ("requeued", {"actor": "admin:ann"}, "admin:ann", {}, "req_now"),
        (
            "discarded",
            {"actor": "admin:ann", "reason": "known"},
            "admin:ann",
            {"reason": "known"},
            "req_now",
        ),
    ],
)
def test_dead_letter__moved__is_audited_under_its_job(
    name: str, arguments: dict[str, str], actor: str, more: dict[str, str], request_id: str
) -> None:
    failed_job = letter()

    with bind_trace(Trace("req_now", "cor_now")), transaction.atomic():
        getattr(signals, name).send(sender=FailedJob, failed_job=failed_job, **arguments)

    event = AuditEvent.objects.get()
    assert (event.action, event.actor, event.request_id) == (f"job.{name}", actor, request_id)
    assert (event.subject_type, event.organization_id) == ("job", ORGANIZATION)
    assert event.subject_id == public_id("job", failed_job.job_id)
    assert event.data == {
        "failedJobId": failed_job.pk,
        "kind": "jobs.probe",
        "queue": "flagship:maintenance",
        "attempts": 3,
        **more,
    }


@pytest.mark.parametrize("move", ["cancelled", "cancel_requested"])
@pytest.mark.parametrize(("actor", "told"), [("api_key:abc", "api_key:abc"), ("", "worker")])
def test_job__cancelled_or_asked_to_stop__is_audited(move: str, actor: str, told: str) -> None:
    job_id = new_id()

    getattr(signals, move).send(
        sender=Job, job_id=job_id, kind="jobs.probe", organization_id=None, actor=actor
    )

    event = AuditEvent.objects.get()
    assert (event.action, event.actor, event.data) == (
        f"job.{move}",
        told,
        {"kind": "jobs.probe"},
    )
    assert event.subject_id == public_id("job", job_id)


def test_move__whose_event_cannot_be_recorded__does_not_happen(monkeypatch: Any) -> None:
    # D-06: nothing happens unrecorded.
    failed_job = letter()

    def refuse(**_: Any) -> None:
        raise RuntimeError("no audit")

    monkeypatch.setattr("flagship.subscribers.record", refuse)
    with pytest.raises(RuntimeError), transaction.atomic():
        FailedJob.objects.filter(id=failed_job.id).update(message="moved")
        signals.requeued.send(sender=FailedJob, failed_job=failed_job, actor="admin:ann")

    assert FailedJob.objects.get().message == "no"
