"""Taking doorbells out of Redis, fairly between queues."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from redis import Redis
from redis.exceptions import RedisError

from jobs.clients.doorbells import Bell, nudge, put_back, take, wait

logger = logging.getLogger(__name__)


class Alarm:
    """Ends a worker's wait for doorbells when room is made that was lacking as it began."""

    def __init__(self, worker: str) -> None:
        self._worker = worker
        self._is_set = False
        self._lock = threading.Lock()

    def set(self, *, on: bool) -> None:
        """Be ready to go off, once, or not any more."""
        with self._lock:
            self._is_set = on

    def go_off(self) -> None:
        """Wake the worker if it wants that; a Redis that is away has no doorbells either."""
        with self._lock:
            was_set, self._is_set = self._is_set, False
        if not was_set:
            return
        try:
            nudge(self._worker)
        except RedisError as error:
            logger.debug("not woken: %s", error)


class Bells:
    """The queues of a worker; the one that rang last is asked last, so that none starves."""

    def __init__(self, names: Iterable[str], connection: Redis, worker: str) -> None:
        self._names = deque(names)
        self._connection = connection
        self._worker = worker
        self._pause_s = 0.0
        self._ended: list[str] = []
        self._adopted: list[str] = []
        self.suspended = False

    def take(self, room: Callable[[str], int], ended: Sequence[str], most: int) -> list[Bell]:
        """Take what is there, as far as there is room, and tell Redis what has ended.

        None are returned while workers are suspended, or Redis is away.
        """
        self._ended += ended
        limits: dict[str, int] = {}
        for name in self._names:
            limits[name] = min(room(name), most)
            most -= limits[name]
        try:
            bells, self.suspended = take(
                self._connection,
                worker=self._worker,
                limits=limits,
                ended=self._ended,
                adopted=self._adopted,
            )
        except RedisError as error:
            self._pause(error)
            return []
        self._ended, self._adopted, self._pause_s = [], [], 0.0
        for name in {bell.queue: None for bell in bells}:
            self._ask_last(name)
        return bells

    def wait(self, names: Sequence[str], wait_s: float) -> Bell | None:
        """Wait for one doorbell on these queues."""
        asked = [name for name in self._names if name in names]
        try:
            bell = wait(self._connection, asked, wait_s, worker=self._worker)
        except RedisError as error:
            self._pause(error)
            return None
        if bell is not None:
            self._ask_last(bell.queue)
            (self._adopted if bell.letter in "si" else self._ended).append(bell.rq_id)
        return bell

    def give_back(self, bells: Sequence[Bell]) -> None:
        """Put doorbells back to the heads of their queues; if Redis is away, they are missed."""
        try:
            put_back(bells)
        except RedisError as error:
            logger.warning("%d doorbells are left to the sweeper: %s", len(bells), error)

    def _ask_last(self, name: str) -> None:
        self._names.remove(name)
        self._names.append(name)

    def _pause(self, error: RedisError) -> None:
        """Wait a little longer each time Redis does not answer."""
        if not self._pause_s:
            logger.warning("Redis is away: %s", error)
        self._pause_s = min(max(self._pause_s * 2, 0.1), 2.0)
        time.sleep(self._pause_s)
