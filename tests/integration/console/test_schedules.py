"""Schedules run, paused and resumed from their page (W-12, D-06)."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from flagship.models import AuditEvent
from jobs import registry
from jobs.ids import public_id
from jobs.models import Job, Schedule
from jobs.registry import ScheduledJob
from jobs.services.schedules import sync_schedules
from tests.drills.payloads import Touch
from tests.integration.console.rows import browser_of, make_operator
from tests.integration.console.test_answers import said

pytestmark = pytest.mark.django_db
LIST = "/admin/jobs/schedule/"


@pytest.fixture
def drill(monkeypatch: pytest.MonkeyPatch) -> Schedule:
    """A schedule, each hour."""
    declared = ScheduledJob("drill", Touch(key="k"), every_s=3600.0)
    monkeypatch.setattr(registry, "_schedules", {"drill": declared})
    sync_schedules()
    return Schedule.objects.get()


@pytest.fixture
def keeper() -> Client:
    """May see schedules, run, pause and resume them."""
    permissions = ("jobs.view_schedule", "jobs.run_schedule", "jobs.pause_schedule")
    return browser_of(make_operator(*permissions))


def page_of(client: Client, schedule: Schedule) -> str:
    response = client.get(f"{LIST}{schedule.pk}/change/")
    assert response.status_code == 200
    return response.content.decode()


def test_schedule__run_now_by_a_form_sent_twice__runs_once(keeper: Client, drill: Schedule) -> None:
    # W-12, D-06
    address = f"{LIST}{drill.pk}/run/"
    first = keeper.post(address, {"click_id": "c1"})
    keeper.post(address, {"click_id": "c1"})

    job = Job.objects.get()
    event = AuditEvent.objects.get()
    assert public_id("job", job.id) in said(first)
    assert (event.action, event.actor) == ("schedule.triggered", "user:ana")
    drill_again = Schedule.objects.get()
    assert drill_again.next_run_at == drill.next_run_at
    assert "asked for by user:ana" in page_of(keeper, drill)


def test_schedule__paused_and_resumed__is_so_and_audited(keeper: Client, drill: Schedule) -> None:
    # W-12, D-06
    paused = keeper.post(f"{LIST}{drill.pk}/pause/", {"reason": "maintenance"})
    assert not Schedule.objects.get().enabled and "is paused" in said(paused)
    assert "resume-form" in page_of(keeper, drill) and "paused" in page_of(keeper, drill)

    resumed = keeper.post(f"{LIST}{drill.pk}/resume/")
    assert Schedule.objects.get().enabled and "is resumed; it runs next at" in said(resumed)

    events = AuditEvent.objects.order_by("id")
    assert [event.action for event in events] == ["schedule.paused", "schedule.resumed"]
    assert events[0].data == {"reason": "maintenance"}


@pytest.mark.parametrize(
    ("action", "form"), [("pause", {"reason": " "}), ("run", {}), ("run", {"click_id": "c" * 65})]
)
def test_action__by_a_form_that_makes_no_sense__changes_nothing(
    keeper: Client, drill: Schedule, action: str, form: dict[str, str]
) -> None:
    # D-06
    response = keeper.post(f"{LIST}{drill.pk}/{action}/", form)

    assert response.status_code == 302 and "Nothing done" in said(response)
    assert Schedule.objects.get().enabled and not Job.objects.exists()
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize("action", ["run", "pause", "resume"])
def test_action__of_somebody_who_may_only_look__is_403_and_not_offered(
    drill: Schedule, action: str
) -> None:
    # D-06
    viewer = browser_of(make_operator("jobs.view_schedule"))

    refused = viewer.post(f"{LIST}{drill.pk}/{action}/", {"reason": "why", "click_id": "c"})

    assert refused.status_code == 403
    assert viewer.get(f"{LIST}{drill.pk}/{action}/").status_code == 405
    assert Schedule.objects.get().enabled and not Job.objects.exists()
    assert f"{action}-form" not in page_of(viewer, drill)


@pytest.mark.parametrize("action", ["run", "pause", "resume"])
def test_action__of_a_schedule_that_is_not_there__is_404(keeper: Client, action: str) -> None:
    form = {"reason": "why", "click_id": "c"}

    assert keeper.post(f"{LIST}12345/{action}/", form).status_code == 404


@pytest.mark.parametrize("action", ["run", "pause", "resume"])
def test_action__whose_event_cannot_be_recorded__does_not_happen(
    keeper: Client, drill: Schedule, monkeypatch: Any, action: str
) -> None:
    # D-06: nothing happens unrecorded
    Schedule.objects.update(enabled=action != "resume")

    def refuse(**_: Any) -> None:
        raise RuntimeError("no audit")

    monkeypatch.setattr("flagship.subscribers.record", refuse)
    with pytest.raises(RuntimeError):
        keeper.post(f"{LIST}{drill.pk}/{action}/", {"reason": "why", "click_id": "c"})

    assert Schedule.objects.get().enabled == (action != "resume")
    assert not Job.objects.exists()
