"""What a doorbell sets off: claim the job, run its handler, record the end."""

from __future__ import annotations

import logging
import uuid
from functools import partial
from typing import Any, Final

from django.db import DataError, connection

from jobs.errors import (
    GiveUp,
    HandedBack,
    InvalidPayload,
    JobCancelled,
    LeaseLost,
    Snooze,
    UnknownKind,
)
from jobs.registry import get_handler
from jobs.services import endings
from jobs.services.claim import claim
from jobs.services.complete import complete, has_completed
from jobs.services.endings import Ending
from jobs.services.release import release
from jobs.trace import Trace, bind_trace
from jobs.worker.database import discard, is_lost, is_starved, persist
from jobs.worker.monitor import Monitor
from jobs.worker.run import Run
from jobs.worker.watchdog import Watchdog

logger = logging.getLogger(__name__)

STARVED_S: Final = 1.0
"""When a job that got no connection of its worker's pool comes back; it is not its fault."""


class Executor:
    """Runs jobs in the threads that call it, with one watchdog and one monitor for all."""

    def __init__(self, worker: str, lease_s: float, renewal_s: float) -> None:
        self.worker = worker
        self.lease_s = lease_s
        self.watchdog = Watchdog()
        self.monitor = Monitor(lease_s, renewal_s)
        self.closing = False

    def start(self) -> None:
        """Start the two threads."""
        self.watchdog.start()
        self.monitor.start()

    def end(self) -> None:
        """Stop the two threads."""
        self.watchdog.end()
        self.monitor.end()

    def run(self, job_id: uuid.UUID) -> bool:
        """Run a job if it is there to be run; return whether it was.

        Never raises for what the handler does. When the end cannot be recorded the lease runs
        out, and the sweeper takes the job back.
        """
        claimed = persist(partial(claim, job_id=job_id, worker=self.worker, lease_s=self.lease_s))
        connection.close()
        if claimed is None:
            return False
        run = Run(claimed)
        self.monitor.add(run)
        if self.closing:
            run.guard.interrupt(HandedBack("the worker is stopping"))
        trace = Trace(claimed.request_id, claimed.correlation_id)
        try:
            with bind_trace(trace):
                self._record(run, *self._perform(run))
        finally:
            self.monitor.remove(run)
            connection.close()
        return True

    def _perform(self, run: Run) -> tuple[Any, Ending | None]:
        """Call the handler; return its result, or how the run ended without one."""
        claimed = run.claimed
        try:
            handler = get_handler(claimed.kind)
            payload = handler.load(claimed.payload)
        except (UnknownKind, InvalidPayload) as error:
            return None, endings.failed(error, permanent=True, spent=0)
        self.watchdog.watch(run.guard, claimed.timeout_s)
        value, raised = run.guard.run(partial(handler.function, payload, run.context()))
        if run.guard.stop.is_set() or (raised is not None and is_lost(raised)):
            discard()
        else:
            connection.close()
        return (value, None) if raised is None else (None, _ending(raised))

    def _record(self, run: Run, result: Any, ending: Ending | None) -> None:
        """Write the end of the run, once the database takes it."""
        if run.completed:
            return
        try:
            if ending is None:
                ending = _complete(run, result)
            if ending is not None:
                state = persist(partial(release, lease=run.lease, ending=ending))
                logger.info(
                    "job %s (%s) attempt %d: %s, now %s",
                    run.lease.job_id.hex,
                    run.claimed.kind,
                    run.claimed.attempt,
                    ending.outcome,
                    state,
                )
        except LeaseLost:
            if not persist(partial(_has_completed, run)):
                logger.warning("job %s: a late end was refused", run.lease.job_id.hex)
        except Exception:
            logger.exception("job %s: its end is left to the sweeper", run.lease.job_id.hex)


def execute(job_id: str) -> bool:
    """Run the job a doorbell names: the only function RQ may call."""
    if _current is None:
        raise RuntimeError("jobs run in `manage.py rqworker` only")
    return _current.run(uuid.UUID(hex=job_id))


def install(executor: Executor | None) -> None:
    """Make this the executor of the process."""
    global _current
    _current = executor


_current: Executor | None = None


def _complete(run: Run, result: Any) -> Ending | None:
    """Store the result; one that cannot be stored is the handler's failure."""
    try:
        if not (result is None or isinstance(result, dict)):
            raise TypeError(f"a handler returns a dict or None, not {type(result).__name__}")
        persist(partial(complete, lease=run.lease, result=result))
    except (TypeError, ValueError, DataError) as error:
        return endings.failed(error)
    return None


def _has_completed(run: Run) -> bool:
    return has_completed(job_id=run.lease.job_id, token=run.lease.token)


def _ending(error: BaseException) -> Ending:
    """Say what an error means for the job."""
    match error:
        case Snooze():
            return endings.snoozed(error.delay_s, error.reason)
        case JobCancelled():
            return endings.cancelled(error)
        case HandedBack():
            return endings.handed_back()
        case GiveUp():
            return endings.failed(error, permanent=True)
    if is_lost(error):
        return endings.lost(f"the database went away: {error}")
    if is_starved(error):
        return endings.snoozed(STARVED_S, "no database connection was free")
    return endings.failed(error)
