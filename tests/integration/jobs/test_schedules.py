"""Recurring work: once per period, and every period that has no run is written down (W-12, P14)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection

from jobs import registry
from jobs.models import Job, Schedule, ScheduleRun
from jobs.payloads import Payload, Probe
from jobs.registry import ScheduledJob, scheduled
from jobs.rhythm import CatchUp
from jobs.services.schedules import prune_schedule_runs, run_due_schedules, sync_schedules
from tests.drills.payloads import Touch

pytestmark = pytest.mark.django_db

Declare = Callable[..., Schedule]


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Declare:
    """Declare the schedule `drill`, due some time ago."""

    def make(ago: timedelta, payload: Any = Probe(), **options: Any) -> Schedule:  # noqa: B008
        options = {"grace_s": 30.0, "catch_up": CatchUp.ONE} | options
        if "cron" not in options:
            options = {"every_s": 60.0} | options
        declared = ScheduledJob("drill", payload, **options)
        monkeypatch.setitem(registry._schedules, "drill", declared)
        return Schedule.objects.create(
            name="drill", kind=declared.kind, next_run_at=datetime.now(UTC) - ago, **options
        )

    return make


def outcomes() -> list[str]:
    """What became of each planned time, in order."""
    return list(ScheduleRun.objects.order_by("planned_at").values_list("outcome", flat=True))


def test_due_schedule__run_twice__inserts_one_job_and_moves_on(declare: Declare) -> None:
    planned = declare(timedelta(seconds=5)).next_run_at

    assert (run_due_schedules(), run_due_schedules()) == (1, 0)

    job = Job.objects.get()
    row = Schedule.objects.get()
    run = ScheduleRun.objects.get()
    assert job.dedupe_key == f"cron:drill:{planned.isoformat()}"
    assert (run.schedule, run.planned_at, run.outcome) == ("drill", planned, "enqueued")
    assert run.job_id == job.id
    assert row.next_run_at == planned + timedelta(seconds=60)
    assert row.last_planned_at == planned


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [
        # Ten periods missed and the eleventh in time: one run is enough for all.
        (CatchUp.ONE, ["missed"] * 10 + ["enqueued"]),
        (CatchUp.ALL, ["caught_up"] * 10 + ["enqueued"]),
        (CatchUp.SKIP, ["missed"] * 10 + ["enqueued"]),
    ],
)
def test_missed_periods__with_one_in_time__are_treated_by_policy(
    declare: Declare, catch_up: CatchUp, expected: list[str]
) -> None:
    planned = declare(timedelta(seconds=605), catch_up=catch_up).next_run_at

    assert run_due_schedules() == Job.objects.count() == len(expected) - expected.count("missed")
    assert run_due_schedules() == 0

    assert outcomes() == expected
    assert Schedule.objects.get().next_run_at == planned + timedelta(seconds=660)


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [
        (CatchUp.ONE, ["missed"] * 10 + ["caught_up"]),
        (CatchUp.ALL, ["caught_up"] * 11),
        (CatchUp.SKIP, ["missed"] * 11),
    ],
)
def test_missed_periods__all_late__are_treated_by_policy(
    declare: Declare, catch_up: CatchUp, expected: list[str]
) -> None:
    planned = declare(timedelta(seconds=645), catch_up=catch_up).next_run_at

    assert (run_due_schedules(), run_due_schedules()) == (11 - expected.count("missed"), 0)

    assert outcomes() == expected
    assert Schedule.objects.get().next_run_at == planned + timedelta(seconds=660)
    keys = {f"cron:drill:{(planned + timedelta(minutes=n)).isoformat()}" for n in range(11)}
    assert set(Job.objects.values_list("dedupe_key", flat=True)) <= keys


def test_grace__longer_than_the_period__makes_nothing_missed(declare: Declare) -> None:
    declare(timedelta(seconds=245), grace_s=1000.0)

    assert run_due_schedules() == 5
    assert outcomes() == ["enqueued"] * 5


@pytest.mark.parametrize("catch_up", [CatchUp.ONE, CatchUp.ALL])
def test_missed_periods__of_a_year__are_bounded_and_the_newest_run(
    declare: Declare, catch_up: CatchUp
) -> None:
    planned = declare(timedelta(days=365), cron="*/7 * * * *", catch_up=catch_up).next_run_at

    runs = run_due_schedules()

    rows = list(ScheduleRun.objects.order_by("planned_at"))
    assert runs == (1 if catch_up is CatchUp.ONE else 200)
    assert len(rows) == 1001
    assert rows[0].planned_at == planned and rows[0].note.startswith("with all before")
    assert [row.outcome for row in rows[-runs:]][:-1] == ["caught_up"] * (runs - 1)
    assert rows[-1].outcome in {"caught_up", "enqueued"}
    assert {row.outcome for row in rows[:-runs]} == {"missed"}
    assert datetime.now(UTC) - rows[-1].planned_at < timedelta(minutes=9)


def test_payload__made_for_the_planned_time__is_that_of_the_period(declare: Declare) -> None:
    # F-08: a rollover must know which period it ends, however late it runs.
    def make(planned_at: datetime) -> Payload:
        return Touch(key=planned_at.isoformat())

    planned = declare(timedelta(seconds=190), make, catch_up=CatchUp.ALL).next_run_at

    assert run_due_schedules() == 4
    assert [job.payload["key"] for job in Job.objects.order_by("id")] == [
        (planned + timedelta(minutes=n)).isoformat() for n in range(4)
    ]


def test_payload__that_cannot_be_made__is_a_missed_period_and_the_next_one_runs(
    declare: Declare,
) -> None:
    broken = [True]

    def make(planned_at: datetime) -> Payload:
        if broken[0] and planned_at.year > 2000:
            raise KeyError("no such period")
        return Probe()

    planned = declare(timedelta(seconds=5), make).next_run_at

    assert run_due_schedules() == 0
    assert not Job.objects.exists()
    run = ScheduleRun.objects.get()
    assert (run.outcome, run.job_id) == ("missed", None)
    assert "KeyError: 'no such period'" in run.note
    assert Schedule.objects.get().next_run_at == planned + timedelta(seconds=60)
    broken[0] = False
    Schedule.objects.update(next_run_at=planned + timedelta(seconds=1))
    assert run_due_schedules() == 1


def test_schedule__that_cannot_be_read__keeps_no_other_from_running(declare: Declare) -> None:
    declare(timedelta(seconds=5))
    sync_schedules()
    other = next(each.name for each in scheduled() if each.name != "drill")
    Schedule.objects.filter(name=other).update(
        next_run_at=datetime.now(UTC) - timedelta(hours=1),
        timezone="Mars/Olympus",
        cron="* * * * *",
    )
    Schedule.objects.filter(name=other).update(every_s=None)

    assert run_due_schedules() == 1
    assert outcomes() == ["enqueued"]


def test_disabled_schedule__that_is_due__does_not_run(declare: Declare) -> None:
    declare(timedelta(seconds=5))
    Schedule.objects.update(enabled=False)

    assert run_due_schedules() == 0
    assert not Job.objects.exists() and not ScheduleRun.objects.exists()


def test_schedule__that_this_code_does_not_declare__is_left_to_others() -> None:
    # During a deployment processes of two versions are at work.
    Schedule.objects.create(
        name="of.tomorrow",
        kind="tomorrow.kind",
        every_s=60.0,
        next_run_at=datetime.now(UTC) - timedelta(seconds=5),
    )

    assert run_due_schedules() == 0
    sync_schedules()

    row = Schedule.objects.get(name="of.tomorrow")
    assert row.enabled and not ScheduleRun.objects.exists()


def test_same_period__decided_already__is_not_inserted_again(declare: Declare) -> None:
    # As if a restored backup had taken the row back; the job itself may be pruned by then.
    declare(timedelta(seconds=5))
    run_due_schedules()
    for jobs_kept in (True, False):
        if not jobs_kept:
            Job.objects.all().delete()
        with connection.cursor() as cursor:
            cursor.execute("UPDATE jobs_schedule SET next_run_at = last_planned_at")

        assert run_due_schedules() == 0
        assert Job.objects.count() == jobs_kept
    assert outcomes() == ["enqueued"]


# --- Declarations and their rows ---


def test_sync__run_twice__declares_each_once_and_keeps_the_operators_switch() -> None:
    sync_schedules()
    before = dict(Schedule.objects.values_list("name", "next_run_at"))
    assert set(before) == {each.name for each in scheduled()} != set()
    Schedule.objects.update(enabled=False)

    sync_schedules()

    assert dict(Schedule.objects.values_list("name", "next_run_at")) == before
    assert not Schedule.objects.filter(enabled=True).exists()


def test_sync__of_a_changed_rhythm__moves_the_next_run_unless_it_is_due(
    declare: Declare, monkeypatch: pytest.MonkeyPatch
) -> None:
    due = declare(timedelta(seconds=5)).next_run_at
    changed = ScheduledJob("drill", Probe(note="new"), cron="0 3 * * *", catch_up=CatchUp.SKIP)
    monkeypatch.setitem(registry._schedules, "drill", changed)

    sync_schedules()

    row = Schedule.objects.get(name="drill")
    assert (row.every_s, row.cron, row.catch_up) == (None, "0 3 * * *", "skip")
    assert (row.next_run_at, row.payload["note"]) == (due, "new")
    assert run_due_schedules() == 1
    row.refresh_from_db()
    assert (row.next_run_at.hour, row.next_run_at.minute) == (3, 0)

    monkeypatch.setitem(
        registry._schedules, "drill", ScheduledJob("drill", Probe(), cron="0 4 * * *")
    )
    sync_schedules()
    row.refresh_from_db()
    assert row.next_run_at.hour == 4


def test_sync__of_what_nobody_declares__removes_it_after_a_day_and_keeps_a_paused_one() -> None:
    for name, days, enabled in (("new", 0, True), ("old", 2, True), ("paused", 2, False)):
        Schedule.objects.create(
            name=name,
            kind="gone.kind",
            every_s=60.0,
            enabled=enabled,
            next_run_at=datetime.now(UTC) - timedelta(days=days),
        )

    sync_schedules()

    assert set(Schedule.objects.filter(kind="gone.kind").values_list("name", flat=True)) == {
        "new",
        "paused",
    }


def test_history__older_than_it_is_kept__is_pruned_in_bounded_pieces() -> None:
    now = datetime.now(UTC)
    for days in (1, 8, 9, 91, 92):
        ScheduleRun.objects.create(
            schedule="ran", planned_at=now - timedelta(days=days), outcome="enqueued", job_id=_ID
        )
        ScheduleRun.objects.create(
            schedule="missed", planned_at=now - timedelta(days=days), outcome="missed"
        )

    assert [prune_schedule_runs(limit=4) for _ in range(3)] == [4, 2, 0]
    assert sorted(ScheduleRun.objects.values_list("schedule", flat=True)) == [
        *("missed", "missed", "missed", "ran")
    ]


_ID = "00000000-0000-0000-0000-000000000001"


@pytest.mark.parametrize(
    ("constraint", "statement"),
    [
        ("schedule_catch_up_known", "UPDATE jobs_schedule SET catch_up = 'some'"),
        ("schedule_grace_s_not_negative", "UPDATE jobs_schedule SET grace_s = -1"),
        (
            "schedule_run_once_per_period",
            "INSERT INTO jobs_schedulerun (schedule, planned_at, outcome)"
            " SELECT schedule, planned_at, 'missed' FROM jobs_schedulerun",
        ),
        ("schedule_run_outcome_known", "UPDATE jobs_schedulerun SET outcome = 'lost'"),
        ("schedule_run_job_unless_missed", "UPDATE jobs_schedulerun SET outcome = 'missed'"),
    ],
)
def test_illegal_row__by_raw_sql__is_refused_by_its_constraint(
    declare: Declare, constraint: str, statement: str
) -> None:
    declare(timedelta(seconds=5))
    run_due_schedules()

    with pytest.raises(IntegrityError, match=constraint), connection.cursor() as cursor:
        cursor.execute(statement)
