"""Read builds and their logs."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Exists, OuterRef, Q, QuerySet

from builds.errors import BuildNotFound
from builds.models import Build, BuildEvent, Project
from builds.states import ACTIVE, BuildState, is_final
from credits.selectors.funds import ClockTimestamp
from jobs.clients.postgres import run
from jobs.clients.rows import fetch
from jobs.models import Job

_OF_KEYS: Final = (
    "SELECT id FROM builds_build WHERE organization_id = %s AND idempotency_key_hash = ANY(%s)"
)
_LINES: Final = """
SELECT line.seq, line.stream, line.text, line.at
  FROM builds_buildlogline AS line JOIN builds_build AS build ON build.id = line.build_id
 WHERE build.organization_id = %s AND build.id = %s AND line.seq > %s ORDER BY line.seq LIMIT %s
"""
_STATE: Final = "SELECT state FROM builds_build WHERE organization_id = %s AND id = %s"
_SLOTS: Final = "SELECT slot FROM builds_build WHERE project_id = %s AND state = ANY(%s)"


@dataclass(frozen=True, slots=True)
class BuildFilter:
    """What builds can be narrowed down by; what is left out or empty excludes nothing.

    `created_since` is inclusive, `created_until` is not.
    """

    project_id: uuid.UUID | None = None
    states: Sequence[str] = ()
    builder: str = ""
    rebuild_of: uuid.UUID | None = None
    created_since: datetime | None = None
    created_until: datetime | None = None

    def conditions(self) -> dict[str, Any]:
        """Return what is given, as conditions on a build's columns."""
        every = {
            "project_id": self.project_id,
            "state__in": self.states,
            "builder": self.builder,
            "rebuild_of_id": self.rebuild_of,
            "queued_at__gte": self.created_since,
            "queued_at__lt": self.created_until,
        }
        return {name: value for name, value in every.items() if value}


EVERY_BUILD: Final = BuildFilter()


def list_builds(
    *, organization_id: uuid.UUID, wanted: BuildFilter = EVERY_BUILD
) -> QuerySet[Build]:
    """Return the organization's builds with their projects, newest first."""
    mine = Build.objects.for_organization(organization_id).select_related("project")
    return mine.filter(**wanted.conditions())


def get_build(*, organization_id: uuid.UUID, build_id: uuid.UUID) -> Build:
    """Return one build. Raises: BuildNotFound, also for another organization's."""
    found = fetch(Build, "WHERE organization_id = %s AND id = %s", (organization_id, build_id))
    if not found:
        raise BuildNotFound
    build = found[0]
    [build.project] = fetch(
        Project, "WHERE organization_id = %s AND id = %s", (organization_id, build.project_id)
    )
    return build


def find_build_of_key(*, organization_id: uuid.UUID, key_hash: str) -> uuid.UUID | None:
    """Return the id of the build that an Idempotency-Key has made."""
    found = run(_OF_KEYS, (organization_id, [key_hash]))
    return found[0][0] if found else None


def find_builds_of_keys(
    *, organization_id: uuid.UUID, key_hashes: Collection[str]
) -> dict[str, Build]:
    """Return the builds that these Idempotency-Keys have made, by the hash of the key."""
    ids = [build_id for (build_id,) in run(_OF_KEYS, (organization_id, list(key_hashes)))]
    if not ids:  # As a rule.
        return {}
    found = Build.objects.for_organization(organization_id).filter(id__in=ids)
    return {str(build.idempotency_key_hash): build for build in found}


def find_deployed_build(*, project_id: uuid.UUID, build_id: uuid.UUID) -> Build | None:
    """Return a build of the project if it was ever deployed."""
    return Build.objects.filter(
        project_id=project_id, id=build_id, state=BuildState.DEPLOYED.value
    ).first()


def list_active_builds(*, project_id: uuid.UUID) -> list[Build]:
    """Return the project's active builds, oldest first."""
    return list(Build.objects.filter(project_id=project_id, state__in=ACTIVE).order_by("id"))


def taken_slots(*, project_id: uuid.UUID) -> set[int]:
    """Return the slots that the project's active builds have."""
    return {slot for (slot,) in run(_SLOTS, (project_id, list(ACTIVE)))}


def list_orphans(*, older_than_s: float, limit: int) -> list[uuid.UUID]:
    """Return active builds whose job has ended or is gone, and has been for some seconds.

    A job that ended within that time may still owe the build its end. Source: B-06.
    """
    recently = ClockTimestamp() - timedelta(seconds=older_than_s)
    jobs = Job.objects.filter(id=OuterRef("job_id"))
    alive = jobs.filter(Q(finished_at__isnull=True) | Q(finished_at__gt=recently))
    found = Build.objects.filter(~Exists(alive), state__in=ACTIVE, queued_at__lte=recently)
    return list(found.order_by("id").values_list("id", flat=True)[:limit])


@dataclass(frozen=True)
class LogLine:
    """One line of a log, as it was stored."""

    seq: int
    stream: str
    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class LogPiece:
    """Lines of a log in their order; `is_complete` when none will ever follow them."""

    items: list[LogLine]
    last_seq: int
    is_complete: bool
    state: str


def read_log(
    *, organization_id: uuid.UUID, build_id: uuid.UUID, after: int, limit: int
) -> LogPiece:
    """Return up to `limit` lines after a sequence number, of a build of the organization.

    The state is read before the lines: a build that is final has all its lines stored.
    """
    state = get_state(organization_id=organization_id, build_id=build_id)
    lines = [LogLine(*row) for row in run(_LINES, (organization_id, build_id, after, limit))]
    return LogPiece(
        items=lines,
        last_seq=lines[-1].seq if lines else after,
        is_complete=is_final(state) and len(lines) < limit,
        state=state,
    )


@dataclass(frozen=True, slots=True)
class EventPiece:
    """Events of a build in their order; `has_more` when there are more right now."""

    items: list[BuildEvent]
    last_seq: int
    has_more: bool
    state: str


def read_events(
    *, organization_id: uuid.UUID, build_id: uuid.UUID, after: int, limit: int
) -> EventPiece:
    """Return up to `limit` events after a sequence number, and the state the build is in.

    Numbers have no gaps and commit in their order: whoever goes on from `last_seq` misses nothing.
    """
    mine = BuildEvent.objects.for_organization(organization_id)
    events = list(mine.filter(build_id=build_id, seq__gt=after).order_by("seq")[: limit + 1])
    kept = events[:limit]
    state = get_state(organization_id=organization_id, build_id=build_id)
    return EventPiece(
        items=kept,
        last_seq=kept[-1].seq if kept else after,
        has_more=len(events) > limit,
        state=state,
    )


def get_state(*, organization_id: uuid.UUID, build_id: uuid.UUID) -> str:
    """Return the state of a build. Raises: BuildNotFound, also for another organization's."""
    found = run(_STATE, (organization_id, build_id))
    if not found:
        raise BuildNotFound
    return str(found[0][0])
