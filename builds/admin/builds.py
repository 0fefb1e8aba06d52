"""Builds, read-only: where each stands, how it got there, what its builder said."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from builds.admin.filters import ErrorCodeFilter
from builds.models import Build, BuildEvent, BuildLogLine
from jobs.admin import subjects
from jobs.admin.base import ReadOnlyAdmin
from jobs.admin.display import badge, duration, moment, mono, pretty_json
from jobs.admin.filters import AgeFilter, OrganizationFilter, StateFilter
from jobs.ids import public_id

PREFIX = "build"
LOG_LINES = 200
EVENTS = 200
subjects.register(subjects.Subject("build", prefix=PREFIX, model="builds.build"))


class QueuedFilter(AgeFilter):
    """By when it was submitted."""

    title = "time of submission"
    column = "queued_at"


@admin.register(Build)
class BuildAdmin(ReadOnlyAdmin):
    """Builds of every organization."""

    list_display = (
        "project_link",
        "public",
        "organization_link",
        "builder",
        "credits",
        "queued",
        "took",
        "error_code",
        "state_badge",
    )
    list_display_links = ("public",)
    list_filter: ClassVar = (StateFilter, ErrorCodeFilter, OrganizationFilter, QueuedFilter)
    search_fields = ("project__slug", "request_id__exact", "correlation_id__exact")
    search_help_text = "Build, project, job, source, reservation or request id; project"
    search_ids: ClassVar = {
        PREFIX: ("pk",),
        "proj": ("project_id",),
        "job": ("job_id",),
        "src": ("source_id",),
        "res": ("reservation_id",),
        "org": ("organization_id",),
    }
    ordering = ("-id",)
    list_select_related = ("organization", "project")
    fieldsets = (
        (
            "Build",
            {
                "fields": (
                    ("public", "state_badge"),
                    ("project_link", "organization_link"),
                    ("source_link", "builder"),
                    ("rebuild_of_link", "superseded_by_link"),
                    ("job_link", "reservation_link"),
                    "slot_text",
                    ("credits", "took"),
                    ("artifact", "site"),
                    ("error_code", "error_message"),
                    "digest",
                    "options_text",
                )
            },
        ),
        (
            "Who and when",
            {
                "fields": (
                    ("queued", "created_by"),
                    ("started", "moved_by"),
                    ("finished", "cancel_requested_by"),
                    ("request_code", "correlation_code"),
                )
            },
        ),
    )
    readonly_fields = (
        "public",
        "state_badge",
        "site",
        "options_text",
        "credits",
        "artifact",
        "digest",
        "organization_link",
        "project_link",
        "source_link",
        "rebuild_of_link",
        "superseded_by_link",
        "slot_text",
        "job_link",
        "reservation_link",
        "queued",
        "started",
        "finished",
        "took",
        "request_code",
        "correlation_code",
    )
    change_form_outer_before_template = "admin/builds/build/progress.html"

    def name_of(self, build: Build) -> str:
        """Which website, and when it was submitted."""
        return f"{build.project.slug}, {build.queued_at:%Y-%m-%d %H:%M}"

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Add the events and the end of the log."""
        build: Build = context["original"]
        lines = BuildLogLine.objects.filter(build_id=build.pk).order_by("-seq")[:LOG_LINES]
        events = BuildEvent.objects.filter(build_id=build.pk).order_by("-seq")[:EVENTS]
        context.update(
            title=f"{build.project.slug} · {public_id(PREFIX, build.pk)}",
            subtitle=None,
            log_tail=list(reversed(lines)),
            public_id=public_id(PREFIX, build.pk),
            events=[
                (event, badge(event.state), moment(event.at), facts(event.data))
                for event in reversed(events)
            ],
        )
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    # --- Columns ---

    @display(description="Build", ordering="id")
    def public(self, build: Build) -> SafeString | str:
        """Id as clients know it."""
        return mono(public_id(PREFIX, build.pk))

    @display(description="Project", ordering="project__slug")
    def project_link(self, build: Build) -> SafeString | str:
        """Which website it builds."""
        return subjects.link("project", build.project_id, build.project.slug)

    @display(description="Organization", ordering="organization__name")
    def organization_link(self, build: Build) -> SafeString | str:
        """Whose it is."""
        return subjects.link("organization", build.organization_id, build.organization.name)

    @display(description="Credits", ordering="charged_credits")
    def credits(self, build: Build) -> str:
        """Charged once it is deployed, estimated until then."""
        if build.charged_credits is None:
            return f"estimate {build.estimated_credits:,}"
        return f"{build.charged_credits:,} of {build.estimated_credits:,}"

    @display(description="Submitted", ordering="queued_at")
    def queued(self, build: Build) -> SafeString | str:
        """When it was submitted."""
        return moment(build.queued_at)

    @display(description="Took")
    def took(self, build: Build) -> str:
        """From its start to its end."""
        return duration(build.started_at, build.finished_at)

    @display(description="State", ordering="state")
    def state_badge(self, build: Build) -> SafeString:
        """Where it stands."""
        return badge(build.state)

    # --- Details ---

    @display(description="Site")
    def site(self, build: Build) -> SafeString | str:
        """Where its pages are served."""
        if build.artifact_sha256 is None:
            return "-"
        path = f"/sites/{build.project.site_name}/@{public_id(PREFIX, build.pk)}/"
        live = " (live)" if build.project.live_build_id == build.pk else ""
        return format_html('<a class="fs-link" href="{}" rel="noopener">{}</a>{}', path, path, live)

    @display(description="Options")
    def options_text(self, build: Build) -> SafeString | str:
        """What its builder was told."""
        return pretty_json(build.options)

    @display(description="Artifact")
    def artifact(self, build: Build) -> str:
        """How much it published."""
        if build.artifact_bytes is None:
            return "-"
        return f"{build.artifact_files} files, {filesizeformat(build.artifact_bytes)}"

    @display(description="Artifact SHA-256")
    def digest(self, build: Build) -> SafeString | str:
        """What it published."""
        return mono(build.artifact_sha256 or "")

    @display(description="Source")
    def source_link(self, build: Build) -> SafeString | str:
        """What it was built from."""
        return subjects.link("source", build.source_id)

    @display(description="Does again")
    def rebuild_of_link(self, build: Build) -> SafeString | str:
        """The ended build that it repeats."""
        return subjects.link("build", build.rebuild_of_id)

    @display(description="Superseded by")
    def superseded_by_link(self, build: Build) -> SafeString | str:
        """The newer build for which it was cancelled."""
        return subjects.link("build", build.superseded_by_id)

    @display(description="Slot")
    def slot_text(self, build: Build) -> str:
        """Its place among the active builds of its project."""
        return "-" if build.slot is None else f"{build.slot + 1} of {build.max_active}"

    @display(description="Job")
    def job_link(self, build: Build) -> SafeString | str:
        """The work behind it."""
        return subjects.link("job", build.job_id)

    @display(description="Reservation")
    def reservation_link(self, build: Build) -> SafeString | str:
        """The credits held for it."""
        return subjects.link("reservation", build.reservation_id)

    @display(description="Started")
    def started(self, build: Build) -> SafeString | str:
        """When a worker began."""
        return moment(build.started_at)

    @display(description="Finished")
    def finished(self, build: Build) -> SafeString | str:
        """When it came to its final state."""
        return moment(build.finished_at)

    @display(description="Request id")
    def request_code(self, build: Build) -> SafeString | str:
        """The request that submitted it."""
        return mono(build.request_id)

    @display(description="Correlation id")
    def correlation_code(self, build: Build) -> SafeString | str:
        """The caller's own id."""
        return mono(build.correlation_id)


def facts(data: dict[str, Any]) -> str:
    """Write what belongs to an event on one line."""
    return ", ".join(f"{name} {value}" for name, value in data.items())
