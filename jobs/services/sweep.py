"""The periodic pass that repairs what a crash or a lost Redis left behind (W-13)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final

from django.db import DatabaseError, InterfaceError, connection
from redis.exceptions import RedisError

from jobs.services.publisher import publish_due
from jobs.services.rescue import rescue_expired, ring_again_after_wipe, ring_again_if_lost
from jobs.services.schedules import run_due_schedules

logger = logging.getLogger(__name__)

BATCH: Final = 500


class Sweeper:
    """Runs the repairs in turn; a step that fails keeps no other from running.

    Safe in any number of processes: each step takes what it moves under a row lock.
    Units: `lost_after_s` is how long a doorbell may be on its way before Redis is asked for it.
    """

    def __init__(self, *, lost_after_s: float) -> None:
        self._lost_after_s = lost_after_s
        self._asked_at = float("-inf")

    def run(self) -> bool:
        """Do one pass; return whether every step went through."""
        steps: list[Callable[[], Any]] = [
            ring_again_after_wipe,
            self._ring_again_if_lost,
            run_due_schedules,
            rescue_expired,
            publish_all_due,
        ]
        # A list, not a generator: a failed step must not keep the others from running.
        return all([self._attempt(step) for step in steps])

    def _ring_again_if_lost(self) -> None:
        """Ask Redis for doorbells that are long on their way, but not at every pass."""
        now = time.monotonic()
        if now - self._asked_at >= self._lost_after_s:
            self._asked_at = now
            ring_again_if_lost(older_than_s=self._lost_after_s)

    def _attempt(self, step: Callable[[], Any]) -> bool:
        try:
            step()
        except (RedisError, DatabaseError, InterfaceError) as error:
            logger.warning("sweep: %s: %s", step.__name__, error)
            connection.close()
            return False
        return True


def publish_all_due() -> int:
    """Ring for everything that is due, in batches; return how many."""
    total = 0
    while True:
        count = publish_due(limit=BATCH)
        total += count
        if count < BATCH:
            return total
