"""The console's page of schedules: what ran, what was missed and why (W-12)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.urls import reverse

from jobs import registry
from jobs.ids import public_id
from jobs.models import Job, Schedule, ScheduleRun
from jobs.registry import ScheduledJob
from jobs.services.schedules import run_due_schedules, sync_schedules
from tests.drills.payloads import Touch

pytestmark = pytest.mark.django_db


@pytest.fixture
def drill(monkeypatch: pytest.MonkeyPatch) -> Schedule:
    """A schedule that has just caught up, three of its periods having been missed."""
    declared = ScheduledJob("drill", lambda at: Touch(key=f"of {at:%H:%M}"), every_s=600.0)
    monkeypatch.setattr(registry, "_schedules", {"drill": declared})
    sync_schedules()
    Schedule.objects.update(next_run_at=datetime.now(UTC) - timedelta(seconds=1990))
    run_due_schedules()
    return Schedule.objects.get()


def read(client: Any, *name: Any) -> str:
    """The text of a page."""
    page = client.get(reverse(f"admin:jobs_schedule_{name[0]}", args=name[1:]))
    assert page.status_code == 200
    text: str = page.content.decode()
    return text


def test_list__of_schedules__counts_what_was_missed(admin_client: Any, drill: Schedule) -> None:
    ScheduleRun.objects.create(
        schedule="drill", planned_at=datetime.now(UTC) - timedelta(days=8), outcome="missed"
    )

    text = read(admin_client, "changelist")

    column = text.partition('class="field-missed_lately')[2].partition("</td>")[0]
    assert ">3<" in "".join(column.split()) or " 3 " in f" {' '.join(column.split())} "


def test_page__of_a_schedule__shows_each_planned_time_and_its_job(
    admin_client: Any, drill: Schedule
) -> None:
    text = read(admin_client, "change", drill.pk)

    planned = drill.next_run_at
    assert f"of {planned:%H:%M}" in text
    assert "&times; 3" in text and "one run for all, planned at" in text
    assert public_id("job", Job.objects.get().id) in text
    assert f"{planned - timedelta(seconds=600):%Y-%m-%d %H:%M:%S}" in text


def test_page__of_a_schedule_whose_payload_cannot_be_made__says_so(
    admin_client: Any, drill: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(planned_at: datetime) -> Touch:
        raise KeyError("<period>")

    broken = ScheduledJob("drill", fail, every_s=600.0)
    monkeypatch.setitem(registry._schedules, "drill", broken)

    text = read(admin_client, "change", drill.pk)

    assert "cannot be made: KeyError: &#x27;&lt;period&gt;&#x27;" in text


def test_page__of_a_schedule_of_another_version__is_shown_as_it_is_stored(
    admin_client: Any, drill: Schedule
) -> None:
    other = Schedule.objects.create(
        name="of.tomorrow",
        kind="x.y",
        payload={"a": 17},
        cron="0 0 1 1 *",
        next_run_at=drill.next_run_at,
    )

    text = read(admin_client, "change", other.pk)

    assert "&quot;a&quot;: 17" in text and "None has come yet." in text
