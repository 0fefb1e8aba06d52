"""Builds on the overview: what is under way, how the last day went (B-02)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from django.db.models import Count
from django.urls import reverse

from builds.models import Build
from builds.states import BuildState
from jobs.admin import subjects
from jobs.admin.display import count, cut, moment
from jobs.admin.panels import Panel, Reading, register

COUNTED: Final = 10_000
"""The last day is that of so many of the newest builds at most."""
SHOWN: Final = 4


def read() -> Reading:
    """Read the panel: the last day's builds by state, and those that failed last."""
    since = datetime.now(UTC) - timedelta(days=1)
    newest = Build.objects.filter(queued_at__gte=since).order_by("-queued_at")
    day = Build.objects.filter(pk__in=newest.values("pk")[:COUNTED]).order_by()
    counts = dict(day.values_list("state").annotate(builds=Count("pk")))
    is_exact = sum(counts.values()) < COUNTED
    figures = [
        {
            "state": str(state),
            "builds": count(counts.get(state, 0), is_exact=is_exact),
            "href": f"{reverse('admin:builds_build_changelist')}?state={state}&age=1d",
            "is_bad": state == BuildState.FAILED and bool(counts.get(state)),
        }
        for state in BuildState
    ]
    failed = day.filter(state=BuildState.FAILED).select_related("project").order_by("-queued_at")
    return Reading({"figures": figures, "failed": [_line(build) for build in failed[:SHOWN]]})


def _line(build: Build) -> dict[str, object]:
    """Write a build that failed."""
    return {
        "key": build.pk.hex,
        "link": subjects.link("build", build.pk, build.project.slug),
        "error": build.error_code,
        "message": cut(build.error_message),
        "ended": moment(build.finished_at),
    }


register(
    Panel(
        name="builds",
        title="Builds, last 24 hours",
        icon="deployed_code",
        model="builds.build",
        template="admin/overview/builds.html",
        read=read,
        place=40,
    )
)
