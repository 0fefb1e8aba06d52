"""Deleting what has ended long ago: jobs with their attempts and their answered dead letters."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, cast

from django.db import connection
from django.db.models import Model

from jobs.models import FailedJob, Job, JobAttempt
from jobs.payloads import RunOnDead
from jobs.services.tombstones import ENTOMB

BATCH: Final = 1_000
"""Jobs in one transaction: some hundredths of a second, so that nobody waits for it."""

PRUNER: Final = "schedule:jobs.prune"
"""Who deleted, on a tombstone."""

_START: Final = uuid.UUID(int=0)
_OURS: Final = (JobAttempt, FailedJob)

_CUTOFF: Final = "SELECT clock_timestamp() - make_interval(secs => %s)"
_ENDED: Final = """
SELECT job.id FROM jobs_job AS job
WHERE job.id > %(after)s AND job.id < %(before)s AND job.finished_at < %(cutoff)s
    AND NOT EXISTS (
        SELECT 1 FROM jobs_failedjob AS letter
        WHERE letter.job_id = job.id
            AND (letter.state = 'open' OR letter.resolved_at >= %(cutoff)s)
    )
    AND (job.state <> 'dead' OR NOT EXISTS (
        SELECT 1 FROM jobs_failedjob AS owed
        WHERE owed.state = 'open' AND owed.kind = %(owing_kind)s
            AND owed.payload ->> 'job_id' = replace(job.id::text, '-', '')
    ))
    {unreferenced}
ORDER BY job.id LIMIT %(limit)s
"""
_DELETE: Final = """
WITH ended AS MATERIALIZED ({ended} FOR UPDATE OF job SKIP LOCKED),
attempts AS (
    DELETE FROM jobs_jobattempt WHERE job_id IN (SELECT id FROM ended) RETURNING 1
),
letters AS (
    DELETE FROM jobs_failedjob WHERE job_id IN (SELECT id FROM ended) RETURNING *
),
tombs AS ({tombs}),
gone AS (
    DELETE FROM jobs_job WHERE id IN (SELECT id FROM ended) RETURNING id
)
SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM attempts),
    (SELECT count(*) FROM letters), (SELECT id FROM gone ORDER BY id DESC LIMIT 1)
"""
_COUNT: Final = """
WITH ended AS MATERIALIZED ({ended})
SELECT (SELECT count(*) FROM ended),
    (SELECT count(*) FROM jobs_jobattempt WHERE job_id IN (SELECT id FROM ended)),
    (SELECT count(*) FROM jobs_failedjob WHERE job_id IN (SELECT id FROM ended)),
    (SELECT id FROM ended ORDER BY id DESC LIMIT 1)
"""


@dataclass(frozen=True, slots=True)
class Pruned:
    """Rows that are gone, or would be."""

    jobs: int = 0
    attempts: int = 0
    letters: int = 0

    def __add__(self, other: Pruned) -> Pruned:
        """Count both."""
        return Pruned(
            self.jobs + other.jobs,
            self.attempts + other.attempts,
            self.letters + other.letters,
        )


def prune_jobs(
    *, older_than: timedelta, dry_run: bool = False, batch: int | None = None
) -> Iterator[Pruned]:
    """Delete jobs that ended longer ago than this, batch by batch; yield each batch's counts.

    Each batch is one transaction, so it may be cut off anywhere and begun again, beside itself
    too. Kept whatever their age: jobs that have not ended, those with an open dead letter or one
    answered since, those whose death still owes its `on_dead`, and those that a foreign key of
    any other table points at. An ended job's dedupe key may be used anew once it is gone; of each
    dead letter a tombstone stays.

    Ids are UUIDs of version 7 and are made before a job ends: the walk begins at the oldest and
    needs no index of its own. Source: D-04, issue 3 proof 6 (docs/adr/0010).
    """
    statement = (_COUNT if dry_run else _DELETE).replace("{ended}", _ended())
    statement = statement.replace("{tombs}", ENTOMB)
    cutoff = _cutoff(older_than)
    parameters: dict[str, Any] = {
        "after": _START,
        "before": first_id(cutoff),
        "cutoff": cutoff,
        "owing_kind": RunOnDead.KIND,
        "limit": batch or BATCH,
        "remover": PRUNER,
    }
    while True:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            jobs, attempts, letters, last = cursor.fetchone()
        if last is None:
            return
        yield Pruned(jobs, attempts, letters)
        parameters["after"] = last


def first_id(moment: datetime) -> uuid.UUID:
    """Return the least UUID of version 7 that can be made at or after a moment."""
    milliseconds = int(moment.timestamp() * 1000)
    return uuid.UUID(int=milliseconds << 80)


def _cutoff(older_than: timedelta) -> datetime:
    with connection.cursor() as cursor:
        cursor.execute(_CUTOFF, [older_than.total_seconds()])
        row = cursor.fetchone()
    cutoff: datetime = row[0]
    return cutoff


def _ended() -> str:
    """Return the query for what may go, with every foreign key that other tables hold."""
    references = [
        # Names from our own models, quoted.
        f"AND NOT EXISTS (SELECT 1 FROM {table} AS other WHERE other.{column} = job.id)"  # noqa: S608
        for table, column in referrers()
    ]
    return _ENDED.replace("{unreferenced}", "\n    ".join(references))


def referrers() -> list[tuple[str, str]]:
    """Return (table, column) of each foreign key to a job but those that go with it."""
    quote = connection.ops.quote_name
    found = []
    for relation in Job._meta.related_objects:
        model = cast("type[Model]", relation.related_model)
        if model not in _OURS:
            found.append((quote(model._meta.db_table), quote(relation.field.column)))
    return found
