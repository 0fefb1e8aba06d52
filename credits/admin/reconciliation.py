"""What the reconciler found: its latest passes, what is due, what is frozen (C-06)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.urls import reverse
from django.utils.safestring import SafeString

from credits.models import Freeze
from credits.selectors import days_to_state
from jobs.admin import subjects
from jobs.admin.display import badge, moment, span
from jobs.models import Job, Schedule, ScheduleRun
from jobs.states import JobState

SCHEDULE: Final = "credits.reconcile"
LATE_AFTER: Final = timedelta(hours=3)
PASSES: Final = 10


@dataclass(frozen=True, slots=True)
class Pass:
    """One run of the reconciler. `result` is what it found, empty where it has not ended well."""

    job: Job
    result: dict[str, Any]

    @property
    def is_done(self) -> bool:
        """Has it come to its end?"""
        return self.job.state == JobState.SUCCEEDED

    @property
    def holds(self) -> bool:
        """Is everything what entries make it?"""
        return bool(self.result.get("holds"))

    @property
    def verdict(self) -> SafeString:
        """What it found, in a word."""
        if not self.is_done:
            return badge(self.job.state)
        return badge("proven") if self.holds else badge("drift", "danger")

    @property
    def accounts(self) -> int:
        """How many accounts it proved."""
        return int(self.result.get("accounts", 0))

    @property
    def drifting(self) -> int:
        """How many of them contradict their entries."""
        return len(self.result.get("drifting", {}))

    @property
    def problems(self) -> list[str]:
        """Statements that do not hold."""
        return list(self.result.get("brokenStatements", []))

    @property
    def took(self) -> str:
        """How long it took."""
        return span(self.result["tookSeconds"]) if self.result else "-"

    @property
    def ended(self) -> SafeString | str:
        """When it ended."""
        return moment(self.job.finished_at)

    @property
    def link(self) -> SafeString | str:
        """Its job."""
        return subjects.link("job", self.job.pk)


@dataclass(frozen=True, slots=True)
class Report:
    """The latest passes, the newest first, and what they left behind."""

    passes: list[Pass]
    frozen: int
    days_due: int
    schedule_href: str

    @property
    def latest(self) -> Pass | None:
        """The newest pass that came to its end."""
        return next((each for each in self.passes if each.is_done), None)

    def is_late(self, now: datetime) -> bool:
        """Has nothing been proven for long? A new system has nothing to prove yet."""
        ended_at = self.latest.job.finished_at if self.latest else None
        return ended_at is not None and now - ended_at > LATE_AFTER


def read_report() -> Report:
    """Read what the scheduled passes left; those by hand tell their own terminal."""
    schedule_id = Schedule.objects.filter(name=SCHEDULE).values_list("pk", flat=True).first()
    href = reverse("admin:jobs_schedule_change", args=[schedule_id]) if schedule_id else ""
    frozen = Freeze.objects.filter(lifted_at__isnull=True).count()
    return Report(_passes(), frozen, len(days_to_state()), href)


def _passes() -> list[Pass]:
    """Read the newest runs, by the schedule's history: jobs are not searched for by kind."""
    runs = ScheduleRun.objects.filter(schedule=SCHEDULE, job_id__isnull=False)
    ids: list[uuid.UUID | None] = list(
        runs.order_by("-planned_at").values_list("job_id", flat=True)[:PASSES]
    )
    jobs = Job.objects.defer("payload", "progress").in_bulk([job_id for job_id in ids if job_id])
    found = (jobs.get(job_id) for job_id in ids if job_id)
    return [Pass(job, job.result or {}) for job in found if job is not None]
