"""Taking doorbells out of Redis, fairly between queues."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable
from typing import cast

from redis import Redis
from redis.exceptions import RedisError
from rq.exceptions import DequeueTimeout, NoSuchJobError
from rq.queue import Queue
from rq.utils import as_text

from jobs.worker.doorbell import Doorbell

logger = logging.getLogger(__name__)


class Bells:
    """The queues of a worker, the one that rang last asked last, so that none starves another."""

    def __init__(self, queues: Iterable[Queue], connection: Redis) -> None:
        self._keys = deque(queue.key for queue in queues)
        self._connection = connection
        self._pause_s = 0.0

    def pop(self, *, wait: bool) -> Doorbell | None:
        """Return the next doorbell; None when there is none (within a second if `wait`).

        What is not a readable RQ job is dropped: the sweeper rings for the job if there is one.
        """
        try:
            popped = Queue.lpop(list(self._keys), 1 if wait else None, connection=self._connection)
            self._pause_s = 0.0
            return None if popped is None else self._fetch(*popped)
        except DequeueTimeout:
            return None
        except RedisError as error:
            self._pause(error)
            return None

    def _fetch(self, key: bytes | str, rq_id: bytes) -> Doorbell | None:
        name = as_text(key)
        self._keys.remove(name)
        self._keys.append(name)
        try:
            return cast(Doorbell, Doorbell.fetch(rq_id.decode(), connection=self._connection))
        except NoSuchJobError:
            return None
        except RedisError:
            raise
        except Exception as error:
            logger.warning("dropped what is not a doorbell in %s: %r", name, error)
            return None

    def _pause(self, error: RedisError) -> None:
        """Wait a little longer each time Redis does not answer."""
        if not self._pause_s:
            logger.warning("Redis is away: %s", error)
        self._pause_s = min(max(self._pause_s * 2, 0.1), 2.0)
        time.sleep(self._pause_s)
