"""Jobs: where each stands, what every attempt did, and the way to stop one."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from jobs.admin import subjects
from jobs.admin.display import badge, duration, moment, mono, pretty_json
from jobs.admin.filters import AgeFilter, KindFilter, OrganizationFilter, QueueFilter, StateFilter
from jobs.admin.standing import runs_of
from jobs.admin.stopping import StoppingAdmin
from jobs.ids import public_id
from jobs.models import FailedJob, Job

subjects.register(subjects.Subject("job", prefix="job", model="jobs.job"))


@admin.register(Job)
class JobAdmin(StoppingAdmin):
    """Jobs: what was asked, where it stands, what each attempt did."""

    list_display = (
        "what",
        "public",
        "organization",
        "runs",
        "created",
        "next_attempt",
        "took",
        "state_badge",
    )
    list_display_links = ("what",)
    list_filter = (StateFilter, QueueFilter, KindFilter, OrganizationFilter, AgeFilter)
    search_fields = ("request_id__exact", "correlation_id__exact", "dedupe_key__exact")
    search_help_text = "Job id, request id, correlation id or dedupe key"
    search_ids: ClassVar = {"job": ("pk",), "org": ("organization_id",)}
    ordering = ("-id",)
    named_by: ClassVar = {"organization": "organization_id"}
    fields = (
        "public",
        ("kind", "version"),
        ("queue", "organization"),
        ("dead_letters", "dedupe_code"),
        ("request_code", "correlation_code"),
        "payload_text",
    )
    readonly_fields = (
        *("public", "organization", "dead_letters", "payload_text"),
        *("request_code", "correlation_code", "dedupe_code"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        """Leave the heavy columns out of lists."""
        rows: QuerySet[Job] = super().get_queryset(request)
        return rows.defer("payload", "result", "progress")

    def name_of(self, job: Job) -> str:
        """What it does, and since when."""
        return f"{job.kind}, {job.created_at:%Y-%m-%d %H:%M}"

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add how it stands, and the attempts."""
        job: Job = context["original"]
        context.update(title=f"{job.kind} · {public_id('job', job.pk)}", subtitle=None)
        context.update(self.standing(request, job))
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    # --- Columns ---

    @display(description="Job", ordering="kind", header=True)
    def what(self, job: Job) -> list[str]:
        """Kind, and below it the queue."""
        return [job.kind, job.queue]

    @display(description="Id", ordering="id")
    def public(self, job: Job) -> SafeString | str:
        """Id as clients know it."""
        return mono(public_id("job", job.pk))

    @display(description="Organization", ordering="organization_id")
    def organization(self, job: Job) -> SafeString | str:
        """Name, linked."""
        name = getattr(job, "organization_name", "")
        return subjects.link("organization", job.organization_id, name)

    @display(description="Attempts", ordering="attempts")
    def runs(self, job: Job) -> str:
        """Runs started, and how much of the retry budget is used."""
        return runs_of(job)

    @display(description="Created", ordering="created_at")
    def created(self, job: Job) -> SafeString | str:
        """When it was enqueued."""
        return moment(job.created_at)

    @display(description="Next attempt", ordering="next_attempt_at")
    def next_attempt(self, job: Job) -> SafeString | str:
        """From when it may run."""
        return moment(job.next_attempt_at)

    @display(description="Took")
    def took(self, job: Job) -> str:
        """From its first start to its end."""
        return duration(job.started_at, job.finished_at)

    @display(description="State", ordering="state")
    def state_badge(self, job: Job) -> SafeString:
        """Where it stands."""
        return badge(job.state)

    # --- Details ---

    @display(description="Dead letters")
    def dead_letters(self, job: Job) -> SafeString | str:
        """Every death of this job, linked."""
        count = FailedJob.objects.filter(job_id=job.pk).count()
        if not count:
            return "none"
        href = f"{reverse('admin:jobs_failedjob_changelist')}?state=all&q={job.pk}"
        return format_html('<a class="fs-link" href="{}">{}</a>', href, count)

    @display(description="Payload")
    def payload_text(self, job: Job) -> SafeString | str:
        """What the handler is given."""
        return pretty_json(job.payload)

    @display(description="Request id")
    def request_code(self, job: Job) -> SafeString | str:
        """The request that made it."""
        return mono(job.request_id)

    @display(description="Correlation id")
    def correlation_code(self, job: Job) -> SafeString | str:
        """The caller's own id."""
        return mono(job.correlation_id)

    @display(description="Dedupe key")
    def dedupe_code(self, job: Job) -> SafeString | str:
        """What made it the only one of its kind."""
        return mono(job.dedupe_key or "")
