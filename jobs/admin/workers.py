"""Workers and schedulers: who is there, what each has in hand, who has gone silent (O-03)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.options import ModelAdmin
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import display

from jobs.admin import subjects
from jobs.admin.base import ReadOnlyAdmin
from jobs.admin.display import badge, moment, size
from jobs.models import Job, WorkerHeartbeat
from jobs.states import JobState

JOBS_SHOWN: Final = 100


def stale_after() -> timedelta:
    """For how long a process may be silent."""
    return timedelta(seconds=settings.WORKER_STALE_S)


def standing_of(beat: WorkerHeartbeat, *, is_stale: bool) -> SafeString:
    """Write how a process stands: working, leaving, gone on purpose, or silent for too long."""
    if beat.stopped_at is not None:
        return badge("stopped")
    if is_stale:
        return badge("stale", "danger")
    return badge("stopping", "warning") if beat.stopping else badge("alive", "success")


class PresentFilter(DropdownFilter):
    """By whether it is there; the list opens with those that are, or should be."""

    title = "state"
    parameter_name = "state"
    all_option = ["present", "There, or silent"]

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Offer what else there is to see."""
        return [("stale", "Silent"), ("stopped", "Stopped on purpose"), ("all", "All")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the rows that stand so, by the database's clock."""
        kept = {
            "stale": Q(stopped_at__isnull=True, beat_at__lt=Now() - stale_after()),
            "stopped": Q(stopped_at__isnull=False),
            "all": Q(),
        }
        return queryset.filter(kept.get(str(self.value()), Q(stopped_at__isnull=True)))


@admin.register(WorkerHeartbeat)
class WorkerHeartbeatAdmin(ReadOnlyAdmin):
    """Processes that work, by their own signs of life."""

    list_display = (
        *("name", "role", "slots_text", "done", "memory", "version"),
        *("started", "heard", "state_badge"),
    )
    list_filter: ClassVar = (PresentFilter,)
    search_fields = ("name", "host")
    search_help_text = "Name or host"
    ordering: ClassVar[Any] = (F("stopped_at").desc(nulls_first=True), "beat_at")
    fields = (
        ("name", "state_badge"),
        ("role", "version"),
        ("slots_text", "done"),
        ("memory", "heard"),
        ("started", "stopped"),
        "queues_text",
        "log",
    )
    readonly_fields = (
        *("state_badge", "queues_text", "slots_text", "done", "memory"),
        *("started", "heard", "stopped", "log"),
    )
    change_form_outer_after_template = "admin/jobs/workerheartbeat/jobs.html"

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add the jobs it has in hand."""
        beat: WorkerHeartbeat = context["original"]
        held = Job.objects.filter(state=JobState.RUNNING, lease_owner=beat.name)
        held = held.defer("payload", "result", "progress").order_by("lease_until")[:JOBS_SHOWN]
        context["jobs"] = [
            {
                "job": job,
                "link": subjects.link("job", job.pk),
                "started": moment(job.started_at),
                "lease": moment(job.lease_until),
            }
            for job in held
        ]
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    @display(description="Slots", ordering="busy")
    def slots_text(self, beat: WorkerHeartbeat) -> str:
        """How many jobs it runs, of how many it may."""
        return f"{beat.busy} of {beat.slots}" if beat.role == "worker" else "-"

    @display(description="Jobs done", ordering="jobs_done")
    def done(self, beat: WorkerHeartbeat) -> str:
        """How many have ended in its hands since it started."""
        return f"{beat.jobs_done:,}"

    @display(description="Memory", ordering="memory_bytes")
    def memory(self, beat: WorkerHeartbeat) -> str:
        """What it uses."""
        return size(beat.memory_bytes)

    @display(description="Started", ordering="started_at")
    def started(self, beat: WorkerHeartbeat) -> SafeString | str:
        """Since when it is there."""
        return moment(beat.started_at)

    @display(description="Heard", ordering="beat_at")
    def heard(self, beat: WorkerHeartbeat) -> SafeString | str:
        """Its last sign of life."""
        return moment(beat.beat_at)

    @display(description="State", ordering="beat_at")
    def state_badge(self, beat: WorkerHeartbeat) -> SafeString:
        """Whether it works."""
        return standing_of(beat, is_stale=beat.beat_at < datetime.now(UTC) - stale_after())

    @display(description="Queues")
    def queues_text(self, beat: WorkerHeartbeat) -> str:
        """What it takes jobs from."""
        return ", ".join(beat.queues) or "-"

    @display(description="Stopped")
    def stopped(self, beat: WorkerHeartbeat) -> SafeString | str:
        """When it left on purpose."""
        return moment(beat.stopped_at)

    @display(description="Live log")
    def log(self, beat: WorkerHeartbeat) -> SafeString:
        """What it tells, as it tells it."""
        href = f"{reverse('admin:jobs_telemetryevent_changelist')}?about={beat.name}"
        return format_html('<a class="fs-link" href="{}">follow it</a>', href)
