"""One thread that keeps the leases of the process and hears what the database says about them."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg

from jobs.errors import JobCancelled, LeaseLost
from jobs.selectors.pauses import paused_query
from jobs.services.claim import renewal, standing
from jobs.services.heartbeats import WorkerFacts, beat, farewell
from jobs.worker.database import dedicated
from jobs.worker.run import Run

logger = logging.getLogger(__name__)


class Monitor(threading.Thread):
    """Renews leases and interrupts runs that were cancelled or have lost theirs (P09).

    It has a connection of its own: a pool exhausted by jobs must not cost them their leases. A
    run past its timeout by more than a lease is not renewed any more: its thread is stuck, and
    somebody else shall have the job. With `facts` it also says that the process is alive, each
    `heartbeat_s`, and knows which queues are paused. Units: seconds.
    """

    def __init__(
        self,
        lease_s: float,
        renewal_s: float,
        facts: Callable[[], WorkerFacts] | None = None,
        heartbeat_s: float = 30.0,
    ) -> None:
        super().__init__(name="monitor", daemon=True)
        self._facts = facts
        self._heartbeat_s = heartbeat_s
        self._beaten_at = float("-inf")
        self._lease_s = lease_s
        self._renewal_s = renewal_s
        self._tick_s = min(1.0, renewal_s)
        self._lock = threading.Lock()
        self._runs: set[Run] = set()
        self._ended = threading.Event()
        self._connection: psycopg.Connection[Any] | None = None
        self._renewed_at = float("-inf")
        self._heard_at = time.monotonic()
        self._failing = False
        self.paused: frozenset[str] = frozenset()

    def add(self, run: Run) -> None:
        """Keep this run's lease from now on."""
        with self._lock:
            self._runs.add(run)

    def remove(self, run: Run) -> None:
        """Leave this run's lease alone."""
        with self._lock:
            self._runs.discard(run)

    def runs(self) -> list[Run]:
        """Return the runs whose leases are kept now."""
        with self._lock:
            return list(self._runs)

    def away_s(self) -> float:
        """Return for how many seconds the database has not answered; 0 when it does."""
        silent_s = time.monotonic() - self._heard_at
        return silent_s if self._failing or silent_s > 5 + self._tick_s else 0.0

    def end(self) -> None:
        """Let the thread return."""
        self._ended.set()

    def run(self) -> None:
        """Pass after pass until told to end."""
        while True:
            try:
                self.beat()
            except psycopg.Error as error:
                if not self._failing:
                    logger.warning("the database is away: %s", error)
                self._failing = True
                self._drop()
            except Exception:
                logger.exception("the monitor goes on")
            if self._ended.wait(self._tick_s):
                break
        self._leave()
        self._drop()

    def beat(self) -> None:
        """Do one pass. Raises: psycopg.Error when the database does not answer."""
        if self._connection is None:
            self._connection = dedicated()
        runs = self.runs()
        now = time.monotonic()
        for run in runs:
            if now >= run.ends_at + self._lease_s and not run.is_stuck:
                _give_up(run)
        if runs and now - self._renewed_at >= self._renewal_s:
            alive = [run for run in runs if not run.is_stuck]
            self._execute(renewal([run.lease for run in alive], self._lease_s))
            self._renewed_at = now
        cursor = self._execute(standing([run.lease for run in runs]))
        held = dict(cursor.fetchall())
        for run in runs:
            _tell(run, held)
        if self._facts is not None:
            self._look_around(self._facts, now)
        self._heard_at = time.monotonic()
        self._failing = False

    def _look_around(self, facts: Callable[[], WorkerFacts], now: float) -> None:
        """Read which queues are paused; now and then say that this process is alive (O-03)."""
        paused = self._execute((paused_query(), {}))
        self.paused = frozenset(name for (name,) in paused.fetchall())
        if now - self._beaten_at >= self._heartbeat_s:
            self._execute(beat(facts()))
            self._beaten_at = now

    def _leave(self) -> None:
        """Say that this process is gone on purpose, if the database can still be told."""
        if self._facts is None or self._connection is None:
            return
        with contextlib.suppress(psycopg.Error):
            self._execute(farewell(self._facts().name))

    def _execute(self, query: tuple[str, dict[str, Any]]) -> psycopg.Cursor[Any]:
        assert self._connection is not None  # noqa: S101 (opened by the caller)
        return self._connection.execute(*query)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _give_up(run: Run) -> None:
    """Let go of a run whose thread does not come back from wherever it is."""
    run.is_stuck = True
    logger.error("job %s does not end and is let go", run.lease.job_id.hex)
    if run.on_stuck is not None:
        run.on_stuck()


def _tell(run: Run, held: dict[Any, bool]) -> None:
    """Interrupt a run that the database says should not go on."""
    if run.completing:
        return
    asked_to_cancel = held.get(run.lease.job_id)
    if asked_to_cancel is None:
        if run.guard.interrupt(LeaseLost("another worker owns the job now")):
            logger.warning("job %s has lost its lease", run.lease.job_id.hex)
    elif asked_to_cancel:
        run.guard.interrupt(JobCancelled("cancelled on request"))
