"""How many jobs an organization may have in flight (W-10)."""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.db import connection

from jobs.errors import JobsInFlightLimit
from jobs.registry import all_handlers

LOCK_SPACE: Final = 0x466C6167
"""The first half of the advisory lock's key; the second is a hash of the organization's id."""

WINDOW_S: Final = 60
"""How far back the speed of an organization's jobs is looked at, and the longest Retry-After."""
RECENT: Final = 100
"""At most so many of its last jobs are looked at."""

_LOCK: Final = "SELECT pg_advisory_xact_lock(%(space)s, hashtext(%(organization)s::text))"
_COUNT: Final = """
SELECT count(*) FROM jobs_job
WHERE organization_id = %(organization)s AND finished_at IS NULL AND kind = ANY(%(kinds)s)
"""
_ENDED_LATELY: Final = """
SELECT count(*) FROM (
    SELECT finished_at FROM jobs_job
    WHERE organization_id = %(organization)s ORDER BY id DESC LIMIT %(recent)s
) AS recent
WHERE finished_at > clock_timestamp() - make_interval(secs => %(window_s)s)
"""


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of its allowance an organization uses."""

    in_flight: int
    limit: int

    @property
    def has_room(self) -> bool:
        """Tell whether one more job may be accepted."""
        return self.in_flight < self.limit


def usage_held(*, organization_id: uuid.UUID) -> Usage:
    """Return an organization's usage and keep others from adding to it until the transaction ends.

    Invariant: of concurrent callers for one organization the next one counts when the one before
    has committed or rolled back, so the limit is never passed by callers who insert only where
    there is room, in the same transaction. One lock per organization, taken before any job's row;
    it is waited for up to the transaction's lock timeout.

    What counts is every unfinished job of a kind offered to clients, whoever made it. Work that
    the system makes for itself (builds, schedules, requeued dead letters) does not ask here and
    is never refused.
    Raises: RuntimeError outside a transaction.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("the count holds inside a transaction only")
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, {"space": LOCK_SPACE, "organization": organization_id})
        # A statement of its own: its snapshot is taken under the lock and sees all that those
        # who held it before have committed.
        cursor.execute(_COUNT, {"organization": organization_id, "kinds": _offered_kinds()})
        (in_flight,) = cursor.fetchone()
    return Usage(in_flight, limit_of(organization_id))


def limit_of(organization_id: uuid.UUID) -> int:
    """Return how many jobs an organization may have in flight: the same number for all."""
    del organization_id
    return int(settings.JOBS_IN_FLIGHT_MAX)


def refusal_for(*, organization_id: uuid.UUID, usage: Usage) -> JobsInFlightLimit:
    """Return the refusal for an organization without room: its usage, and when to come back.

    Retry-After is the mean time between two ends of its jobs in the last minute, in whole seconds
    from 1 to 60; 60 when none has ended.
    """
    asked: dict[str, Any] = {
        "organization": organization_id,
        "recent": RECENT,
        "window_s": float(WINDOW_S),
    }
    with connection.cursor() as cursor:
        cursor.execute(_ENDED_LATELY, asked)
        (ended,) = cursor.fetchone()
    return JobsInFlightLimit(
        limit=usage.limit,
        in_flight=usage.in_flight,
        retry_after_s=math.ceil(WINDOW_S / max(1, ended)),
    )


def _offered_kinds() -> list[str]:
    """Return the names of all kinds offered to clients, former ones included."""
    offered = [each for each in all_handlers() if each.scope]
    return [name for each in offered for name in (each.kind, *each.aliases)]
