"""Jobs that clients ask for: known by their keys, and not too many at a time (W-10, W-15)."""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.db import connection, transaction

from jobs.errors import DedupeKeyInUse, JobsInFlightLimit
from jobs.ids import public_id
from jobs.models import Job
from jobs.payloads import Payload
from jobs.registry import Handler
from jobs.selectors.jobs import stored_key
from jobs.selectors.kinds import offered_handlers
from jobs.services.enqueue import enqueue
from jobs.signals import in_flight_max_asked

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


def enqueue_for_client(
    *,
    handler: Handler,
    payload: dict[str, Any],
    organization_id: uuid.UUID,
    dedupe_key: str | None = None,
) -> tuple[Job, bool]:
    """Store a job that a client asked for; return it, and whether it is a new one.

    Dedupe keys are the organization's own. A key that has a job already returns that job, also
    where there is no room for another: asking again costs nothing.

    Raises: InvalidPayload; DedupeKeyInUse when the key's job is not the one described, and
    JobsInFlightLimit when the organization has as many as it may; nothing has changed then.
    Source: W-10, W-15.
    """
    wanted = handler.load(payload)
    key = None
    if dedupe_key is not None:
        key = stored_key(organization_id=organization_id, dedupe_key=dedupe_key)
    with transaction.atomic():
        usage = usage_held(organization_id=organization_id)
        existing = None if key is None else Job.objects.filter(dedupe_key=key).first()
        if existing is not None:
            _assert_same(existing, wanted, dedupe_key)
            return existing, False
        if not usage.has_room:
            raise _refusal(organization_id, usage)
        return enqueue(wanted, organization_id=organization_id, dedupe_key=key), True


def usage_held(*, organization_id: uuid.UUID) -> Usage:
    """Return an organization's usage and keep clients from adding to it until the transaction ends.

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
    """Return how many jobs an organization may have in flight.

    Its own number where an app above knows one, else JOBS_IN_FLIGHT_MAX. Read at each admission,
    so that a change decides about the next job; jobs that are in flight already stay.
    """
    answers = in_flight_max_asked.send(sender=Job, organization_id=organization_id)
    own = [number for _, number in answers if number is not None]
    return int(min(own)) if own else int(settings.JOBS_IN_FLIGHT_MAX)


def _refusal(organization_id: uuid.UUID, usage: Usage) -> JobsInFlightLimit:
    """Return the refusal for an organization without room: its usage, and when to come back.

    Retry-After is the mean time between two ends of its jobs in the last minute, in whole seconds
    from 1 to 60; 60 when none has ended.
    """
    asked: dict[str, Any] = {"organization": organization_id, "recent": RECENT}
    with connection.cursor() as cursor:
        cursor.execute(_ENDED_LATELY, asked | {"window_s": float(WINDOW_S)})
        (ended,) = cursor.fetchone()
    return JobsInFlightLimit(
        limit=usage.limit,
        in_flight=usage.in_flight,
        retry_after_s=math.ceil(WINDOW_S / max(1, ended)),
    )


def _assert_same(job: Job, wanted: Payload, dedupe_key: str | None) -> None:
    """Say what is different when a key's job is not the one described. Raises: DedupeKeyInUse."""
    described = wanted.to_json()
    fields = sorted(described.keys() | job.payload.keys())
    unlike = [name for name in fields if described.get(name) != job.payload.get(name)]
    differs = [f"payload.{name}" for name in unlike]
    if job.kind != wanted.KIND:
        differs = ["kind"]
    if differs:
        told = {
            "jobId": public_id("job", job.id),
            "kind": job.kind,
            "state": job.state,
            "createdAt": job.created_at,
            "differs": differs,
        }
        raise DedupeKeyInUse(
            f"The key {dedupe_key!r} is that of another job, which differs in"
            f" {', '.join(differs)}.",
            data=told,
        )


def _offered_kinds() -> list[str]:
    """Return the names of all kinds offered to clients, former ones included."""
    return [name for each in offered_handlers() for name in (each.kind, *each.aliases)]
