"""What a handler is given beside its payload."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from django.db import connection

from jobs.payloads import Payload

P = TypeVar("P", bound=Payload)


class Hold(Protocol):
    """The engine's side of one run: the lease, the fence and the interruptions."""

    @property
    def stop(self) -> threading.Event: ...

    def check(self) -> None: ...

    def remaining_s(self) -> float: ...

    def progress(self, report: dict[str, Any]) -> None: ...

    def assert_held(self) -> None: ...

    def complete(self, result: dict[str, Any] | None) -> None: ...


@dataclass(frozen=True, slots=True)
class Death:
    """How a job died; given to its `on_dead`."""

    job_id: uuid.UUID
    error_class: str
    message: str
    attempts: int


@dataclass(frozen=True, slots=True)
class BatchItem(Generic[P]):
    """One job of a batch. `attempt` counts the runs of the job from 1."""

    job_id: uuid.UUID
    attempt: int
    organization_id: uuid.UUID | None
    request_id: str
    correlation_id: str
    payload: P


@dataclass(frozen=True, slots=True)
class JobContext:
    """One run of one job.

    `attempt` counts the runs of the job from 1, also across a requeue. `deadline` is when the
    engine interrupts the run. Network calls belong outside transactions and need timeouts of
    their own: an interruption is raised between two Python instructions, not inside a C call.
    """

    job_id: uuid.UUID
    attempt: int
    organization_id: uuid.UUID | None
    request_id: str
    correlation_id: str
    deadline: datetime
    hold: Hold

    @property
    def stop(self) -> threading.Event:
        """Set when the run is to end: cancel, timeout, lost lease or a stopping worker."""
        return self.hold.stop

    def check(self) -> None:
        """Return at once, or raise what the run was interrupted for.

        Raises: JobTimedOut, JobCancelled, LeaseLost, HandedBack.
        """
        self.hold.check()

    def remaining_s(self) -> float:
        """Return the seconds left until the deadline; never negative."""
        return self.hold.remaining_s()

    def rest(self) -> None:
        """Give this thread's database connection back until its next query.

        Call it before a long wait for anything else: jobs that wait share few connections.
        Inside a transaction it does nothing.
        """
        if not connection.in_atomic_block:
            connection.close()

    def progress(self, report: dict[str, Any]) -> None:
        """Publish how far the job is; the last report replaces the one before.

        Call it outside transactions, and not many times a second: each is a durable write.
        Raises: LeaseLost when another worker owns the job.
        """
        self.hold.progress(report)

    def assert_held(self) -> None:
        """Lock the job's row under the fence until the caller's transaction ends.

        For effects before the last one: call it inside `atomic()`, after every other lock (lock
        order: project, account, build, reservation, job). Raises: LeaseLost; nothing was written.
        """
        self.hold.assert_held()

    def complete(self, result: dict[str, Any] | None = None) -> None:
        """Mark the job succeeded in the transaction of the handler's last effects (W-04).

        Call it inside `atomic()`, as the last statement. Either both are stored or neither.
        A handler that never calls it is completed by the engine when it returns.
        Raises: LeaseLost when another worker owns the job.
        """
        self.hold.complete(result)
