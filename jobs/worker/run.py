"""One run of one job, as its handler and the monitor see it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from django.db import connection, transaction

from jobs.context import Hold, JobContext
from jobs.services.claim import Claimed, Lease
from jobs.services.complete import complete, hold, store_progress
from jobs.worker.guard import Guard


class _Run:
    """What every run has: a guard, a deadline, and a context for its handler."""

    def __init__(self, claimed: Claimed) -> None:
        self.claimed = claimed
        self.guard = Guard()
        self.ends_at = time.monotonic() + claimed.timeout_s

    @property
    def stop(self) -> threading.Event:
        """Set when the run is to end."""
        return self.guard.stop

    def check(self) -> None:
        """Raise what the run was interrupted for."""
        self.guard.check()

    def remaining_s(self) -> float:
        """Seconds to the deadline."""
        return max(0.0, self.ends_at - time.monotonic())

    def _context(self, hold: Hold) -> JobContext:
        claimed = self.claimed
        return JobContext(
            job_id=claimed.job_id,
            attempt=claimed.attempt,
            organization_id=claimed.organization_id,
            request_id=claimed.request_id,
            correlation_id=claimed.correlation_id,
            deadline=claimed.started_at + timedelta(seconds=claimed.timeout_s),
            hold=hold,
        )


class Run(_Run):
    """A leased run: its effects and its end are fenced."""

    def __init__(self, claimed: Claimed, on_stuck: Callable[[], None] | None = None) -> None:
        super().__init__(claimed)
        self.on_stuck = on_stuck
        self.is_stuck = False
        self.lease = Lease(claimed.job_id, claimed.token)
        self.completing = False
        self.completed = False

    def progress(self, report: dict[str, Any]) -> None:
        """Store a report under the fence."""
        store_progress(lease=self.lease, report=report)

    def assert_held(self) -> None:
        """Lock the row under the fence."""
        _require_transaction()
        hold(lease=self.lease)

    def complete(self, result: dict[str, Any] | None) -> None:
        """Move the job to succeeded in the caller's transaction."""
        _require_transaction()
        # From here on the fence alone decides: an interruption could only hit the commit.
        self.completing = True
        complete(lease=self.lease, result=result)
        transaction.on_commit(partial(setattr, self, "completed", True))

    def context(self) -> JobContext:
        """Return what the handler is given."""
        return self._context(self)


class HeldRun(_Run):
    """A run in one transaction: its lease is the row lock."""

    def __init__(self, held: Claimed) -> None:
        super().__init__(held)
        self.result: dict[str, Any] | None = None

    def progress(self, report: dict[str, Any]) -> None:
        """Refuse: nobody could see it before the end. Raises: RuntimeError."""
        raise RuntimeError("a transactional job cannot report progress before it ends")

    def assert_held(self) -> None:
        """Return at once: the row is locked until the end."""

    def complete(self, result: dict[str, Any] | None) -> None:
        """Keep the result; the run completes when the handler returns."""
        self.result = result

    def context(self) -> JobContext:
        """Return what the handler is given."""
        return self._context(self)


def _require_transaction() -> None:
    if not connection.in_atomic_block:
        raise RuntimeError("call this inside transaction.atomic(), with the effects it is about")
