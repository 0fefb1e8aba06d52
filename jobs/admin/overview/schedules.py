"""The schedules: what is due next, what is late, what was missed (W-12)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from django.urls import reverse

from jobs.admin.display import moment
from jobs.admin.panels import Alarm, Panel, Reading, register
from jobs.admin.schedules import LATE, standing_of, with_missed
from jobs.models import Schedule

SHOWN: Final = 8


def read() -> Reading:
    """Read the panel: the next runs, those that are paused or missed some first."""
    rows = list(with_missed(Schedule.objects.order_by("next_run_at")))
    rows.sort(key=lambda row: row.enabled and not row.missed_rows)
    lines = [
        {
            "schedule": row,
            "next": moment(row.next_run_at) if row.enabled else "-",
            "missed": row.missed_rows,
            "standing": standing_of(row),
            "href": reverse("admin:jobs_schedule_change", args=[row.pk]),
        }
        for row in rows[:SHOWN]
    ]
    shown = {"lines": lines, "more": max(len(rows) - SHOWN, 0)}
    return Reading(shown, _alarms(rows))


def _alarms(rows: list[Schedule]) -> list[Alarm]:
    """Say that the clock stands still."""
    late = [row for row in rows if row.enabled and row.next_run_at < datetime.now(UTC) - LATE]
    if not late:
        return []
    told = f"{late[0].name} is late" + (f", and {len(late) - 1} more" if late[1:] else "")
    return [Alarm(told, reverse("admin:jobs_schedule_changelist"))]


register(
    Panel(
        name="schedules",
        title="Schedules",
        icon="schedule",
        model="jobs.schedule",
        template="admin/overview/schedules.html",
        read=read,
        place=50,
    )
)
