"""One thread for all timeouts of the process."""

from __future__ import annotations

import heapq
import threading
import time
from itertools import count
from typing import Final

from jobs.errors import JobTimedOut
from jobs.worker.guard import Guard

CROWD: Final = 1_000
"""So many deadlines are kept before those of ended runs are thrown away."""


class Watchdog(threading.Thread):
    """Interrupts runs that reach their deadline; harms no neighbour (W-07).

    There is nothing to disarm: a guard whose run is over refuses the interruption.
    """

    def __init__(self) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._changed = threading.Condition()
        self._deadlines: list[tuple[float, int, Guard, float]] = []
        self._numbers = count()
        self._crowd = CROWD
        self._ended = False

    def watch(self, guard: Guard, timeout_s: float) -> None:
        """Interrupt this guard's run `timeout_s` seconds from now."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            if len(self._deadlines) >= self._crowd:
                self._forget()
            heapq.heappush(self._deadlines, (deadline, next(self._numbers), guard, timeout_s))
            if self._deadlines[0][2] is guard:
                self._changed.notify()

    def end(self) -> None:
        """Let the thread return."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def _forget(self) -> None:
        """Drop the deadlines of runs that ended long before them; the lock is held."""
        self._deadlines = [each for each in self._deadlines if not each[2].is_over]
        heapq.heapify(self._deadlines)
        self._crowd = max(CROWD, 2 * len(self._deadlines))

    def run(self) -> None:
        """Sleep until the next deadline, again and again."""
        while True:
            with self._changed:
                if self._ended:
                    return
                now = time.monotonic()
                if not self._deadlines or self._deadlines[0][0] > now:
                    wait_s = self._deadlines[0][0] - now if self._deadlines else None
                    self._changed.wait(wait_s)
                    continue
                _, _, guard, timeout_s = heapq.heappop(self._deadlines)
            guard.interrupt(JobTimedOut(f"ran longer than {timeout_s:g} s"))
