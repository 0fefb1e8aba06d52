"""How many jobs of which queue may run at once in one process (pure)."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable

from jobs.queues import Queue


class Slots:
    """Shared slots, and some of each queue's own that no other can take.

    A queue that is slow fills the shared ones and its own; what is rung for in another then still
    finds that queue's own (W-07). `shared` slots can all be taken by one queue.
    """

    def __init__(self, shared: int, queues: Iterable[Queue], *, own: int | None = None) -> None:
        self._shared = shared
        self._queues = {queue.name: queue for queue in queues}
        self._own = {name: own or queue.own_slots for name, queue in self._queues.items()}
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def most(self) -> int:
        """How many can be taken in all."""
        return self._shared + sum(self._own.values())

    def room(self, queue: str) -> int:
        """Return how many more of this queue may be taken now."""
        with self._lock:
            over = sum(max(0, taken - self._own[name]) for name, taken in self._taken.items())
            taken = self._taken[queue]
            room = max(0, self._own[queue] - taken) + max(0, self._shared - over)
            bound = self._queues[queue].slots_max
            return room if bound is None else min(room, max(0, bound - taken))

    def take(self, queue: str) -> None:
        """Count one more."""
        with self._lock:
            self._taken[queue] += 1

    def give(self, queue: str) -> None:
        """Count one less."""
        with self._lock:
            self._taken[queue] -= 1

    def taken(self) -> int:
        """Return how many are taken."""
        with self._lock:
            return self._taken.total()
