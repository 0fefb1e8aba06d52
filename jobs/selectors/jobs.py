"""Jobs as their organization sees them."""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import QuerySet

from jobs.errors import JobNotFound
from jobs.ids import public_id
from jobs.models import Job
from jobs.states import FINISHED

LOOKED_AT: Final = 10_000
"""So many jobs at most are looked at for one page of a narrowed list."""

SKEW: Final = timedelta(hours=1)
"""Ids are made by this process's clock and times by the database's; they agree within this."""


@dataclass(frozen=True, slots=True)
class JobFilter:
    """What a list of jobs is narrowed down to; what is None or empty narrows nothing."""

    states: tuple[str, ...] = ()
    kind: str | None = None
    queue: str | None = None
    created_since: datetime | None = None
    created_until: datetime | None = None
    dedupe_key: str | None = None
    request_id: str | None = None

    @property
    def is_of_unfinished(self) -> bool:
        """Tell whether only jobs that have not ended are wanted."""
        return bool(self.states) and not set(self.states) & set(FINISHED)


def stored_key(*, organization_id: uuid.UUID, dedupe_key: str) -> str:
    """Return a client's dedupe key as it is stored: no other organization's, nor the system's."""
    return f"client:{organization_id.hex}:{dedupe_key}"


def client_key(job: Job) -> str | None:
    """Return the dedupe key that a client gave; None where there is none, or the system's own."""
    if job.organization_id is None or job.dedupe_key is None:
        return None
    prefix = stored_key(organization_id=job.organization_id, dedupe_key="")
    return job.dedupe_key.removeprefix(prefix) if job.dedupe_key.startswith(prefix) else None


def find_page(
    *, organization_id: uuid.UUID, wanted: JobFilter, before: uuid.UUID | None, limit: int
) -> tuple[list[Job], uuid.UUID | None]:
    """Return one page of an organization's jobs, newest first, and where the next one begins.

    No page costs more than looking at LOOKED_AT jobs: one whose matches are rarer than that is
    short, even empty, and still says where to go on. Payload, result and progress are not read.
    """
    mine = _between(Job.objects.for_organization(organization_id), wanted)
    if before is not None:
        mine = mine.filter(id__lt=before)
    found = _narrowed(mine, organization_id, wanted)
    edge = None if _is_indexed(wanted) else _edge(mine)
    if edge is not None:
        found = found.filter(id__gte=edge)
    rows = list(found.defer("payload", "result", "progress").order_by("-id")[: limit + 1])
    if len(rows) > limit:
        edge = rows[limit - 1].id
    return rows[:limit], edge


def get_job(*, organization_id: uuid.UUID, job_id: uuid.UUID) -> Job:
    """Return one job; its attempts are read when they are asked for.

    Raises: JobNotFound, also for another organization's job: the two look the same.
    """
    job = Job.objects.for_organization(organization_id).filter(id=job_id).first()
    if job is None:
        raise JobNotFound(f"There is no job {public_id('job', job_id)}.")
    return job


def etag_of(job: Job, version: str) -> str:
    """Return the entity tag of all that is told about a job by this version of the system.

    Attempts are written in the statements that change their job's row, so the row is enough. It
    is a weak tag: it promises the same content, not the same bytes.
    """
    state = (job.id.hex, version, job.state, job.attempts, job.failures, job.lease_token)
    times = (job.next_attempt_at, job.cancel_requested_at, job.started_at, job.finished_at)
    text = json.dumps([*state, *map(str, times), job.progress])
    return f'W/"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def _between(jobs: QuerySet[Job], wanted: JobFilter) -> QuerySet[Job]:
    """Narrow down by time: by the ids, which an index knows, and by the exact time."""
    if wanted.created_since is not None:
        jobs = jobs.filter(id__gte=_first_id(wanted.created_since, -SKEW))
        jobs = jobs.filter(created_at__gte=wanted.created_since)
    if wanted.created_until is not None:
        jobs = jobs.filter(id__lt=_first_id(wanted.created_until, SKEW))
        jobs = jobs.filter(created_at__lt=wanted.created_until)
    return jobs


def _narrowed(jobs: QuerySet[Job], organization_id: uuid.UUID, wanted: JobFilter) -> QuerySet[Job]:
    given = {"kind": wanted.kind, "queue": wanted.queue, "request_id": wanted.request_id}
    if wanted.dedupe_key is not None:
        given["dedupe_key"] = stored_key(
            organization_id=organization_id, dedupe_key=wanted.dedupe_key
        )
    jobs = jobs.filter(**{name: value for name, value in given.items() if value is not None})
    if wanted.states:
        jobs = jobs.filter(state__in=wanted.states)
    return jobs.filter(finished_at__isnull=True) if wanted.is_of_unfinished else jobs


def _is_indexed(wanted: JobFilter) -> bool:
    """Tell whether an index leads to what is wanted, so that nothing else is looked at."""
    if wanted.dedupe_key is not None or wanted.is_of_unfinished:
        return True
    return not (wanted.states or wanted.kind or wanted.queue or wanted.request_id)


def _edge(jobs: QuerySet[Job]) -> uuid.UUID | None:
    """Return the last id that is looked at for this page; None when all of them are."""
    ids = jobs.order_by("-id").values_list("id", flat=True)
    return next(iter(ids[LOOKED_AT - 1 : LOOKED_AT]), None)


def _first_id(moment: datetime, slack: timedelta) -> uuid.UUID:
    """Return an id below all those made from `slack` after the moment on (RFC 9562, UUID 7)."""
    milliseconds = int((moment.timestamp() + slack.total_seconds()) * 1000)
    return uuid.UUID(int=min(max(milliseconds, 0), 2**48 - 1) << 80)
