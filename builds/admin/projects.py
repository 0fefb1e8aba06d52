"""Projects, read-only."""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import display

from builds.models import Project
from builds.selectors.builds import list_active_builds
from jobs.admin import subjects
from jobs.admin.base import ReadOnlyAdmin
from jobs.admin.display import moment, mono
from jobs.admin.filters import OrganizationFilter
from jobs.ids import public_id

PREFIX = "proj"
subjects.register(subjects.Subject("project", prefix=PREFIX, model="builds.project"))


@admin.register(Project)
class ProjectAdmin(ReadOnlyAdmin):
    """Websites, which build of each is live and which ones are active."""

    list_display = ("slug", "organization_link", "site", "live", "max_active", "created")
    list_filter: ClassVar = (OrganizationFilter,)
    search_fields = ("slug", "name", "site_name")
    search_help_text = "Slug, name, site or id"
    search_ids: ClassVar = {PREFIX: ("pk",), "org": ("organization_id",)}
    ordering = ("-id",)
    list_select_related = ("organization",)
    fields = (
        "name",
        "slug",
        "public",
        "organization_link",
        "site",
        "live",
        "slots",
        "newest_wins",
        "default_builder",
        "revision",
        "created",
        "updated",
    )
    readonly_fields = ("public", "organization_link", "site", "live", "slots", "created", "updated")

    @display(description="Id")
    def public(self, project: Project) -> SafeString | str:
        """Id as clients know it."""
        return mono(public_id(PREFIX, project.pk))

    @display(description="Organization", ordering="organization__name")
    def organization_link(self, project: Project) -> SafeString | str:
        """Whose it is."""
        return subjects.link("organization", project.organization_id, project.organization.name)

    @display(description="Site", ordering="site_name")
    def site(self, project: Project) -> SafeString | str:
        """Where it is served, once something is live."""
        path = f"/sites/{project.site_name}/"
        if project.live_build_id is None:
            return path
        return format_html('<a class="fs-link" href="{}" rel="noopener">{}</a>', path, path)

    @display(description="Live build")
    def live(self, project: Project) -> SafeString | str:
        """The build that is served."""
        return subjects.link("build", project.live_build_id)

    @display(description="Slots")
    def slots(self, project: Project) -> SafeString | str:
        """Which build takes which of its places."""
        taken = {build.slot: build for build in list_active_builds(project_id=project.pk)}
        return format_html_join(
            " · ",
            "{}: {}",
            (
                (slot + 1, subjects.link("build", taken[slot].pk) if slot in taken else "free")
                for slot in range(project.max_active)
            ),
        )

    @display(description="Created", ordering="created_at")
    def created(self, project: Project) -> SafeString | str:
        """When it was made."""
        return moment(project.created_at)

    @display(description="Updated")
    def updated(self, project: Project) -> SafeString | str:
        """When it was last edited."""
        return moment(project.updated_at)
