"""The end of a run that did not succeed: one statement moves job, attempt and dead letter."""

from __future__ import annotations

import json
import logging
import random
import time
import uuid
from dataclasses import dataclass
from typing import Any, Final

from django.db import OperationalError, connection, transaction

from jobs import signals, telemetry
from jobs.context import Death
from jobs.errors import LeaseLost, UnknownKind
from jobs.ids import public_id
from jobs.models import FailedJob, Job
from jobs.payloads import RunOnDead
from jobs.registry import get_handler
from jobs.services.claim import Lease
from jobs.services.endings import CRASHES_MAX, Ending
from jobs.services.enqueue import enqueue
from jobs.services.throttling import out_of_patience
from jobs.states import JobState, Outcome

logger = logging.getLogger(__name__)

TRIES: Final = 3
CONFLICTS: Final = ("40001", "40P01", "55P03")
"""Serialization failure, deadlock, lock timeout: the whole transaction may be tried again."""

_NEWS: Final = {Outcome.LOST: "job.lost", Outcome.THROTTLED: "job.throttled"}

_NEXT_STATE: Final = f"""
CASE WHEN job.cancel_requested_at IS NOT NULL OR %(outcome)s = 'cancelled' THEN 'cancelled'
    WHEN %(crashed)s > 0 AND job.crashes + job.losses + %(crashed)s >= {CRASHES_MAX} THEN 'dead'
    WHEN %(permanent)s THEN 'dead'
    WHEN %(spent)s > 0 AND job.failures + %(spent)s > cardinality(job.backoff_s) THEN 'dead'
    WHEN %(crashed)s > 0 OR %(outcome)s = 'handed_back' THEN 'pending'
    ELSE 'retry_wait' END
"""
_MINE: Final = """
job.id = %(job_id)s AND job.lease_token = %(token)s AND job.state = 'running'
"""
_FORESEE: Final = f"""
SELECT {_NEXT_STATE}, job.kind, job.payload, job.attempts, job.organization_id
FROM jobs_job AS job WHERE {_MINE}
"""  # noqa: S608 (no input in it)
_MOVE: Final = f"""
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
moved AS (
    UPDATE jobs_job AS job SET state = %(state)s,
        failures = failures + CASE %(state)s WHEN 'cancelled' THEN 0 ELSE %(spent)s END,
        crashes = crashes + CASE %(state)s WHEN 'cancelled' THEN 0 ELSE %(crashed)s END,
        next_attempt_at = CASE
            WHEN %(state)s = 'pending' THEN clock.now
            WHEN %(state)s = 'retry_wait' THEN clock.now + make_interval(
                secs => COALESCE(%(wait_s)s::float8, job.backoff_s[failures + %(spent)s]))
            END,
        finished_at = CASE WHEN %(state)s IN ('dead', 'cancelled') THEN clock.now END,
        lease_owner = '', lease_until = NULL
    FROM clock
    WHERE {_MINE} AND ({_NEXT_STATE}) = %(state)s
        AND (NOT %(expired_only)s OR job.lease_until < clock.now)
    RETURNING job.*, clock.now
), closed AS (
    UPDATE jobs_jobattempt AS attempt SET ended_at = moved.now,
        outcome = CASE WHEN %(state)s = 'cancelled' THEN 'cancelled' ELSE %(outcome)s END,
        retry_at = moved.next_attempt_at, error_class = %(error_class)s, message = %(message)s,
        traceback = %(traceback)s
    FROM moved WHERE attempt.job_id = moved.id AND attempt.token = %(token)s
), buried AS (
    INSERT INTO jobs_failedjob (job_id, kind, queue, organization_id, state, error_class, message,
        traceback, fingerprint, attempts, payload, request_id, correlation_id, died_at,
        resolved_by, reason)
    SELECT id, kind, queue, organization_id, 'open', %(error_class)s, %(message)s, %(traceback)s,
        %(fingerprint)s, attempts, payload, request_id, correlation_id, now, '', ''
    FROM moved WHERE state = 'dead'
    RETURNING id
)
SELECT moved.id, (SELECT id FROM buried) FROM moved
"""  # noqa: S608 (no input in it)


class _Overtaken(Exception):
    """The job has moved since it was read; what `on_dead` wrote is rolled back."""


@dataclass(frozen=True, slots=True)
class _Case:
    """A job about to be released, read without a lock."""

    state: JobState
    kind: str
    payload: dict[str, Any]
    attempts: int
    organization_id: uuid.UUID | None


