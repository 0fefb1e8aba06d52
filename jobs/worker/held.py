"""What the handler of a transactional kind sees of its run."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

from jobs.context import JobContext
from jobs.services.claim import Claimed
from jobs.worker.guard import Guard


class HeldRun:
    """The engine's side of a context whose lease is the row lock."""

    def __init__(self, held: Claimed, timeout_s: float) -> None:
        self.guard = Guard()
        self.result: dict[str, Any] | None = None
        self._held = held
        self._ends_at = time.monotonic() + timeout_s

    @property
    def stop(self) -> threading.Event:
        """Set when the run is to end."""
        return self.guard.stop

    def check(self) -> None:
        """Raise what the run was interrupted for."""
        self.guard.check()

    def remaining_s(self) -> float:
        """Seconds to the deadline."""
        return max(0.0, self._ends_at - time.monotonic())

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
        held = self._held
        return JobContext(
            job_id=held.job_id,
            attempt=held.attempt,
            organization_id=held.organization_id,
            request_id=held.request_id,
            correlation_id=held.correlation_id,
            deadline=held.started_at + timedelta(seconds=held.timeout_s),
            hold=self,
        )
