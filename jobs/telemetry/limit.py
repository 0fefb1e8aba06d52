"""How much one process may publish, so that a loop gone wild cannot fill the table (pure)."""

from __future__ import annotations

import threading
import time
from typing import Final

BURST_S: Final = 10.0
"""A quiet process has so many seconds' worth in hand: a burst is no flood."""
REPORT_S: Final = 10.0
"""Of what was dropped is told at once, and then so often."""


class Limiter:
    """A bucket that fills with `per_s` events a second; who finds it empty is dropped and counted.

    For any number of threads of one process. Zero `per_s` is no limit. The time is given, in
    seconds of the monotonic clock.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._lock = threading.Lock()
        self._spent = 0.0
        self._seen_s = float("-inf")
        self._reported = 0
        self._reported_s = float("-inf")

    def admits(self, per_s: float, now_s: float | None = None) -> bool:
        """Take one event out of the bucket; return whether there was one."""
        if per_s <= 0:
            return True
        now_s = time.monotonic() if now_s is None else now_s
        with self._lock:
            refilled = (now_s - self._seen_s) * per_s
            self._seen_s = now_s
            self._spent = max(0.0, self._spent - refilled)
            if self._spent + 1 > max(1.0, per_s * BURST_S):
                self.dropped += 1
                return False
            self._spent += 1
        return True

    def unreported(self, now_s: float | None = None) -> int:
        """Return how many were dropped since it was last told; 0 while it is too early to tell."""
        now_s = time.monotonic() if now_s is None else now_s
        with self._lock:
            count = self.dropped - self._reported
            if not count or now_s - self._reported_s < REPORT_S:
                return 0
            self._reported, self._reported_s = self.dropped, now_s
        return count
