"""Sources, read-only: an archive is its digest."""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin
from django.template.defaultfilters import filesizeformat
from django.utils.safestring import SafeString
from unfold.decorators import display

from builds.models import Source
from jobs.admin import subjects
from jobs.admin.base import ReadOnlyAdmin
from jobs.admin.display import moment, mono
from jobs.admin.filters import AgeFilter, OrganizationFilter
from jobs.ids import public_id

PREFIX = "src"
subjects.register(subjects.Subject("source", prefix=PREFIX, model="builds.source"))


@admin.register(Source)
class SourceAdmin(ReadOnlyAdmin):
    """Uploaded archives."""

    list_display = ("public", "project_link", "organization_link", "kind", "size", "created")
    list_filter: ClassVar = (OrganizationFilter, AgeFilter)
    search_fields = ("sha256__startswith", "project__slug")
    search_help_text = "Id, digest or project"
    search_ids: ClassVar = {
        PREFIX: ("pk",),
        "proj": ("project_id",),
        "org": ("organization_id",),
    }
    ordering = ("-id",)
    list_select_related = ("organization", "project")
    fields = (
        "public",
        "project_link",
        "organization_link",
        "kind",
        "size",
        "unpacked",
        "file_count",
        "digest",
        "created",
    )
    readonly_fields = (
        "public",
        "project_link",
        "organization_link",
        "size",
        "unpacked",
        "digest",
        "created",
    )

    def name_of(self, source: Source) -> str:
        """Which website, and which archive."""
        return f"{source.project.slug}, {source.sha256[:12]}"

    @display(description="Source", ordering="id")
    def public(self, source: Source) -> SafeString | str:
        """Id as clients know it."""
        return mono(public_id(PREFIX, source.pk))

    @display(description="Project", ordering="project__slug")
    def project_link(self, source: Source) -> SafeString | str:
        """Which website it is of."""
        return subjects.link("project", source.project_id, source.project.slug)

    @display(description="Organization", ordering="organization__name")
    def organization_link(self, source: Source) -> SafeString | str:
        """Whose it is."""
        return subjects.link("organization", source.organization_id, source.organization.name)

    @display(description="Size", ordering="size_bytes")
    def size(self, source: Source) -> str:
        """Size of the archive."""
        return filesizeformat(source.size_bytes)

    @display(description="Unpacked")
    def unpacked(self, source: Source) -> str:
        """Size of its files."""
        return filesizeformat(source.unpacked_bytes)

    @display(description="SHA-256")
    def digest(self, source: Source) -> SafeString | str:
        """What the archive is."""
        return mono(source.sha256)

    @display(description="Uploaded", ordering="created_at")
    def created(self, source: Source) -> SafeString | str:
        """When it came."""
        return moment(source.created_at)
