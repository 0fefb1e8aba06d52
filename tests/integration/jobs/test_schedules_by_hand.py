"""What an operator does to a schedule (W-12, D-06)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flagship.models import AuditEvent
from jobs import registry, signals
from jobs.errors import ScheduleNotFound
from jobs.ids import public_id
from jobs.models import Job, Schedule, ScheduleRun
from jobs.registry import ScheduledJob
from jobs.services.schedules import (
    pause_schedule,
    resume_schedule,
    run_due_schedules,
    run_schedule_now,
    sync_schedules,
)
from tests.drills.payloads import Touch

pytestmark = pytest.mark.django_db

SENT = ("schedule_paused", "schedule_resumed", "schedule_run_now")


@pytest.fixture(autouse=True)
def drill(monkeypatch: pytest.MonkeyPatch) -> None:
    """A schedule whose payload is made for the planned time."""
    declared = ScheduledJob("drill", lambda at: Touch(key=at.isoformat()), every_s=60.0)
    monkeypatch.setitem(registry._schedules, "drill", declared)
    sync_schedules()


@pytest.fixture
def told() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """The signals that were sent, with their arguments."""
    heard: list[tuple[str, dict[str, Any]]] = []
    receivers = []
    for name in SENT:

        def hear(sender: object, signal: object, of: str = name, **arguments: Any) -> None:
            heard.append((of, arguments))

        getattr(signals, name).connect(hear)
        receivers.append((name, hear))
    yield heard
    for name, hear in receivers:
        getattr(signals, name).disconnect(hear)


def row() -> Schedule:
    """The schedule as it stands."""
    return Schedule.objects.get(name="drill")


def test_run_now__clicked_twice__is_one_job_and_moves_nothing(told: list[Any]) -> None:
    before = row().next_run_at

    first = run_schedule_now(name="drill", actor="user:ada", click_id="c1")
    again = run_schedule_now(name="drill", actor="user:ada", click_id="c1")
    other = run_schedule_now(name="drill", actor="user:bob", click_id="c2")

    assert first.id == again.id != other.id
    assert Job.objects.count() == ScheduleRun.objects.count() == 2
    run = ScheduleRun.objects.get(job_id=first.id)
    assert (run.outcome, run.note) == ("by_hand", "asked for by user:ada")
    assert first.payload == {**first.payload, "key": run.planned_at.isoformat()}
    assert (row().next_run_at, row().last_planned_at) == (before, None)
    assert [(name, heard["actor"], heard["job_id"]) for name, heard in told] == [
        ("schedule_run_now", "user:ada", first.id),
        ("schedule_run_now", "user:bob", other.id),
    ]


def test_run_now__of_a_paused_schedule__runs() -> None:
    pause_schedule(name="drill", actor="user:ada")

    job = run_schedule_now(name="drill", actor="user:ada", click_id="c")

    assert Job.objects.get().id == job.id
    assert not row().enabled


def test_pause__over_a_restart_and_a_boundary__holds_until_resumed(told: list[Any]) -> None:
    pause_schedule(name="drill", actor="user:ada", reason="upgrade")
    pause_schedule(name="drill", actor="user:bob")
    planned = datetime.now(UTC) - timedelta(seconds=185)
    Schedule.objects.filter(name="drill").update(next_run_at=planned)

    sync_schedules()
    assert run_due_schedules() == 0

    resume_schedule(name="drill", actor="user:ada")
    resume_schedule(name="drill", actor="user:ada")
    assert run_due_schedules() == 0
    assert row().next_run_at == planned + timedelta(seconds=240)
    passed = ScheduleRun.objects.filter(schedule="drill")
    assert set(passed.values_list("outcome", "note")) == {("missed", "it was paused")}
    assert passed.count() == 4
    assert [(name, heard["actor"]) for name, heard in told] == [
        ("schedule_paused", "user:ada"),
        ("schedule_resumed", "user:ada"),
    ]
    assert told[0][1]["reason"] == "upgrade"


def test_resume__before_the_next_time__keeps_it() -> None:
    before = row().next_run_at
    pause_schedule(name="drill", actor="user:ada")

    resume_schedule(name="drill", actor="user:ada")

    assert row().next_run_at == before
    assert not ScheduleRun.objects.exists()


def test_operators_act__of_each_kind__leaves_one_audit_event() -> None:
    # D-06
    for _ in range(2):
        job = run_schedule_now(name="drill", actor="user:ada", click_id="c")
        pause_schedule(name="drill", actor="user:ada", reason="upgrade")
    resume_schedule(name="drill", actor="user:ada")

    events = AuditEvent.objects.filter(subject_type="schedule", subject_id="drill").order_by("id")
    assert [(event.action, event.actor, event.data) for event in events] == [
        ("schedule.triggered", "user:ada", {"jobId": public_id("job", job.id)}),
        ("schedule.paused", "user:ada", {"reason": "upgrade"}),
        ("schedule.resumed", "user:ada", {}),
    ]


def test_operators_act__whose_record_fails__has_not_happened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # D-06: nothing happens unrecorded.
    def fail(**_: Any) -> None:
        raise RuntimeError("no audit")

    for name in SENT:
        monkeypatch.setattr(getattr(signals, name), "send", fail)
    with pytest.raises(RuntimeError):
        run_schedule_now(name="drill", actor="user:ada", click_id="c")
    with pytest.raises(RuntimeError):
        pause_schedule(name="drill", actor="user:ada")

    assert row().enabled
    assert not Job.objects.exists() and not ScheduleRun.objects.exists()


def test_operators_act__on_no_schedule_or_by_nobody__is_refused() -> None:
    for act in (pause_schedule, resume_schedule):
        with pytest.raises(ScheduleNotFound):
            act(name="nothing", actor="user:ada")
        with pytest.raises(ValueError, match="actor"):
            act(name="drill", actor="")
    with pytest.raises(ScheduleNotFound):
        run_schedule_now(name="nothing", actor="user:ada", click_id="c")
    for wrong in ({"actor": ""}, {"click_id": ""}, {"click_id": "x" * 65}):
        with pytest.raises(ValueError, match="needs"):
            run_schedule_now(**{"name": "drill", "actor": "user:ada", "click_id": "c"} | wrong)
