"""Fetches, read-only: which repository became a source, and why one did not."""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin
from django.utils.safestring import SafeString
from unfold.decorators import display

from builds.admin.filters import ErrorCodeFilter
from builds.models import Fetch
from jobs.admin import subjects
from jobs.admin.base import ReadOnlyAdmin
from jobs.admin.display import badge, cut, duration, moment, mono, pretty_json
from jobs.admin.filters import AgeFilter, OrganizationFilter, StateFilter
from jobs.ids import public_id

PREFIX = "fetch"
SHOWN_OF_COMMIT = 8
subjects.register(subjects.Subject("fetch", prefix=PREFIX, model="builds.fetch"))


@admin.register(Fetch)
class FetchAdmin(ReadOnlyAdmin):
    """Sources that come from git repositories."""

    list_display = (
        "project_link",
        "repository",
        "ref_text",
        "organization_link",
        "short_commit",
        "created",
        "took",
        "error_code",
        "state_badge",
    )
    list_display_links = ("repository",)
    list_filter: ClassVar = (StateFilter, ErrorCodeFilter, OrganizationFilter, AgeFilter)
    search_fields = ("url", "commit__exact", "project__slug")
    search_help_text = "Fetch, project, job or source id; repository, commit or project"
    search_ids: ClassVar = {
        PREFIX: ("pk",),
        "proj": ("project_id",),
        "job": ("job_id",),
        "src": ("source_id",),
        "org": ("organization_id",),
    }
    ordering = ("-id",)
    list_select_related = ("organization", "project")
    fieldsets = (
        (
            "Fetch",
            {
                "fields": (
                    ("public", "state_badge"),
                    ("project_link", "organization_link"),
                    "address",
                    ("ref_text", "commit_code"),
                    ("source_link", "job_link"),
                    ("error_code", "error_message"),
                    "left_out_text",
                )
            },
        ),
        ("Who and when", {"fields": (("created", "created_by"), ("finished", "took"))}),
    )
    readonly_fields = (
        "public",
        "state_badge",
        "project_link",
        "organization_link",
        "address",
        "ref_text",
        "commit_code",
        "source_link",
        "job_link",
        "left_out_text",
        "created",
        "finished",
        "took",
    )

    def name_of(self, fetch: Fetch) -> str:
        """Which website, and when it was asked for."""
        return f"{fetch.project.slug}, {fetch.created_at:%Y-%m-%d %H:%M}"

    # --- Columns ---

    @display(description="Project", ordering="project__slug")
    def project_link(self, fetch: Fetch) -> SafeString | str:
        """Which website it is for."""
        return subjects.link("project", fetch.project_id, fetch.project.slug)

    @display(description="Repository", ordering="url")
    def repository(self, fetch: Fetch) -> str:
        """Where it comes from; the scheme is always the same."""
        return cut(fetch.url.removeprefix("https://"))

    @display(description="Ref")
    def ref_text(self, fetch: Fetch) -> str:
        """What was asked for."""
        return fetch.ref or "default"

    @display(description="Organization", ordering="organization__name")
    def organization_link(self, fetch: Fetch) -> SafeString | str:
        """Whose it is."""
        return subjects.link("organization", fetch.organization_id, fetch.organization.name)

    @display(description="Commit")
    def short_commit(self, fetch: Fetch) -> SafeString | str:
        """What was found there."""
        return mono((fetch.commit or "")[:SHOWN_OF_COMMIT])

    @display(description="Asked for", ordering="created_at")
    def created(self, fetch: Fetch) -> SafeString | str:
        """When it was asked for."""
        return moment(fetch.created_at)

    @display(description="Took")
    def took(self, fetch: Fetch) -> str:
        """From there to its end."""
        return duration(fetch.created_at, fetch.finished_at)

    @display(description="State", ordering="state")
    def state_badge(self, fetch: Fetch) -> SafeString:
        """Where it stands."""
        return badge(fetch.state)

    # --- Details ---

    @display(description="Fetch")
    def public(self, fetch: Fetch) -> SafeString | str:
        """Id as clients know it."""
        return mono(public_id(PREFIX, fetch.pk))

    @display(description="Repository")
    def address(self, fetch: Fetch) -> SafeString | str:
        """Where it comes from, in full."""
        return mono(fetch.url)

    @display(description="Commit")
    def commit_code(self, fetch: Fetch) -> SafeString | str:
        """What was found there, in full."""
        return mono(fetch.commit or "")

    @display(description="Source")
    def source_link(self, fetch: Fetch) -> SafeString | str:
        """What has become of it."""
        return subjects.link("source", fetch.source_id)

    @display(description="Job")
    def job_link(self, fetch: Fetch) -> SafeString | str:
        """The work behind it."""
        return subjects.link("job", fetch.job_id)

    @display(description="Left out")
    def left_out_text(self, fetch: Fetch) -> SafeString | str:
        """What of the commit could not be in an archive."""
        return pretty_json(fetch.left_out) if fetch.left_out else "-"

    @display(description="Ended")
    def finished(self, fetch: Fetch) -> SafeString | str:
        """When it was ready or had failed."""
        return moment(fetch.finished_at)
