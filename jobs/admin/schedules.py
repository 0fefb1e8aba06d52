"""Schedules, read-only: what runs next, and what is late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import ClassVar

from django.contrib import admin
from django.utils.safestring import SafeString
from unfold.decorators import display

from jobs.admin.base import ReadOnlyAdmin
from jobs.admin.display import badge, moment, pretty_json, span
from jobs.models import Schedule

LATE = timedelta(seconds=30)


@admin.register(Schedule)
class ScheduleAdmin(ReadOnlyAdmin):
    """Schedules as the running scheduler sees them."""

    list_display = ("name", "kind", "period", "timezone", "next_run", "last_planned", "standing")
    list_filter: ClassVar = ("enabled",)
    search_fields = ("name", "kind")
    ordering = ("name",)
    fields = (
        "name",
        "kind",
        "payload_text",
        "period",
        "timezone",
        "next_run",
        "last_planned",
        "standing",
    )
    readonly_fields = ("payload_text", "period", "next_run", "last_planned", "standing")

    @display(description="Runs")
    def period(self, schedule: Schedule) -> str:
        """How often."""
        return f"every {span(schedule.every_s)}" if schedule.every_s else schedule.cron

    @display(description="Next run", ordering="next_run_at")
    def next_run(self, schedule: Schedule) -> SafeString | str:
        """When it is due."""
        return moment(schedule.next_run_at)

    @display(description="Last planned", ordering="last_planned_at")
    def last_planned(self, schedule: Schedule) -> SafeString | str:
        """The period that was inserted last."""
        return moment(schedule.last_planned_at, empty="never")

    @display(description="State", ordering="enabled")
    def standing(self, schedule: Schedule) -> SafeString:
        """Enabled, late or off; late means that no scheduler runs."""
        if not schedule.enabled:
            return badge("off")
        late = schedule.next_run_at < datetime.now(UTC) - LATE
        return badge("late", "danger") if late else badge("enabled")

    @display(description="Payload")
    def payload_text(self, schedule: Schedule) -> SafeString | str:
        """What each run is given."""
        return pretty_json(schedule.payload)
