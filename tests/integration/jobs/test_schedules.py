"""Recurring work: once per period, whoever asks (W-12, P14)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from jobs.models import Job, Schedule
from jobs.payloads import Probe
from jobs.registry import ScheduledJob, scheduled
from jobs.services.schedules import next_time, run_due_schedules, sync_schedules

pytestmark = pytest.mark.django_db


def make_schedule(ago: timedelta, **rhythm: object) -> Schedule:
    """A schedule that was due some time ago."""
    return Schedule.objects.create(
        name="drill",
        kind="jobs.probe",
        payload=Probe().to_json(),
        next_run_at=datetime.now(UTC) - ago,
        **({"every_s": 60.0} | rhythm),
    )


def test_due_schedule__run_twice__inserts_one_job_and_moves_on() -> None:
    planned = make_schedule(timedelta(seconds=5)).next_run_at

    assert (run_due_schedules(), run_due_schedules()) == (1, 0)

    job = Job.objects.get()
    row = Schedule.objects.get()
    assert job.dedupe_key == f"cron:drill:{planned.isoformat()}"
    assert row.next_run_at == planned + timedelta(seconds=60)
    assert row.last_planned_at == planned


def test_missed_periods__while_nobody_ran__are_caught_up_by_one_run() -> None:
    planned = make_schedule(timedelta(seconds=605)).next_run_at

    assert (run_due_schedules(), run_due_schedules()) == (1, 0)
    assert Schedule.objects.get().next_run_at == planned + timedelta(seconds=660)


def test_disabled_schedule__that_is_due__does_not_run() -> None:
    make_schedule(timedelta(seconds=5), enabled=False)

    assert run_due_schedules() == 0
    assert not Job.objects.exists()


def test_schedule__whose_kind_is_gone__is_switched_off() -> None:
    make_schedule(timedelta(seconds=5))
    Schedule.objects.update(kind="drills.gone")

    assert run_due_schedules() == 0
    assert Schedule.objects.get().enabled is False


def test_same_period__inserted_already__is_not_inserted_again() -> None:
    # As if a scheduler's clock, or a restored backup, had gone back.
    make_schedule(timedelta(seconds=5))
    run_due_schedules()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_schedule SET next_run_at = last_planned_at")

    assert run_due_schedules() == 1
    assert Job.objects.count() == 1


def test_sync__run_twice__declares_each_once_and_keeps_the_operators_switch() -> None:
    Schedule.objects.create(
        name="not.declared", kind="jobs.probe", every_s=1, next_run_at=datetime.now(UTC)
    )
    sync_schedules()
    before = dict(Schedule.objects.values_list("name", "next_run_at"))
    assert set(before) == {each.name for each in scheduled()} != set()
    Schedule.objects.update(enabled=False)

    sync_schedules()

    assert dict(Schedule.objects.values_list("name", "next_run_at")) == before
    assert not Schedule.objects.filter(enabled=True).exists()


@pytest.mark.parametrize(
    ("cron", "timezone", "planned", "expected"),
    [
        ("0 * * * *", "UTC", "2026-01-15T10:00:00", "2026-01-15T11:00:00"),
        ("0 0 1 * *", "UTC", "2026-01-01T00:00:00", "2026-02-01T00:00:00"),
        ("30 9 * * *", "Europe/Berlin", "2026-01-15T08:30:00", "2026-01-16T08:30:00"),
        ("30 9 * * *", "Europe/Berlin", "2026-07-15T07:30:00", "2026-07-16T07:30:00"),
    ],
)
def test_next_time__of_a_cron__is_in_its_time_zone(
    cron: str, timezone: str, planned: str, expected: str
) -> None:
    each = ScheduledJob("drill", Probe(), None, cron, timezone)
    at = datetime.fromisoformat(planned).replace(tzinfo=UTC)

    following = next_time(each, planned=at, now=at + timedelta(seconds=1))

    assert following == datetime.fromisoformat(expected).replace(tzinfo=UTC)
