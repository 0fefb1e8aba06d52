"""Deleting open dead letters that nobody will answer any more (D-04)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection, transaction

from jobs import signals
from jobs.errors import ReasonRequired
from jobs.models import FailedJob, FailureGroup, Job
from jobs.payloads import CleanDeadLetters, RunOnDead
from jobs.services.enqueue import enqueue
from jobs.services.schedules.clock import database_now
from jobs.services.tombstones import ENTOMB

BATCH: Final = 1_000
"""Letters in one transaction: some tenths of a second, so that nobody waits for it."""

_DELETE: Final = f"""
WITH cause AS MATERIALIZED (
    SELECT fingerprint FROM jobs_failuregroup
    WHERE fingerprint = %(fingerprint)s AND acknowledged_at IS NOT NULL
        AND kind <> %(owing_kind)s FOR SHARE
),
old AS MATERIALIZED (
    SELECT letter.id FROM jobs_failedjob AS letter JOIN cause USING (fingerprint)
    WHERE letter.state = 'open' AND letter.died_at < %(cutoff)s
    ORDER BY letter.died_at, letter.id LIMIT %(limit)s FOR UPDATE OF letter SKIP LOCKED
),
letters AS (DELETE FROM jobs_failedjob WHERE id IN (SELECT id FROM old) RETURNING *)
{ENTOMB}
"""  # noqa: S608 (no input in it)
_FORESEE: Final = """
SELECT cause.fingerprint, cause.kind, cause.error_class, cause.acknowledged_at IS NOT NULL,
    cause.acknowledged_by, old.letters, old.oldest_at
FROM jobs_failuregroup AS cause CROSS JOIN LATERAL (
    SELECT count(*) AS letters, min(letter.died_at) AS oldest_at FROM jobs_failedjob AS letter
    WHERE letter.fingerprint = cause.fingerprint AND letter.died_at < %(cutoff)s
        AND letter.state = 'open'
) AS old
WHERE old.letters > 0 AND cause.kind <> %(owing_kind)s
ORDER BY old.letters DESC, cause.fingerprint
"""


@dataclass(frozen=True, slots=True)
class OldGroup:
    """A failure group with open letters that are old enough, and whether they would go."""

    fingerprint: str
    kind: str
    error_class: str
    goes: bool
    acknowledged_by: str
    letters: int
    oldest_at: datetime


def foresee_cleanup(*, older_than: timedelta) -> list[OldGroup]:
    """Return what a cleanup would delete and what it would keep, the largest groups first.

    Kept are the groups that nobody has acknowledged. Changes nothing.
    """
    with connection.cursor() as cursor:
        cursor.execute(_FORESEE, _parameters(database_now() - older_than))
        return [OldGroup(*row) for row in cursor.fetchall()]


def start_cleanup(*, days: float, actor: str, reason: str) -> Job:
    """Start the job that deletes what died longer ago, and tell of it in the same transaction.

    Raises: ReasonRequired; ValueError without an actor. Source: D-04.
    """
    if not actor:
        raise ValueError("an operator's decision needs an actor")
    reason = reason.strip()
    if not reason:
        raise ReasonRequired
    with transaction.atomic():
        job = enqueue(CleanDeadLetters(days=days, actor=actor, reason=reason))
        signals.cleanup_started.send(
            sender=FailedJob, days=days, actor=actor, reason=reason, job_id=job.id
        )
    return job


def clean_dead_letters(
    *, older_than: timedelta, actor: str, reason: str, batch: int | None = None
) -> Iterator[int]:
    """Delete open letters that died longer ago than this, batch by batch; yield how many.

    Only those of failure groups that somebody has acknowledged: what nobody knows of is never
    deleted, and neither is a letter that still owes another job its `on_dead`. Each batch is one
    transaction with its tombstones and its audit event, so it may be cut off anywhere and begun
    again, beside itself too. The jobs stay dead; they and their attempts are pruned in their time.

    Raises: ReasonRequired. Source: D-04.
    """
    if not reason.strip():
        raise ReasonRequired
    cutoff = database_now() - older_than
    for fingerprint in _acknowledged():
        while deleted := _clean(fingerprint, cutoff, actor, reason.strip(), batch or BATCH):
            yield deleted


def _clean(fingerprint: str, cutoff: datetime, actor: str, reason: str, limit: int) -> int:
    """Delete one batch of one group, and tell of it in the same transaction."""
    parameters = _parameters(cutoff) | {
        "fingerprint": fingerprint,
        "limit": limit,
        "remover": actor,
    }
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_DELETE, parameters)
            deleted = int(cursor.rowcount)
        if deleted:
            signals.letters_cleaned.send(
                sender=FailedJob,
                actor=actor,
                reason=reason,
                cutoff=cutoff,
                fingerprint=fingerprint,
                letters=deleted,
            )
    return deleted


def _acknowledged() -> list[str]:
    groups = FailureGroup.objects.filter(acknowledged_at__isnull=False).order_by("fingerprint")
    return list(groups.values_list("fingerprint", flat=True))


def _parameters(cutoff: datetime) -> dict[str, Any]:
    return {"cutoff": cutoff, "owing_kind": RunOnDead.KIND}
