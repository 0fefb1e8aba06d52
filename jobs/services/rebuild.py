"""What Redis held, made again from PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from django.db.models import F
from redis.exceptions import TimeoutError

from jobs.clients.doorbells import Ring, ring
from jobs.clients.inventory import absent, clear
from jobs.models import Job
from jobs.services.publisher import ring_for
from jobs.states import JobState

BATCH: Final = 1_000
"""Doorbells asked for, and pushed, in one go."""

TRIES: Final = 5
PAUSE_S: Final = 1.0


@dataclass(slots=True)
class Rebuilt:
    """What was done for one queue.

    `queued` rows say that a doorbell is in Redis; `present` were there; `missing` were not, and
    have been pushed unless this was a dry run. `cleared` were thrown away before.
    """

    queue: str
    queued: int = 0
    present: int = 0
    missing: int = 0
    cleared: int = 0


def rebuild_queue(*, queue: str, empty: bool = False, dry_run: bool = False) -> Rebuilt:
    """Push every doorbell of a queue that the rows speak of and Redis does not hold.

    No row is written or locked: a doorbell gets the name it had, and one that is there is left
    alone. So it may run beside workers, schedulers and itself, be cut off anywhere and be run
    again; a job that was claimed meanwhile gets a ring too many, which its claim ignores. With
    `empty` what the queue holds is thrown away first. Rows are read from a cursor that holds no
    transaction open, a million of them take no more memory than a thousand.

    Raises: redis.RedisError; what was pushed stays pushed.
    """
    report = Rebuilt(queue)
    if empty and not dry_run:
        report.cleared = clear(queue)
    rings = _queued(queue)
    while batch := list(islice(rings, BATCH)):
        missing = batch if empty else absent(batch)
        if not dry_run:
            _push(missing)
        report.queued += len(batch)
        report.present += len(batch) - len(missing)
        report.missing += len(missing)
    return report


def _push(missing: list[Ring]) -> None:
    """Push these doorbells.

    Redis has more to do than usual just now, and its clients are short of patience: what was not
    answered in time is asked for, and only what is missing then is pushed again.
    """
    for left in reversed(range(TRIES)):
        try:
            return ring(missing)
        except TimeoutError:
            if not left:
                raise
            time.sleep(PAUSE_S)
            missing = absent(missing)


def _queued(queue: str) -> Iterator[Ring]:
    """Read the doorbells a queue should hold, those that wait longest first."""
    rows = Job.objects.filter(queue=queue, state=JobState.QUEUED.value).order_by(
        "published_at", "id"
    )
    columns = ("id", "queue", "delivery_no", "timeout_s", "kind", F("crashes") + F("losses"))
    for row in rows.values_list(*columns).iterator(BATCH):
        yield ring_for(row)
