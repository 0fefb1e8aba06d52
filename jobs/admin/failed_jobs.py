"""The dead-letter console: find one, understand it, requeue or discard it (D-01 to D-06)."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from unfold.decorators import display

from jobs.admin import subjects
from jobs.admin.cleaning import CleaningAdmin
from jobs.admin.display import badge, cut, duration, moment, mono, pretty_json
from jobs.admin.edits import changes
from jobs.admin.filters import OpenFirstFilter, QueueFilter
from jobs.admin.filters.letters import (
    DiedFilter,
    DiedSinceFilter,
    DiedUntilFilter,
    FingerprintFilter,
    LetterErrorFilter,
    LetterKindFilter,
    LetterOrganizationFilter,
)
from jobs.admin.letter_list import LetterChangeList
from jobs.admin.timeline import timeline
from jobs.ids import public_id
from jobs.models import FailedJob
from jobs.selectors.failure_groups import counted_groups

EARLIER_SHOWN = 20


@admin.register(FailedJob)
class FailedJobAdmin(CleaningAdmin):
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
        LetterKindFilter,
        LetterErrorFilter,
        LetterOrganizationFilter,
        DiedFilter,
        DiedSinceFilter,
        DiedUntilFilter,
        FingerprintFilter,
    )
    # What is searched, and how, is read by jobs.admin.filters.letters.
    search_fields = ("message",)
    search_help_text = "Id, fingerprint, words, or field=value"
    ordering = ("-died_at", "-id")
    # One order, the one that pages are bounded in.
    sortable_by = ()
    list_disable_select_all = True
    named_by: ClassVar = {"organization": "organization_id"}
    fields = ("payload_text", "fingerprint_code", "request_code", "correlation_code", "created")
    readonly_fields = fields

    # --- Rows ---

    def get_changelist(  # type: ignore[override]  # the theme's annotation means the class
        self, request: HttpRequest, **kwargs: Any
    ) -> type[LetterChangeList]:
        """Use the list whose pages cost the same wherever they are."""
        return LetterChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[FailedJob]:
        """Leave the heaviest column out; one letter shows the tracebacks of its attempts."""
        rows: QuerySet[FailedJob] = super().get_queryset(request)
        return rows.select_related("job").defer("traceback", "job__payload")

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
        query = urlencode({"fingerprint": letter.fingerprint, "state": "all"})
        href = f"{reverse('admin:jobs_failedjob_changelist')}?{query}"
        return format_html('<a class="fs-link" href="{}">{}</a>', href, mono(letter.fingerprint))

    @display(description="Payload")
    def payload_text(self, letter: FailedJob) -> SafeString | str:
        """The payload it died with."""
        return pretty_json(letter.payload)

    @display(description="Request id")
    def request_code(self, letter: FailedJob) -> SafeString | str:
        """The request that made the job, linked to what was recorded in it."""
        return subjects.trail(letter.request_id, mono(letter.request_id))

    @display(description="Correlation id")
    def correlation_code(self, letter: FailedJob) -> SafeString | str:
        """The caller's own id."""
        return mono(letter.correlation_id)

    @display(description="Job created")
    def created(self, letter: FailedJob) -> SafeString | str:
        """When the work was asked for."""
        return moment(letter.job.created_at)

    # --- Page ---

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add what the operator needs to decide."""
        letter: FailedJob = context["original"]
        is_open = letter.state == "open"
        context.update(
            title=f"{letter.kind} · {letter.error_class.rpartition('.')[2]}",
            subtitle=None,
            timeline=timeline(letter.job_id),
            may_requeue=is_open and self.has_requeue_permission(request),
            may_edit=is_open and self.has_edit_permission(request),
            may_discard=is_open and self.has_discard_permission(request),
            organization=self.organization(letter),
            **_about(letter),
        )
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response


def _about(letter: FailedJob) -> dict[str, Any]:
    """Describe a letter, its job, its cause, and what has become of it."""
    job = letter.job
    edited = letter.edited_payload
    return {
        "links": subjects.payload_links(letter.payload),
        "state_badge": badge(letter.state),
        "job_link": subjects.link("job", letter.job_id),
        "trail": subjects.trail(public_id("job", letter.job_id), "What was done to it"),
        "died": moment(letter.died_at),
        "resolved": moment(letter.resolved_at),
        "group": counted_groups().filter(pk=letter.fingerprint).first(),
        "earlier": _earlier(letter),
        "enqueued": moment(job.created_at),
        "first_wait": duration(job.created_at, job.started_at) if job.started_at else "",
        "edits": [] if edited is None else list(changes(letter.payload, edited)),
    }


def _earlier(letter: FailedJob) -> QuerySet[FailedJob]:
    """The other deaths of the same job."""
    others = FailedJob.objects.filter(job_id=letter.job_id).exclude(pk=letter.pk)
    return others.only("died_at", "state", "error_class", "resolved_by")[:EARLIER_SHOWN]
