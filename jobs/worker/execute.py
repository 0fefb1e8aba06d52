"""A leased run: claim the job, call its handler, record the end."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from django.db import DataError, connection, transaction

from jobs.context import BatchItem
from jobs.errors import (
    GiveUp,
    HandedBack,
    InvalidPayload,
    JobCancelled,
    LeaseLost,
    Snooze,
    Throttled,
    UnknownKind,
)
from jobs.payloads import Payload
from jobs.registry import Handler, get_handler
from jobs.services import endings
from jobs.services.claim import Claimed
from jobs.services.complete import has_completed
from jobs.services.endings import Ending
from jobs.services.heartbeats import WorkerFacts
from jobs.services.release import release
from jobs.states import Outcome, Shape
from jobs.trace import Trace, bind_trace
from jobs.worker.claims import Claims
from jobs.worker.completer import Completer
from jobs.worker.database import discard, is_lost, is_starved, persist
from jobs.worker.monitor import Monitor
from jobs.worker.run import Run
from jobs.worker.watchdog import Watchdog

logger = logging.getLogger(__name__)

STARVED_S: Final = 1.0
"""When a job that got no connection of its worker's pool comes back; it is not its fault."""


class Executor:
    """Runs jobs in the threads that call it, with one watchdog and one monitor for all."""

    def __init__(
        self,
        worker: str,
        lease_s: float,
        renewal_s: float,
        facts: Callable[[], WorkerFacts] | None = None,
        heartbeat_s: float = 30.0,
    ) -> None:
        self.worker = worker
        self.lease_s = lease_s
        self.claims = Claims(worker, lease_s)
        self.watchdog = Watchdog()
        self._completer = Completer()
        self.monitor = Monitor(lease_s, renewal_s, facts, heartbeat_s)
        self.closing = False

    def start(self) -> None:
        """Start the two threads."""
        self.watchdog.start()
        self.monitor.start()

    def end(self) -> None:
        """Stop the two threads."""
        self.watchdog.end()
        self.monitor.end()

    def run(self, job_id: uuid.UUID, on_stuck: Callable[[], None] | None = None) -> bool:
        """Run a job of any shape, whatever has happened to it, if it is there to be run.

        Returns whether it was.
        """
        claimed = persist(partial(self.claims.take, [job_id], suspects=True))
        connection.close()
        for job in claimed:
            self.run_claimed(job, on_stuck)
        return bool(claimed)

    def run_claimed(self, claimed: Claimed, on_stuck: Callable[[], None] | None = None) -> None:
        """Run a job that was claimed for this worker.

        Never raises for what the handler does. When the end cannot be recorded the lease runs
        out, and the sweeper takes the job back. `on_stuck` is called, in another thread, when the
        run is long past its timeout and cannot be interrupted.
        """
        run = Run(claimed, on_stuck)
        self.monitor.add(run)
        if self.closing:
            run.guard.interrupt(HandedBack("the worker is stopping"))
        try:
            with bind_trace(Trace(claimed.request_id, claimed.correlation_id)):
                self._record(run, *self._perform(run))
        finally:
            self.monitor.remove(run)
            self.claims.end(claimed)
            connection.close()

    def _perform(self, run: Run) -> tuple[Any, Ending | None]:
        """Call the handler; return its result, or how the run ended without one."""
        claimed = run.claimed
        try:
            handler = get_handler(claimed.kind)
            payload = handler.load_json(claimed.payload)
        except (UnknownKind, InvalidPayload) as error:
            return None, endings.failed(error, permanent=True, spent=0)
        self.watchdog.watch(run.guard, claimed.timeout_s)
        value, raised = run.guard.run(partial(_call, handler, payload, run))
        if run.guard.is_stopped or (raised is not None and is_lost(raised)):
            discard()
        else:
            connection.close()
        return (value, None) if raised is None else (None, ending_of(raised))

    def _record(self, run: Run, result: Any, ending: Ending | None) -> None:
        """Write the end of the run, once the database takes it."""
        if run.completed:
            return
        try:
            if ending is None:
                ending = _complete(self._completer, run, result)
            if ending is not None:
                state = persist(partial(release, lease=run.lease, ending=ending))
                tell_ending(run.claimed, ending, str(state))
        except LeaseLost:
            if not persist(partial(_has_completed, run)):
                logger.warning("job %s: a late end was refused", run.lease.job_id.hex)
        except Exception:
            logger.exception("job %s: its end is left to the sweeper", run.lease.job_id.hex)


def execute(job_id: str) -> None:
    """Do nothing: what a doorbell names for RQ, so that no other worker runs it.

    Raises: RuntimeError, whoever calls it.
    """
    raise RuntimeError(f"job {job_id} runs in `manage.py rqworker` only")


def result_of(value: Any) -> str | None:
    """Return what a handler returned as JSON text. Raises: TypeError, ValueError."""
    if not (value is None or isinstance(value, dict)):
        raise TypeError(f"a handler returns a dict or None, not {type(value).__name__}")
    return None if value is None else json.dumps(value)


def item_of(claimed: Claimed, payload: Payload) -> BatchItem[Payload]:
    """Describe one job of a batch to its handler."""
    return BatchItem(
        claimed.job_id,
        claimed.attempt,
        claimed.organization_id,
        claimed.request_id,
        claimed.correlation_id,
        payload,
    )


def ending_of(error: BaseException) -> Ending:
    """Say what an error means for the job."""
    match error:
        case Snooze():
            return endings.snoozed(error.delay_s, error.reason)
        case Throttled():
            return endings.throttled(error.retry_after_s, str(error))
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


def tell_ending(claimed: Claimed, ending: Ending, state: str) -> None:
    """Log a run that did not succeed; a throttled one under a name of its own (W-16)."""
    facts = (claimed.job_id.hex, claimed.kind, claimed.attempt)
    if ending.outcome is Outcome.THROTTLED:
        told = (*facts, ending.message, state)
        logger.warning("job.throttled: job %s (%s) attempt %d: %s, now %s", *told)
    else:
        logger.info("job %s (%s) attempt %d: %s, now %s", *facts, ending.outcome, state)


def _call(handler: Handler, payload: Payload, run: Run) -> Any:
    """Call a handler of any shape; the transactional ones complete with what they write."""
    if handler.shape is Shape.STEPWISE:
        return handler.function(payload, run.context())
    with transaction.atomic():
        if handler.shape is Shape.BATCH:
            handler.function([item_of(run.claimed, payload)])
            value = None
        else:
            value = handler.function(payload, run.context())
        result_of(value)
        if not run.completing:
            run.complete(value)
    return None


def _complete(completer: Completer, run: Run, result: Any) -> Ending | None:
    """Store the result; one that cannot be stored is the handler's failure."""
    try:
        result_of(result)
        persist(partial(completer.complete, run.lease, result))
    except (TypeError, ValueError, DataError) as error:
        return endings.failed(error)
    return None


def _has_completed(run: Run) -> bool:
    return has_completed(job_id=run.lease.job_id, token=run.lease.token)
