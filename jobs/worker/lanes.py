"""The threads for jobs that are one transaction, and the doorbells that wait for them.

A few threads with a connection each are as fast as the database (research: performance, 9.1).
Doorbells are taken ahead of need, in one round trip for many, only for queues whose jobs have
lately been short: no job waits here behind a slow one while another worker is free.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from django.db import connection

from jobs.clients.doorbells import Bell
from jobs.queues import Queue
from jobs.worker.slots import Slots
from jobs.worker.transactor import Line, NotDone, Transactor

logger = logging.getLogger(__name__)

SHORT_S: Final = 0.025
"""Jobs that take less than this on average are taken ahead of need."""
AHEAD: Final = 64
AHEAD_BATCHES: Final = 1_000
BATCH: Final = 500
"""Doorbells in one batch at most; a kind's own size may be smaller."""
FEW: Final = 16
"""Short jobs that one thread takes up at a time, at most."""
PATIENCE_S: Final = 0.05
"""When all threads have been on their jobs for so long, one more is started."""
EXTRA: Final = 12
IDLE_S: Final = 5.0


class Lane:
    """What is known of one queue's transactional jobs."""

    def __init__(self) -> None:
        self.bells: deque[Bell] = deque()
        self.pace_s = SHORT_S / 4
        self.batched = False
        self.is_used = False

    def depth(self) -> int:
        """Return how many doorbells may be held at once."""
        if self.batched:
            return AHEAD_BATCHES
        if self.pace_s < SHORT_S:
            return AHEAD
        return AHEAD // 8 if self.pace_s < 4 * SHORT_S else 1

    def learn(self, took_s: float, count: int, batched: bool) -> None:
        """Take one more run into account."""
        self.is_used, self.batched = True, batched
        self.pace_s += (took_s / max(count, 1) - self.pace_s) / 8


class Lanes:
    """Up to `size` threads, some more while doorbells wait behind slow jobs."""

    def __init__(
        self,
        transactor: Transactor,
        queues: Iterable[Queue],
        size: int,
        changed: threading.Event,
        give_back: Callable[[list[Bell]], None],
    ) -> None:
        queues = list(queues)
        self.done = 0
        self.changed = changed
        self._transactor = transactor
        self._give_back = give_back
        self._lanes = {queue.name: Lane() for queue in queues}
        self._order = deque(self._lanes)
        self._slots = Slots(size + EXTRA, queues, own=1)
        self._size = size
        self._threads: set[threading.Thread] = set()
        self._busy_since: dict[int, float] = {}
        self._idle = 0
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._closing = False

    def room(self, queue: str) -> int:
        """Return how many doorbells of a queue may be put in now."""
        lane = self._lanes[queue]
        depth, held = lane.depth(), len(lane.bells)
        # Half empty before it is filled up: each filling is a round trip.
        return depth - held if held <= depth // 2 else 0

    def is_used(self, queue: str) -> bool:
        """Tell whether transactional jobs have come from this queue."""
        return self._lanes[queue].is_used

    def holds(self) -> bool:
        """Tell whether doorbells wait here."""
        return any(lane.bells for lane in self._lanes.values())

    def busy(self) -> int:
        """Return how many doorbells are waiting or being answered."""
        with self._lock:
            return self._slots.taken() + sum(len(lane.bells) for lane in self._lanes.values())

    def put(self, bells: Iterable[Bell]) -> None:
        """Have doorbells answered."""
        with self._work:
            for bell in bells:
                self._lanes[bell.queue].bells.append(bell)
            waiting = self._waiting()
            self._work.notify(min(self._idle, waiting))
            missing = min(self._size - len(self._threads), waiting - self._idle)
            self._hire(max(0, missing))

    def tend(self) -> None:
        """Start one more thread when doorbells wait behind jobs that take long."""
        with self._lock:
            now = time.monotonic()
            if not self._waiting() or self._idle or len(self._threads) >= self._slots.most:
                return
            if all(now - since > PATIENCE_S for since in self._busy_since.values()):
                self._hire(1)

    def close(self) -> None:
        """Take nothing more up; doorbells that still wait are given back."""
        with self._work:
            self._closing = True
            waiting = [bell for lane in self._lanes.values() for bell in lane.bells]
            for lane in self._lanes.values():
                lane.bells.clear()
            self._work.notify_all()
        self._return(waiting)

    def interrupt(self) -> None:
        """Roll back what runs."""
        self._transactor.interrupt()

    def _waiting(self) -> int:
        return sum(len(lane.bells) for lane in self._lanes.values())

    def _hire(self, count: int) -> None:
        for _ in range(count):
            thread = threading.Thread(target=self._serve, name="lane", daemon=True)
            self._threads.add(thread)
            thread.start()

    def _serve(self) -> None:
        try:
            while work := self._next():
                self._answer(work)
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())
            connection.close()

    def _next(self) -> list[Bell]:
        """Wait for doorbells of one queue; none when this thread is not needed any more."""
        with self._work:
            while not self._closing:
                found = self._pick()
                if found:
                    return found
                self._idle += 1
                told = self._work.wait(IDLE_S)
                self._idle -= 1
                if not told and len(self._threads) > self._size:
                    return []
                if not told:
                    # An idle lane keeps no connection from the others of the process.
                    connection.close()
        return []

    def _pick(self) -> list[Bell]:
        """Take the next doorbells of the queue that has waited longest."""
        for name in list(self._order):
            lane = self._lanes[name]
            if not lane.bells or not self._slots.room(name):
                continue
            self._order.remove(name)
            self._order.append(name)  # asked last from now on
            self._slots.take(name)
            found = [lane.bells.popleft()]
            letter = found[0].letter
            # A fair share of what waits: no thread is to run a long line beside idle ones.
            few = min(FEW, len(lane.bells) // self._size) if lane.pace_s < SHORT_S else 1
            most = BATCH if letter == "b" else few
            while len(found) < most and lane.bells and lane.bells[0].letter == letter:
                found.append(lane.bells.popleft())
            if len(lane.bells) <= lane.depth() // 2 < len(lane.bells) + len(found):
                self.changed.set()
            return found
        return []

    def _answer(self, bells: list[Bell]) -> None:
        started = time.monotonic()
        self._busy_since[threading.get_ident()] = started
        queue, batched = bells[0].queue, bells[0].letter == "b"
        line = Line(bell.job_id for bell in bells)
        try:
            if batched:
                line.ran = self._transactor.run_batch(list(line.waiting))
                line.waiting.clear()
            else:
                self._transactor.run_line(line, self._is_closing)
        except NotDone as error:
            logger.info("%d doorbells are given back: %s", len(line.waiting), error)
        except Exception:
            logger.exception("a doorbell of %s is left to the sweeper", queue)
            line.waiting = deque([] if batched else list(line.waiting)[1:])
        finally:
            self._return(bells[len(bells) - len(line.waiting) :])
            with self._lock:
                self._busy_since.pop(threading.get_ident())
                self.done += line.ran
                self._slots.give(queue)
                self._lanes[queue].learn(time.monotonic() - started, len(bells), batched)
            if not self._lanes[queue].bells and not self._slots.taken():
                self.changed.set()

    def _is_closing(self) -> bool:
        return self._closing

    def _return(self, bells: list[Bell]) -> None:
        if bells:
            self._give_back(bells)
