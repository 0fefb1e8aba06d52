"""A job cancelled or stopped from its page, and what the operator is told (W-15, D-06)."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from django.test import Client

from flagship.models import AuditEvent
from jobs.ids import public_id
from jobs.models import Job, JobAttempt
from jobs.services.cancel import cancel_job
from tests.integration.console.rows import browser_of, make_operator
from tests.integration.console.test_answers import said
from tests.integration.jobs.rows import make_job

pytestmark = pytest.mark.django_db
LIST = "/admin/jobs/job/"


@pytest.fixture
def stopper() -> Client:
    """May see jobs and stop them."""
    return browser_of(make_operator("jobs.view_job", "jobs.cancel_job"))


@pytest.fixture
def viewer() -> Client:
    """May only look."""
    return browser_of(make_operator("jobs.view_job", name="vic"))


def standing(client: Client, job: Job) -> str:
    """How it stands, as its page asks again and again."""
    response = client.get(f"{LIST}{job.pk}/standing/")
    assert response.status_code == 200
    return response.content.decode()


def story(client: Client, job: Job) -> str:
    """What became of the wish to stop it."""
    found = re.search(r'id="story">([^<]*)<', standing(client, job))
    return found[1] if found else ""


@pytest.mark.parametrize("state", ["pending", "queued", "retry_wait"])
def test_job__that_waits__is_cancelled_at_once(stopper: Client, state: str) -> None:
    # W-15, D-06
    job = make_job(state)
    assert "Cancel…" in standing(stopper, job) and not story(stopper, job)

    response = stopper.post(f"{LIST}{job.pk}/cancel/")

    job.refresh_from_db()
    event = AuditEvent.objects.get()
    assert (job.state, event.action, event.actor) == ("cancelled", "job.cancelled", "user:ana")
    assert "is cancelled: it had not begun" in said(response)
    assert story(stopper, job) == "It was cancelled while it waited. It never runs."
    assert "data-settled" in standing(stopper, job)


def test_job__that_runs__is_asked_once_and_both_are_told(stopper: Client) -> None:
    # W-15, D-06
    job = make_job("running")
    assert "Stop…" in standing(stopper, job)

    answers = [stopper.post(f"{LIST}{job.pk}/cancel/") for _ in range(2)]

    job.refresh_from_db()
    event = AuditEvent.objects.get()
    assert (job.state, job.cancel_requested_at is None) == ("running", False)
    assert (event.action, event.actor) == ("job.cancel_requested", "user:ana")
    assert event.subject_id == public_id("job", job.id)
    assert all("was asked to stop" in said(answer) for answer in answers)
    page = standing(stopper, job)
    assert "has not confirmed yet" in page and "stopping" in page
    assert "cancel-form" not in page and "data-settled" not in page


def test_job__whose_worker_confirmed__says_how_long_that_took(stopper: Client) -> None:
    # W-15
    job = make_job("running")
    cancel_job(job_id=job.id, actor="user:ana")
    asked_at = Job.objects.get(id=job.id).cancel_requested_at
    assert asked_at is not None
    ended_at = asked_at + timedelta(milliseconds=800)
    JobAttempt.objects.filter(job=job).update(outcome="cancelled", ended_at=ended_at)
    Job.objects.filter(id=job.id).update(
        state="cancelled", finished_at=ended_at, lease_owner="", lease_until=None
    )

    assert story(stopper, job) == "It was stopped: its worker confirmed after 800 ms."


def test_job__that_was_faster__says_so(stopper: Client) -> None:
    # W-15
    job = make_job("running")
    cancel_job(job_id=job.id, actor="user:ana")
    JobAttempt.objects.filter(job=job).update(outcome="succeeded", ended_at=Now())
    Job.objects.filter(id=job.id).update(
        state="succeeded", finished_at=Now(), lease_owner="", lease_until=None
    )

    assert story(stopper, job) == "It was asked to stop, and succeeded first."


@pytest.mark.parametrize("state", ["succeeded", "cancelled", "dead"])
def test_job__that_has_ended__is_left_alone(stopper: Client, state: str) -> None:
    # W-15
    job = make_job(state)

    response = stopper.post(f"{LIST}{job.pk}/cancel/")

    assert f"Nothing done: The job has already ended as {state}" in said(response)
    assert not AuditEvent.objects.exists()
    assert "cancel-form" not in standing(stopper, job)


def test_job__of_somebody_who_may_only_look__is_not_stopped(viewer: Client) -> None:
    # D-06
    job = make_job("running")

    refused = viewer.post(f"{LIST}{job.pk}/cancel/")

    assert refused.status_code == 403
    assert viewer.get(f"{LIST}{job.pk}/cancel/").status_code == 405
    assert Job.objects.get(id=job.id).cancel_requested_at is None
    assert "cancel-form" not in standing(viewer, job)
    nobody = browser_of(make_operator(name="nobody"))
    assert nobody.get(f"{LIST}{job.pk}/standing/").status_code == 403


@pytest.mark.parametrize("state", ["pending", "running"])
def test_cancel__whose_event_cannot_be_recorded__does_not_happen(
    stopper: Client, monkeypatch: Any, state: str
) -> None:
    # D-06: nothing happens unrecorded
    job = make_job(state)

    def refuse(**_: Any) -> None:
        raise RuntimeError("no audit")

    monkeypatch.setattr("flagship.subscribers.record", refuse)
    with pytest.raises(RuntimeError):
        stopper.post(f"{LIST}{job.pk}/cancel/")

    job.refresh_from_db()
    assert (job.state, job.cancel_requested_at) == (state, None)