def release(*, lease: Lease, ending: Ending) -> JobState:
    """End a run that did not succeed and return the job's new state.

    Invariant: exactly one caller per run gets through, the holder of the fence while the job is
    running; job, attempt and dead letter change in one statement with one reading of the clock.
    A job whose cancellation was asked for ends as cancelled, and so does its run, which then counts
    as no failure. A job that was throttled for too long is dead. For a death, `on_dead` runs first
    in the same transaction, so that its locks come before the job's.

    Raises: LeaseLost when the job is no longer held. Source: W-05, W-06, D-01.
    """
    ending = out_of_patience(lease=lease, ending=ending)
    for _ in range(TRIES):
        case = _foresee(lease, ending)
        if case is None:
            break
        if _end(lease, ending, case):
            return case.state
    raise LeaseLost(f"job {lease.job_id.hex} is not held under token {lease.token}")


def _end(lease: Lease, ending: Ending, case: _Case) -> bool:
    if case.state == JobState.DEAD:
        return _bury(lease, ending, case)
    if case.state == JobState.CANCELLED:
        return _cancel(lease, ending, case)
    return _move(lease, ending, case)


def _foresee(lease: Lease, ending: Ending) -> _Case | None:
    """Read where the job will go; the move then holds only if that is still so."""
    with connection.cursor() as cursor:
        cursor.execute(_FORESEE, _parameters(lease, ending))
        row = cursor.fetchone()
    if row is None:
        return None
    state, kind, payload, attempts, organization_id = row
    return _Case(JobState(state), kind, json.loads(payload), attempts, organization_id)


def _move(lease: Lease, ending: Ending, case: _Case) -> bool:
    """Run the one statement, tell the world inside the same transaction."""
    fingerprint = ending.fingerprint(case.kind)
    parameters = _parameters(lease, ending) | {"state": str(case.state), "fingerprint": fingerprint}
    with connection.cursor() as cursor:
        cursor.execute(_MOVE, parameters)
        row = cursor.fetchone()
    if row is None:
        return False
    if case.state == JobState.DEAD:
        letter = FailedJob.objects.get(id=row[1])
        signals.buried.send(sender=FailedJob, failed_job=letter)
    _publish(lease, ending, case)
    return True


def _publish(lease: Lease, ending: Ending, case: _Case) -> None:
    """Tell watchers of an end that is worth a look; most are not (docs/telemetry.md)."""
    name = "job.dead" if case.state == JobState.DEAD else _NEWS.get(ending.outcome)
    if name is not None:
        telemetry.publish(
            name,
            organization_id=case.organization_id,
            job_id=public_id("job", lease.job_id),
            kind=case.kind,
            attempt=case.attempts,
            state=str(case.state),
            error_class=ending.error_class,
        )


def _cancel(lease: Lease, ending: Ending, case: _Case) -> bool:
    """Confirm a cancel; what receivers lock comes before the job, as the lock order wants it."""
    try:
        with transaction.atomic():
            signals.cancelled.send(
                sender=Job,
                job_id=lease.job_id,
                kind=case.kind,
                organization_id=case.organization_id,
                actor="",
            )
            if not _move(lease, ending, case):
                raise _Overtaken
    except _Overtaken:
        return False
    return True


def _bury(lease: Lease, ending: Ending, case: _Case) -> bool:
    """Bury with `on_dead` in the same transaction; if that cannot be done, owe it.

    An `on_dead` that keeps raising must neither keep the job alive nor be forgotten: the death is
    stored without it, together with a job that runs it with retries of its own, and that becomes
    a dead letter in its turn where an operator sees it.
    """
    death = Death(lease.job_id, ending.error_class, ending.message, case.attempts)
    for _ in range(TRIES):
        try:
            with transaction.atomic():
                call_on_dead(case.kind, case.payload, death)
                if not _move(lease, ending, case):
                    raise _Overtaken
            return True
        except _Overtaken:
            return False
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", None) not in CONFLICTS:
                raise
            time.sleep(random.uniform(0.01, 0.1))  # noqa: S311
        except Exception:
            logger.exception("on_dead of %s %s is left to a job", case.kind, lease.job_id.hex)
            break
    with transaction.atomic():
        moved = _move(lease, ending, case)
        if moved:
            owed = RunOnDead(
                job_id=lease.job_id.hex,
                error_class=ending.error_class,
                message=ending.message,
                attempts=case.attempts,
            )
            enqueue(owed, organization_id=case.organization_id)
    return moved


def call_on_dead(kind: str, payload: dict[str, Any], death: Death) -> None:
    """Run the `on_dead` of a kind in the caller's transaction, if it has one."""
    try:
        handler = get_handler(kind)
    except UnknownKind:
        return
    if handler.on_dead is not None:
        handler.on_dead(handler.load(payload), death)


def _parameters(lease: Lease, ending: Ending) -> dict[str, Any]:
    return {
        "job_id": lease.job_id,
        "token": lease.token,
        "outcome": str(ending.outcome),
        "error_class": ending.error_class,
        "message": ending.message,
        "traceback": ending.traceback,
        "spent": ending.spent,
        "crashed": ending.crashed,
        "permanent": ending.permanent,
        "wait_s": ending.wait_s,
        "expired_only": ending.expired_only,
    }
