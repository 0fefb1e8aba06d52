"""The threads of a worker that run leased jobs, and the processes for those that run alone."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from jobs.clients.doorbells import Bell
from jobs.queues import Queue
from jobs.services.claim import Claimed
from jobs.worker.bells import Alarm
from jobs.worker.cells import Cells
from jobs.worker.execute import Executor
from jobs.worker.slots import Slots

logger = logging.getLogger(__name__)

STUCK_MAX: Final = 10
"""With so many threads that do not come back, a worker leaves and is started anew."""


class Crew:
    """Runs jobs in up to `slots.most` threads; keeps which doorbells have been answered."""

    def __init__(
        self, executor: Executor, cells: Cells, queues: Iterable[Queue], shared: int
    ) -> None:
        self.executor = executor
        self.cells = cells
        self.slots = Slots(shared, queues)
        self.done = 0
        self.stuck = 0
        self.changed = threading.Event()
        self.alarm = Alarm(executor.worker)
        self._ended: list[str] = []
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(self.slots.most + STUCK_MAX, thread_name_prefix="slot")

    def busy(self) -> int:
        """Return how many jobs are run."""
        return self.slots.taken()

    def run(self, claimed: Claimed, bell: Bell) -> None:
        """Run a claimed job in a thread; the caller has seen that there is room."""
        seat = self._sit(bell)
        job = self.executor.run_claimed
        self._threads.submit(self._do, seat, True, job, claimed, seat.leave_stuck)

    def run_alone(self, bell: Bell) -> None:
        """Run a job in a process of its own, waited for in a thread."""
        self._threads.submit(self._do, self._sit(bell), None, self.cells.run, bell.job_id)

    def drop(self, bell: Bell) -> None:
        """Forget a doorbell that there was nothing to run for."""
        with self._lock:
            self._ended.append(bell.rq_id)

    def collect(self) -> list[str]:
        """Return the doorbells that were answered since the last call."""
        with self._lock:
            ended, self._ended = self._ended, []
        return ended

    def dismiss(self) -> None:
        """Let the idle threads go."""
        self._threads.shutdown(wait=False)

    def _sit(self, bell: Bell) -> Seat:
        self.slots.take(bell.queue)
        return Seat(self, bell)

    def _do(self, seat: Seat, ran: bool | None, job: Callable[..., Any], *given: Any) -> None:
        try:
            answer = job(*given)
            ran = bool(answer) if ran is None else ran
        except Exception:
            logger.exception("doorbell %s", seat.bell.rq_id)
        finally:
            seat.leave(bool(ran))

    def free(self, bell: Bell, *, ran: bool, stuck: bool) -> None:
        """Count a seat as free again."""
        with self._lock:
            self._ended.append(bell.rq_id)
            self.done += ran
            self.stuck += stuck
        self.slots.give(bell.queue)
        self.changed.set()
        self.alarm.go_off()


class Seat:
    """One slot taken for one job; left once, by its thread or by whoever gives that up."""

    def __init__(self, crew: Crew, bell: Bell) -> None:
        self.bell = bell
        self._crew = crew
        self._left = False
        self._lock = threading.Lock()

    def leave(self, ran: bool, *, stuck: bool = False) -> None:
        """Free the slot, if that has not happened."""
        with self._lock:
            left, self._left = self._left, True
        if not left:
            self._crew.free(self.bell, ran=ran, stuck=stuck)

    def leave_stuck(self) -> None:
        """Free the slot of a thread that does not come back."""
        self.leave(False, stuck=True)
