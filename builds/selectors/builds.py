"""Read builds and their logs."""

from __future__ import annotations

import statistics
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from django.db.models import QuerySet

from builds.errors import BuildNotFound
from builds.models import Build, BuildLogLine
from builds.states import ACTIVE, BuildState, is_final

DEFAULT_DURATION_S: Final = 30.0
RECENT_BUILDS: Final = 10


def list_builds(
    *, organization_id: uuid.UUID, project_id: uuid.UUID | None = None, state: str | None = None
) -> QuerySet[Build]:
    """Return the organization's builds with their projects, newest first."""
    found = Build.objects.select_related("project").filter(organization_id=organization_id)
    if project_id is not None:
        found = found.filter(project_id=project_id)
    return found if state is None else found.filter(state=state)


def get_build(*, organization_id: uuid.UUID, build_id: uuid.UUID) -> Build:
    """Return one build. Raises: BuildNotFound, also for another organization's."""
    build = list_builds(organization_id=organization_id).filter(id=build_id).first()
    if build is None:
        raise BuildNotFound
    return build


def find_build_of_key(*, organization_id: uuid.UUID, key_hash: str) -> Build | None:
    """Return the build that an Idempotency-Key has made."""
    return Build.objects.filter(
        organization_id=organization_id, idempotency_key_hash=key_hash
    ).first()


def find_deployed_build(*, project_id: uuid.UUID, build_id: uuid.UUID) -> Build | None:
    """Return a build of the project if it was ever deployed."""
    return Build.objects.filter(
        project_id=project_id, id=build_id, state=BuildState.DEPLOYED.value
    ).first()


def list_active_builds(*, project_id: uuid.UUID) -> list[Build]:
    """Return the project's active builds, oldest first."""
    return list(Build.objects.filter(project_id=project_id, state__in=ACTIVE).order_by("id"))


def estimate_wait_s(*, project_id: uuid.UUID, active: list[Build]) -> int:
    """Return when the first active build of a project is expected to end.

    The median duration of the project's latest deployed builds, less the time the build has
    been at it; DEFAULT_DURATION_S where there are none. Units: whole seconds from now, 1 at least.
    Source: B-04.
    """
    finished = Build.objects.filter(project_id=project_id, state=BuildState.DEPLOYED.value)
    spans = finished.order_by("-id").values_list("started_at", "finished_at")[:RECENT_BUILDS]
    durations = [(end - start).total_seconds() for start, end in spans if start and end]
    expected_s = statistics.median(durations) if durations else DEFAULT_DURATION_S
    now = datetime.now(UTC)
    spent_s = max(
        ((now - (build.started_at or now)).total_seconds() for build in active), default=0.0
    )
    return max(1, round(expected_s - spent_s))


@dataclass(frozen=True, slots=True)
class LogPiece:
    """Lines of a log in their order; `is_complete` when none will ever follow them."""

    items: list[BuildLogLine]
    last_seq: int
    is_complete: bool
    state: str


def read_log(*, build_id: uuid.UUID, after: int, limit: int) -> LogPiece:
    """Return up to `limit` lines after a sequence number.

    The state is read before the lines: a build that is final has all its lines stored.
    """
    state = Build.objects.values_list("state", flat=True).get(id=build_id)
    lines = list(
        BuildLogLine.objects.filter(build_id=build_id, seq__gt=after).order_by("seq")[:limit]
    )
    return LogPiece(
        items=lines,
        last_seq=lines[-1].seq if lines else after,
        is_complete=is_final(state) and len(lines) < limit,
        state=state,
    )
