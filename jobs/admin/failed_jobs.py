"""The dead-letter console: find one, understand it, requeue or discard it (D-01 to D-06)."""

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
from jobs.admin.answering import AnsweringAdmin
from jobs.admin.display import badge, cut, moment, mono, pretty_json
from jobs.admin.filters import (
    DiedFilter,
    ErrorClassFilter,
    KindFilter,
    OpenFirstFilter,
    OrganizationFilter,
    QueueFilter,
)
from jobs.admin.timeline import timeline
from jobs.models import FailedJob


@admin.register(FailedJob)
class FailedJobAdmin(AnsweringAdmin):
    """Dead letters: open ones first, retried or discarded by POST, each answer audited."""

    list_display = (
        "what",
        "error",
        "organization",
        "attempts",
        "died",
        "state_badge",
    )
    list_display_links = ("what",)
    list_filter = (
        OpenFirstFilter,
        QueueFilter,
        KindFilter,
        ErrorClassFilter,
        OrganizationFilter,
        DiedFilter,
    )
    search_fields = ("message", "fingerprint__startswith", "request_id__exact")
    search_help_text = "Job id, request id, fingerprint or words of the message"
    search_ids: ClassVar = {"job": ("job_id",), "org": ("organization_id",)}
    date_hierarchy = "died_at"
    ordering = ("-died_at", "-id")
    named_by: ClassVar = {"organization": "organization_id"}
    fields = ("payload_text", "fingerprint_code", "request_code", "correlation_code", "created")
    readonly_fields = fields

    # --- Rows ---

    def get_queryset(self, request: HttpRequest) -> QuerySet[FailedJob]:
        """Leave the heavy columns out of lists; one letter reads them as it shows them."""
        rows: QuerySet[FailedJob] = super().get_queryset(request)
        return rows.defer("traceback", "payload")

    # --- Columns ---

    @display(description="Dead letter", ordering="kind", header=True)
    def what(self, letter: FailedJob) -> list[str]:
        """Kind, and below it the queue."""
        return [letter.kind, letter.queue]

    @display(description="Error", ordering="error_class")
    def error(self, letter: FailedJob) -> SafeString:
        """Class and the start of the message."""
        return format_html(
            '<strong class="fs-error">{}</strong><span class="fs-cut" title="{}">{}</span>',
            letter.error_class.rpartition(".")[2],
            letter.error_class,
            cut(letter.message),
        )

    @display(description="Organization", ordering="organization_id")
    def organization(self, letter: FailedJob) -> SafeString | str:
        """Name, linked."""
        name = getattr(letter, "organization_name", "")
        return subjects.link("organization", letter.organization_id, name)

    @display(description="Died", ordering="died_at")
    def died(self, letter: FailedJob) -> SafeString | str:
        """How long ago."""
        return moment(letter.died_at)

    @display(description="State", ordering="state")
    def state_badge(self, letter: FailedJob) -> SafeString:
        """What has been answered."""
        return badge(letter.state)

    # --- Details ---

    @display(description="Fingerprint")
    def fingerprint_code(self, letter: FailedJob) -> SafeString | str:
        """What deaths of the same cause share, linked to all of them."""
        query = f"?q={letter.fingerprint}&state=all"
        href = reverse("admin:jobs_failedjob_changelist") + query
        return format_html('<a class="fs-link" href="{}">{}</a>', href, mono(letter.fingerprint))

    @display(description="Payload")
    def payload_text(self, letter: FailedJob) -> SafeString | str:
        """The payload it died with."""
        return pretty_json(letter.payload)

    @display(description="Request id")
    def request_code(self, letter: FailedJob) -> SafeString | str:
        """The request that made the job."""
        return mono(letter.request_id)

    @display(description="Correlation id")
    def correlation_code(self, letter: FailedJob) -> SafeString | str:
        """The caller's own id."""
        return mono(letter.correlation_id)

    @display(description="Job created")
    def created(self, letter: FailedJob) -> SafeString | str:
        """When the work was asked for."""
        return moment(letter.job.created_at)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add what the operator needs to decide."""
        letter: FailedJob = context["original"]
        context.update(
            title=f"{letter.kind} · {letter.error_class.rpartition('.')[2]}",
            subtitle=None,
            timeline=timeline(letter.job_id),
            links=subjects.payload_links(letter.payload),
            state_badge=badge(letter.state),
            organization=self.organization(letter),
            job_link=subjects.link("job", letter.job_id),
            died=moment(letter.died_at),
            resolved=moment(letter.resolved_at),
            may_requeue=letter.state == "open" and self.has_requeue_permission(request),
            may_discard=letter.state == "open" and self.has_discard_permission(request),
        )
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response
