"""Schedules: what runs next, what is late, what became of each planned time, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from unfold.decorators import display

from jobs.admin import subjects
from jobs.admin.display import badge, duration, moment, pretty_json, span
from jobs.admin.operating import OperatingAdmin
from jobs.ids import new_id
from jobs.models import Schedule, ScheduleRun
from jobs.registry import get_schedule

LATE = timedelta(seconds=30)
MISSED_SHOWN = timedelta(days=7)
RUNS_SHOWN = 200
TONES = {"enqueued": "success", "caught_up": "warning", "missed": "danger", "by_hand": "info"}
CATCH_UPS = {
    "one": "one run for all that were missed",
    "all": "a run for each",
    "skip": "none, they are left out",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One planned time, or a row of missed ones for the same reason, written for reading."""

    outcome: SafeString
    times: int
    first: str
    last: str
    ago: SafeString | str
    late: str
    job: SafeString | str
    note: str


def lines(schedule: Schedule) -> list[Line]:
    """Read the newest planned times of a schedule."""
    runs = ScheduleRun.objects.filter(schedule=schedule.name).order_by("-planned_at", "-id")
    groups = groupby(runs[:RUNS_SHOWN], key=lambda run: run.job_id or run.note)
    return [_line(list(group)) for _, group in groups]


def _line(runs: list[ScheduleRun]) -> Line:
    """Write runs that follow each other, the newest first."""
    newest, oldest = runs[0], runs[-1]
    return Line(
        outcome=badge(newest.outcome, TONES.get(newest.outcome, "")),
        times=len(runs),
        first=f"{oldest.planned_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
        last=f"{newest.planned_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
        ago=moment(newest.planned_at),
        late=duration(newest.planned_at, newest.decided_at) if newest.job_id else "",
        job=subjects.link("job", newest.job_id),
        note=newest.note,
    )


def with_missed(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Count on each schedule, as `missed_rows`, the planned times it missed lately."""
    since = datetime.now(UTC) - MISSED_SHOWN
    missed = (
        ScheduleRun.objects.filter(
            schedule=OuterRef("name"), outcome="missed", planned_at__gte=since
        )
        .order_by()
        .values("schedule")
        .annotate(rows=Count("id"))
        .values("rows")
    )
    counted: QuerySet[Any] = rows.annotate(missed_rows=Coalesce(Subquery(missed), 0))
    return counted


def standing_of(schedule: Schedule) -> SafeString:
    """Write how a schedule stands: enabled, late or paused; late means that no scheduler runs."""
    if not schedule.enabled:
        return badge("paused", "warning")
    late = schedule.next_run_at < datetime.now(UTC) - LATE
    return badge("late", "danger") if late else badge("enabled")


@admin.register(Schedule)
class ScheduleAdmin(OperatingAdmin):
    """Schedules as the running scheduler sees them."""

    list_display = (
        *("name", "kind", "period", "timezone", "next_run", "last_planned"),
        *("missed_lately", "standing"),
    )
    list_filter: ClassVar = ("enabled", "catch_up")
    search_fields = ("name", "kind")
    ordering = ("name",)
    fieldsets = (
        (
            "Schedule",
            {
                "fields": (
                    ("name", "kind"),
                    ("period", "timezone"),
                    ("next_run", "last_planned"),
                    ("missed_lately", "standing"),
                    ("catch_up_text", "grace"),
                    "payload_text",
                )
            },
        ),
    )
    readonly_fields = (
        *("period", "next_run", "last_planned", "missed_lately", "standing"),
        *("catch_up_text", "grace", "payload_text"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Schedule]:
        """Count what was missed lately, in the same query."""
        return with_missed(super().get_queryset(request))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add what became of each planned time."""
        schedule: Schedule = context["original"]
        context.update(title=schedule.name, subtitle=None, runs=lines(schedule), shown=RUNS_SHOWN)
        context.update(
            may_run=self.has_run_permission(request),
            may_pause=self.has_pause_permission(request),
            click_id=new_id().hex,
        )
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    @display(description="Runs")
    def period(self, schedule: Schedule) -> str:
        """How often."""
        return f"every {span(schedule.every_s)}" if schedule.every_s else schedule.cron

    @display(description="Next run", ordering="next_run_at")
    def next_run(self, schedule: Schedule) -> SafeString | str:
        """When it is due; of one that is off, from when it was left alone."""
        return moment(schedule.next_run_at)

    @display(description="Last planned", ordering="last_planned_at")
    def last_planned(self, schedule: Schedule) -> SafeString | str:
        """The period that was inserted last."""
        return moment(schedule.last_planned_at, empty="never")

    @display(description="Missed in 7 days", ordering="missed_rows")
    def missed_lately(self, schedule: Schedule) -> SafeString | str:
        """Planned times without a job of their own."""
        rows: int = getattr(schedule, "missed_rows", 0)
        return badge(str(rows), "warning") if rows else "0"

    @display(description="State", ordering="enabled")
    def standing(self, schedule: Schedule) -> SafeString:
        """Enabled, late or off; late means that no scheduler runs."""
        return standing_of(schedule)

    @display(description="What was missed gets")
    def catch_up_text(self, schedule: Schedule) -> str:
        """The catch-up policy in words."""
        return CATCH_UPS.get(schedule.catch_up, schedule.catch_up)

    @display(description="Missed when later than")
    def grace(self, schedule: Schedule) -> str:
        """How late a run may be."""
        return span(schedule.grace_s)

    @display(description="Payload of the next run")
    def payload_text(self, schedule: Schedule) -> SafeString | str:
        """What the next run is given; where it is made for each, it is made here too."""
        declared = get_schedule(schedule.name)
        if declared is None:
            return pretty_json(schedule.payload)
        try:
            return pretty_json(declared.payload_for(schedule.next_run_at).to_json())
        except Exception as error:
            # An operator is to see the page, and on it what keeps the schedule from running.
            return f"cannot be made: {type(error).__name__}: {error}"
