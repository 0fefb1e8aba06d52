"""The states a job, an attempt and a dead letter can be in (pure)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class JobState(StrEnum):
    """Where a job stands. The moves between states: docs/architecture.md, "Job"."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    RETRY_WAIT = "retry_wait"
    SUCCEEDED = "succeeded"
    DEAD = "dead"
    CANCELLED = "cancelled"


WAITING: Final = (JobState.PENDING, JobState.QUEUED, JobState.RETRY_WAIT)
"""May be claimed and may be cancelled at once; `next_attempt_at` says from when it may run."""

FINISHED: Final = (JobState.SUCCEEDED, JobState.DEAD, JobState.CANCELLED)
"""Nothing runs any more; `finished_at` is set. Only an operator's requeue leaves `dead`."""


class Shape(StrEnum):
    """How a kind is run; chosen where it is declared (docs/engine.md, "Three shapes").

    A *stepwise* run is claimed and leased, works outside any transaction and completes under its
    fence. A *transactional* run is one transaction from claim to completion: the row lock is its
    lease. A *batch* is many jobs of a kind in one such transaction.
    """

    STEPWISE = "stepwise"
    TRANSACTIONAL = "transactional"
    BATCH = "batch"


class Outcome(StrEnum):
    """How one attempt ended."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LOST = "lost"
    HANDED_BACK = "handed_back"
    SNOOZED = "snoozed"
    THROTTLED = "throttled"
    CANCELLED = "cancelled"


class LetterState(StrEnum):
    """What an operator has decided about a dead letter."""

    OPEN = "open"
    REQUEUED = "requeued"
    DISCARDED = "discarded"


class RedriveAction(StrEnum):
    """The answer that a redrive gives to each of its dead letters."""

    REQUEUE = "requeue"
    DISCARD = "discard"


class RedriveState(StrEnum):
    """Where a redrive stands; only `proposed` and `running` move on (docs/console.md)."""

    PROPOSED = "proposed"
    RUNNING = "running"
    FINISHED = "finished"
    STOPPED = "stopped"
    ABORTED = "aborted"
