"""Dead letters that were deleted: what they were, who deleted them and when (D-04)."""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin
from django.utils.safestring import SafeString
from unfold.decorators import display

from jobs.admin import subjects
from jobs.admin.base import ReadOnlyAdmin
from jobs.admin.display import badge, moment, mono
from jobs.ids import public_id
from jobs.models import LetterTombstone


@admin.register(LetterTombstone)
class LetterTombstoneAdmin(ReadOnlyAdmin):
    """Where a job went that is no longer there."""

    list_display = ("what", "job_code", "organization", "died", "last_state", "removed")
    list_display_links = ("what",)
    search_fields = ("request_id__exact", "fingerprint__exact")
    search_help_text = "Job id, request id or fingerprint"
    search_ids: ClassVar = {"job": ("job_id",), "org": ("organization_id",)}
    ordering = ("-removed_at", "-letter_id")
    sortable_by = ()
    named_by: ClassVar = {"organization": "organization_id"}
    fields = (
        *("kind", "queue", "error_class", "job_code", "organization", "attempts", "died"),
        *("last_state", "resolved_by", "reason", "removed", "removed_by"),
        *("fingerprint_code", "request_code", "payload_hash"),
    )
    readonly_fields = (
        *("job_code", "organization", "died", "last_state", "removed"),
        *("fingerprint_code", "request_code", "payload_hash"),
    )

    @display(description="Dead letter", header=True)
    def what(self, stone: LetterTombstone) -> list[str]:
        """Kind, and below it the class of the error."""
        return [stone.kind, stone.error_class.rpartition(".")[2]]

    @display(description="Job")
    def job_code(self, stone: LetterTombstone) -> SafeString | str:
        """Its id; the job itself may have been pruned."""
        return mono(public_id("job", stone.job_id))

    @display(description="Organization")
    def organization(self, stone: LetterTombstone) -> SafeString | str:
        """Name, linked."""
        name = getattr(stone, "organization_name", "")
        return subjects.link("organization", stone.organization_id, name)

    @display(description="Died")
    def died(self, stone: LetterTombstone) -> SafeString | str:
        """How long ago."""
        return moment(stone.died_at)

    @display(description="Was")
    def last_state(self, stone: LetterTombstone) -> SafeString:
        """What had been answered."""
        return badge(stone.state)

    @display(description="Deleted")
    def removed(self, stone: LetterTombstone) -> SafeString | str:
        """How long ago."""
        return moment(stone.removed_at)

    @display(description="Fingerprint")
    def fingerprint_code(self, stone: LetterTombstone) -> SafeString | str:
        """The group it belonged to."""
        return mono(stone.fingerprint)

    @display(description="Request id")
    def request_code(self, stone: LetterTombstone) -> SafeString | str:
        """The request that made the job, linked to what was recorded in it."""
        return subjects.trail(stone.request_id, mono(stone.request_id))

    @display(description="SHA-256 of the payload")
    def payload_hash(self, stone: LetterTombstone) -> SafeString | str:
        """Of the payload as the database wrote it."""
        return mono(stone.payload_sha256)
