"""What is struck: every way a job comes, runs, ends and comes back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.db import OperationalError, connection, transaction

from jobs.errors import Refusal
from jobs.models import FailedJob, Job
from jobs.registry import schedule
from jobs.services.cancel import cancel_job
from jobs.services.dead_letters import requeue
from jobs.services.enqueue import enqueue, enqueue_many
from jobs.services.schedules import sync_schedules
from jobs.services.sweep import Sweeper
from tests.drills.models import Effect
from tests.drills.shapes import (
    Mark,
    MarkApart,
    MarkAtDeath,
    MarkByCall,
    MarkInOne,
    MarkLater,
    MarkPlainly,
    MarkTogether,
    MarkUnlessRecalled,
)
from tests.faults.matrix.points import EVERY, KILL
from tests.faults.matrix.verdicts import Expected

Prepare = Callable[[str, dict[str, Any]], None]
Act = Callable[[str], None]

PASSES: Final = 3
WORKER: Final = ("rqworker", "--burst", "--skip-checks")
QUICK: Final = {"JOB_LEASE_RENEWAL_S": 0.1}
"""A monitor that beats during a short run."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that can be struck.

    `prepare` makes a case's job, `ready` is SQL that brings it into position just before `act`:
    a command of manage.py or a call. With `die_first` a worker has run the prepared jobs already.
    With `again` the caller, who may have been told of an error, acts once more when all has
    healed. `meanwhile` names what goes on at the same time: a `sweep`, or a second `ring`. With
    `wiped` Redis loses everything before the healing. `roles` begin the names of the threads
    whose boundaries are struck; of a `costly` operation, which starts processes, fewer are.
    """

    name: str
    prepare: Prepare
    expected: Expected
    act: tuple[str, ...] | Act = WORKER
    again: bool = False
    ready: tuple[str, ...] = ()
    die_first: bool = False
    faults: tuple[str, ...] = EVERY
    roles: tuple[str, ...] = ("",)
    costly: bool = False
    meanwhile: str = ""
    wiped: bool = False
    settings: dict[str, Any] = field(default_factory=dict)


# --- making --------------------------------------------------------------------------------------


def _one(kind: type[Mark], **fields: Any) -> Prepare:
    def prepare(key: str, world: dict[str, Any]) -> None:
        enqueue(kind.model_validate({"key": key} | fields))

    return prepare


def _by_call(key: str, world: dict[str, Any]) -> None:
    enqueue(MarkByCall(key=key, url=world["url"]))


def _together(key: str, world: dict[str, Any]) -> None:
    with transaction.atomic():
        for number in range(4):
            enqueue(MarkTogether(key=f"{key}/{number}", fail_times=99 if number == 2 else 0))


def _in_a_line(key: str, world: dict[str, Any]) -> None:
    """One after the other in one thread, the end of each with the beginning of the next."""
    with transaction.atomic():
        for number in range(4):
            enqueue(MarkInOne(key=f"{key}/{number}", fail_times=99 if number == 1 else 0))


def _waiting(key: str, world: dict[str, Any]) -> None:
    """Due, but never rung for: as after a COMMIT whose author died, or a push that failed."""
    enqueue(Mark(key=key), delay_s=0.001)


def _nothing(key: str, world: dict[str, Any]) -> None:
    return None


def _scheduled(key: str, world: dict[str, Any]) -> None:
    """Declared by every process of the batch already."""


def declare_schedules(keys: list[str]) -> None:
    """Declare a schedule for each key, far from due."""
    for key in keys:
        schedule(key, Mark(key=key), every_s=timedelta(days=7).total_seconds())


# --- acting --------------------------------------------------------------------------------------


def _enqueue(key: str) -> None:
    """Business and its job in one transaction."""
    with transaction.atomic():
        Effect.objects.create(key=f"{key}:business", attempt=0)
        enqueue(Mark(key=key))


def _enqueue_many(key: str) -> None:
    with transaction.atomic():
        Effect.objects.create(key=f"{key}:business", attempt=0)
        enqueue_many([MarkTogether(key=f"{key}/{number}") for number in range(3)])


def _sweep(key: str) -> None:
    if not Sweeper(lost_after_s=settings.JOB_LOST_AFTER_S).run():
        raise RuntimeError("a step of the sweep failed")


def sweep() -> None:
    """Do what a scheduler does in its first passes: what is missing once may be on its way.

    A row that somebody holds may keep it from its schedules.
    """
    try:
        with contextlib.suppress(OperationalError):
            sync_schedules()
        sweeper = Sweeper(lost_after_s=settings.JOB_LOST_AFTER_S)
        if not all([sweeper.run() for _ in range(PASSES)]):
            raise RuntimeError("a step of the sweep failed")
    finally:
        connection.close()


def _requeue(key: str) -> None:
    letter = FailedJob.objects.filter(payload__key=key).earliest("id")
    requeue(failed_job_id=letter.id, actor="operator")


def _cancel(key: str) -> None:
    cancel_job(job_id=Job.objects.get(payload__key=key).id)


def perform(operation: Operation, key: str) -> None:
    """Run an act that is a call; the caller has installed hooks."""
    assert callable(operation.act)
    try:
        operation.act(key)
    finally:
        connection.close()


# --- positions -----------------------------------------------------------------------------------

ORPHANED: Final = (
    """UPDATE jobs_job SET state = 'running', attempts = attempts + 1,
        lease_token = lease_token + 1, lease_owner = 'gone', published_at = NULL,
        lease_until = clock_timestamp() - interval '1 s', started_at = clock_timestamp(),
        next_attempt_at = NULL, crashes = {crashes}
    WHERE payload->>'key' = %(key)s""",
    """INSERT INTO jobs_jobattempt (job_id, number, token, worker, outcome, started_at,
        error_class, message, traceback)
    SELECT id, attempts, lease_token, 'gone', 'running', started_at, '', '', ''
    FROM jobs_job WHERE payload->>'key' = %(key)s""",
)
"""Running, its worker gone and its lease over."""
EARLY: Final = (
    """UPDATE jobs_job SET next_attempt_at = clock_timestamp() + interval '1 day',
        state = 'pending', published_at = NULL
    WHERE payload->>'key' = %(key)s""",
)
"""Not due for long, but a doorbell of old is there."""
DUE: Final = (
    """UPDATE jobs_schedule SET next_run_at = clock_timestamp() - interval '1 s'
    WHERE name = %(key)s""",
)


def orphaned(crashes: int) -> tuple[str, ...]:
    """Return the SQL for a job that has lost this many workers before the one it loses now."""
    return tuple(statement.replace("{crashes}", str(crashes)) for statement in ORPHANED)


OPERATIONS: Final = {
    each.name: each
    for each in (
        Operation("own", _one(Mark), Expected()),
        Operation("plain", _one(MarkPlainly), Expected()),
        Operation("call", _by_call, Expected(calls=1)),
        Operation("flaky", _one(Mark, fail_times=1), Expected(failures=1)),
        Operation("renewed", _one(Mark, sleep_s=0.35), Expected(), settings=QUICK),
        Operation(
            "doomed",
            _one(MarkAtDeath, fail_times=99),
            Expected(states=("dead",), failures=1),
        ),
        Operation(
            "recalled",
            _one(MarkUnlessRecalled),
            Expected(effects={}, states=("cancelled",)),
            settings=QUICK,
        ),
        Operation("enqueue", _nothing, Expected(business=True), act=_enqueue),
        Operation("publish", _waiting, Expected(), act=_sweep),
        Operation("rescue", _one(Mark), Expected(crashes=1), act=_sweep, ready=orphaned(0)),
        Operation(
            "bury",
            _one(MarkAtDeath, fail_times=99),
            Expected(states=("dead",), crashes=3),
            act=_sweep,
            ready=orphaned(2),
        ),
        Operation(
            "requeue",
            _one(MarkAtDeath, fail_times=1),
            Expected(effects={"": 1, ":alive": 1}, failures=1, letters=1),
            act=_requeue,
            again=True,
            die_first=True,
        ),
        Operation(
            "cancel",
            _one(Mark),
            Expected(states=("cancelled", "succeeded"), acknowledged="cancelled"),
            act=_cancel,
        ),
        Operation("schedule", _scheduled, Expected(), act=_sweep, ready=DUE),
        Operation("one", _one(MarkInOne), Expected()),
        Operation("later", _one(MarkLater), Expected()),
        Operation("later_flaky", _one(MarkLater, fail_times=1), Expected(failures=1)),
        Operation("one_flaky", _one(MarkInOne, fail_times=1), Expected(failures=1)),
        Operation(
            "line",
            _in_a_line,
            Expected(
                effects={"/0": 1, "/2": 1, "/3": 1},
                parts={"/0": "succeeded", "/1": "dead", "/2": "succeeded", "/3": "succeeded"},
                failures=6,
            ),
            settings={"WORKER_LANES": 1},
        ),
        Operation(
            "together",
            _together,
            Expected(
                effects={"/0": 1, "/1": 1, "/3": 1},
                parts={"/0": "succeeded", "/1": "succeeded", "/2": "dead", "/3": "succeeded"},
                failures=2,
            ),
        ),
        Operation(
            "enqueue_many",
            _nothing,
            Expected(
                effects={"/0": 1, "/1": 1, "/2": 1},
                parts={"/0": "succeeded", "/1": "succeeded", "/2": "succeeded"},
                business=True,
            ),
            act=_enqueue_many,
        ),
        Operation("apart", _one(MarkApart), Expected(), roles=("child", "slot"), costly=True),
        Operation(
            "rung_twice", _one(Mark, sleep_s=0.6), Expected(), meanwhile="ring", faults=(KILL,)
        ),
        Operation("early", _one(Mark), Expected(early=True), ready=EARLY, faults=()),
        Operation(
            "patient",
            _one(Mark, sleep_s=3.6),
            Expected(),
            settings={"JOB_LEASE_S": 1.6, "JOB_LEASE_RENEWAL_S": 0.3},
            faults=(),
            meanwhile="sweep",
        ),
        Operation("wiped", _one(Mark), Expected(), wiped=True, faults=(KILL,)),
    )
}


def repeat(operation: Operation, keys: list[str]) -> None:
    """Act once more for each case; being refused is an answer."""
    assert callable(operation.act)
    for key in keys:
        with contextlib.suppress(Refusal):
            operation.act(key)
    connection.close()


def prepare(operation: Operation, keys: list[str], world: dict[str, Any]) -> None:
    """Make the jobs of these cases."""
    if operation.name == "schedule":
        sync_schedules()
    for key in keys:
        operation.prepare(key, world)
    connection.close()
