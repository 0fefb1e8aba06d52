"""From doorbells to threads: what a worker's main thread does all day."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import psutil
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from redis import Redis

from jobs.clients.doorbells import Bell
from jobs.clients.process import host_name, memory_bytes
from jobs.errors import Interrupted, LeaseLost
from jobs.queues import QUEUES, Queue
from jobs.retry import never
from jobs.selectors.pauses import paused_queues
from jobs.services.claim import Claimed, Lease
from jobs.services.endings import handed_back
from jobs.services.heartbeats import WorkerFacts
from jobs.services.publisher import letter_of
from jobs.services.release import release
from jobs.worker import database
from jobs.worker.bells import Bells
from jobs.worker.cells import Cells
from jobs.worker.crew import STUCK_MAX, Crew
from jobs.worker.execute import Executor
from jobs.worker.lanes import Lanes
from jobs.worker.run import Run
from jobs.worker.transactor import Transactor

logger = logging.getLogger(__name__)

WAIT_S: Final = 1.0
"""How long Redis is asked to wait for a doorbell, and how soon a pause or stop is noticed."""
UNLIMITED: Final = 1_000_000
LOOK_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Quota:
    """When a worker has done what it was started for. Units: seconds."""

    burst: bool
    max_jobs: int | None
    max_idle_s: int | None

    def is_met(self, dispatch: Dispatch) -> bool:
        """Tell whether nothing more is to be done, running jobs included."""
        if dispatch.busy():
            return False
        return (self.max_jobs is not None and dispatch.done() >= self.max_jobs) or (
            self.max_idle_s is not None and dispatch.idle_s() >= self.max_idle_s
        )

    def left(self, dispatch: Dispatch) -> int:
        """Return how many more jobs may be taken."""
        if self.max_jobs is None:
            return UNLIMITED
        return max(0, self.max_jobs - dispatch.done() - dispatch.busy())


class Dispatch:
    """Takes doorbells as far as there is room, and sends each the way its job is run."""

    def __init__(self, connection: Redis, worker: str, names: Sequence[str]) -> None:
        queues = [QUEUES.get(name) or Queue(name, never(), "not in the table") for name in names]
        self._names = list(names)
        self._executor = Executor(
            worker,
            settings.JOB_LEASE_S,
            settings.JOB_LEASE_RENEWAL_S,
            self.facts,
            settings.WORKER_HEARTBEAT_S,
        )
        self._bells = Bells(names, connection, worker)
        self._cells = Cells(worker, settings.WORKER_CELLS)
        self._crew = Crew(self._executor, self._cells, queues, settings.WORKER_SLOTS)
        self._transactor = Transactor(self._executor)
        self._changed = self._crew.changed
        self._lanes = Lanes(
            self._transactor, queues, settings.WORKER_LANES, self._changed, self._bells.give_back
        )
        self._given_back_at = dict.fromkeys(names, float("-inf"))
        self._busy_at = time.monotonic()
        self._looked_at = float("-inf")
        self._rss_bytes = 0

    @property
    def paused(self) -> frozenset[str]:
        """The queues from which nothing is taken."""
        return self._executor.monitor.paused

    def start(self) -> None:
        """Start the threads that watch; what is paused is known before anything is taken."""
        self._executor.monitor.paused = frozenset(paused_queues())
        connection.close()
        self._executor.start()

    def end(self) -> None:
        """End the threads that watch, and the processes."""
        self._executor.end()
        self._cells.close()

    def busy(self) -> int:
        """Return how many jobs are in hand."""
        return self._crew.busy() + self._lanes.busy()

    def done(self) -> int:
        """Return how many jobs were run."""
        return self._crew.done + self._lanes.done

    def idle_s(self) -> float:
        """Return for how long nothing was in hand."""
        if self.busy():
            self._busy_at = time.monotonic()
        return time.monotonic() - self._busy_at

    def facts(self) -> WorkerFacts:
        """Say how this process is doing."""
        return WorkerFacts(
            name=self._executor.worker,
            host=host_name(),
            pid=os.getpid(),
            role="worker",
            queues=tuple(self._names),
            slots=self._crew.slots.most,
            busy=self.busy(),
            jobs_done=self.done(),
            memory_bytes=memory_bytes(),
            version=settings.VERSION,
            stopping=self._executor.closing,
        )

    def runs(self) -> list[Run]:
        """Return the leased runs."""
        return self._executor.monitor.runs()

    def ails(self) -> str:
        """Say why the worker should leave and be started anew; empty when it should not."""
        away_s = self._executor.monitor.away_s()
        if away_s > settings.WORKER_AWAY_LIMIT_S:
            return f"the database has been away for {away_s:.0f} s"
        if self._crew.stuck > STUCK_MAX // 2:
            return f"{self._crew.stuck} threads do not come back"
        if settings.WORKER_MEMORY_BYTES and self._look() > settings.WORKER_MEMORY_BYTES:
            return f"{self._rss_bytes} bytes of memory are in use"
        return ""

    def turn(self, quota: Quota) -> bool:
        """Take and send what there is, or wait a little; return False when a burst is over."""
        self._changed.clear()
        self._lanes.tend()
        self._executor.claims.recall()
        most = quota.left(self)
        if most <= 0 or self._executor.monitor.away_s():
            self._changed.wait(0.2)
            return True
        if self._lanes.holds() and not any(map(self._room, self._names)):
            # Enough is taken ahead: not even a look at Redis until a lane needs more.
            self._changed.wait(0.02)
            return True
        # Asked before: with something in hand there may be no room, and no answer means nothing.
        was_busy = self.busy()
        taken = self._bells.take(self._room, self._crew.collect(), most)
        if taken:
            self._send(taken)
        elif self._bells.suspended:
            self._changed.wait(0.2)
        elif quota.burst:
            if not was_busy:
                return False
            self._changed.wait(0.05)
        else:
            self._wait()
        return True

    def close(self) -> None:
        """Take up nothing more."""
        self._lanes.close()

    def interrupt(self, reason: Interrupted) -> None:
        """Interrupt everything that runs; it costs no attempt."""
        self._executor.closing = True
        for run in self.runs():
            run.guard.interrupt(reason)
        self._lanes.interrupt()
        self._cells.hurry()

    def flush(self) -> None:
        """Tell Redis what has ended."""
        self._bells.take(lambda name: 0, self._crew.collect(), 0)

    def dismiss(self) -> None:
        """Let the idle threads go."""
        self._crew.dismiss()

    def _room(self, name: str) -> int:
        """Return how many doorbells of a queue can be answered without waiting for one another."""
        if name in self.paused:
            return 0
        ahead = self._lanes.room(name)
        if self._lanes.is_used(name) and time.monotonic() - self._given_back_at[name] > LOOK_S:
            return ahead
        return min(ahead, self._crew.slots.room(name))

    def _wait(self) -> None:
        """Wait for the next doorbell, or, with some taken ahead, for a thread that needs more."""
        alarm = self._crew.alarm
        # Before the look at what is full: no slot that is freed from here on goes unnoticed.
        alarm.set(on=True)
        wanted = [name for name in self._names if self._room(name)]
        if {*wanted, *self.paused}.issuperset(self._names):
            alarm.set(on=False)
        bell = None
        if self._lanes.holds() or not wanted:
            alarm.set(on=False)
            self._changed.wait(0.02 if self._lanes.holds() else 0.2)
        else:
            bell = self._bells.wait(wanted, WAIT_S)
            alarm.set(on=False)
        if bell is not None:
            self._send([bell])

    def _send(self, bells: Sequence[Bell]) -> None:
        self._lanes.put(bell for bell in bells if bell.letter in "tb")
        fitting: list[Bell] = []
        for bell in (bell for bell in bells if bell.letter in "si"):
            if self._crew.slots.room(bell.queue) <= sum(b.queue == bell.queue for b in fitting):
                self._given_back_at[bell.queue] = time.monotonic()
                self._bells.give_back([bell])
            elif bell.letter == "i":
                self._crew.run_alone(bell)
            else:
                fitting.append(bell)
        if fitting:
            self._claim(fitting)

    def _claim(self, bells: Sequence[Bell]) -> None:
        """Claim what these doorbells name, in one statement, and run it."""
        executor = self._executor
        try:
            claimed = executor.claims.take([bell.job_id for bell in bells])
        except (DatabaseError, InterfaceError) as error:
            logger.warning("%d doorbells are given back: %s", len(bells), error)
            database.discard()
            self._bells.give_back(bells)
            self._changed.wait(0.2)
            return
        mine = {job.job_id: job for job in claimed}
        for bell in bells:
            job = mine.pop(bell.job_id, None)
            if job is None or self._hand_back_if_isolated(job):
                self._crew.drop(bell)
            else:
                self._crew.run(job, bell)

    def _hand_back_if_isolated(self, job: Claimed) -> bool:
        """Have a job rung for anew whose kind runs alone since a deployment (W-06)."""
        if letter_of(job.kind, 0) != "i":
            return False
        try:
            ending = handed_back("its kind is run in a process of its own")
            release(lease=Lease(job.job_id, job.token), ending=ending)
        except (DatabaseError, InterfaceError, LeaseLost) as error:
            logger.warning("job %s is left to the sweeper: %s", job.job_id.hex, error)
        self._executor.claims.end(job)
        return True

    def _look(self) -> int:
        """Return the memory of this process, read now and then."""
        now = time.monotonic()
        if now - self._looked_at > LOOK_S:
            self._looked_at = now
            self._rss_bytes = int(psutil.Process().memory_info().rss)
        return self._rss_bytes
