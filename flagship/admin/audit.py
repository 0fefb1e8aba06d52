"""Audit events, read-only: who did what to which subject."""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from unfold.decorators import display

from flagship.models import AuditEvent
from jobs.admin import subjects
from jobs.admin.base import ReadOnlyAdmin
from jobs.admin.display import moment, mono, pretty_json
from jobs.admin.filters import ActionFilter, AgeFilter, OrganizationFilter


def _trail(public: str) -> str:
    """Where the events about a subject, or of a request, are listed."""
    return f"{reverse('admin:flagship_auditevent_changelist')}?{urlencode({'q': public})}"


subjects.register_trail(_trail)


class OccurredFilter(AgeFilter):
    """By when it happened."""

    title = "time"
    column = "occurred_at"


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    """The trail; the database refuses to change it for every role."""

    list_display = ("action", "subject", "actor", "organization", "occurred")
    list_filter: ClassVar = (ActionFilter, OrganizationFilter, OccurredFilter)
    search_fields = (
        "subject_id__exact",
        "actor__startswith",
        "request_id__exact",
        "correlation_id__exact",
    )
    search_help_text = "Subject id, actor, request id or correlation id"
    date_hierarchy = "occurred_at"
    ordering = ("-id",)
    named_by: ClassVar = {"organization": "organization_id"}
    fields = (
        "action",
        "subject",
        "actor",
        "organization",
        "occurred",
        "data_text",
        "request_code",
        "correlation_code",
    )
    readonly_fields = (
        "subject",
        "organization",
        "occurred",
        "data_text",
        "request_code",
        "correlation_code",
    )

    def name_of(self, event: AuditEvent) -> str:
        """What was done, and when."""
        return f"{event.action}, {event.occurred_at:%Y-%m-%d %H:%M:%S}"

    @display(description="Subject", ordering="subject_type")
    def subject(self, event: AuditEvent) -> SafeString | str:
        """What it was done to, linked where it has a page."""
        return subjects.reference(event.subject_type, event.subject_id)

    @display(description="Organization", ordering="organization_id")
    def organization(self, event: AuditEvent) -> SafeString | str:
        """Name, linked."""
        name = getattr(event, "organization_name", "")
        return subjects.link("organization", event.organization_id, name)

    @display(description="When", ordering="occurred_at")
    def occurred(self, event: AuditEvent) -> SafeString | str:
        """How long ago."""
        return moment(event.occurred_at)

    @display(description="Data")
    def data_text(self, event: AuditEvent) -> SafeString | str:
        """What was recorded with it."""
        return pretty_json(event.data)

    @display(description="Request id")
    def request_code(self, event: AuditEvent) -> SafeString | str:
        """The request it was done in."""
        return mono(event.request_id)

    @display(description="Correlation id")
    def correlation_code(self, event: AuditEvent) -> SafeString | str:
        """The caller's own id."""
        return mono(event.correlation_id)
