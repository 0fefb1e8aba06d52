"""The periodic pass that repairs what a crash or a lost Redis left behind (W-13)."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from typing import Any, Final

from django.db import DatabaseError, InterfaceError, connection
from redis.exceptions import RedisError

from jobs.services.publisher import publish_due
from jobs.services.refill import Memory
from jobs.services.rescue import rescue_expired, ring_again_if_lost
from jobs.services.schedules import run_due_schedules

logger = logging.getLogger(__name__)

BATCH: Final = 1_000


class Sweeper:
    """Runs the repairs in turn; a step that fails keeps no other from running.

    Safe in any number of processes: each step takes what it moves under a row lock.
    Units: `lost_after_s` is how long a doorbell may be on its way before Redis is asked for it.
    """

    def __init__(self, *, lost_after_s: float) -> None:
        self._lost_after_s = lost_after_s
        self._asked_at = float("-inf")
        self._missed: dict[uuid.UUID, int] = {}
        self._memory = Memory()

    def run(self) -> bool:
        """Do one pass; return whether every step went through."""
        # Lists, not generators: a failed step must not keep the others from running.
        rang = all([self._attempt(step) for step in (self._memory.refill_if_lost,)])
        done = all([self._attempt(step) for step in (run_due_schedules, rescue_expired)])
        # With Redis away, rows would only be moved to and fro.
        ringing: list[Callable[[], Any]] = [self._ring_again_if_lost, publish_all_due]
        return rang and all([self._attempt(step) for step in ringing]) and done

    def _ring_again_if_lost(self) -> None:
        """Look for doorbells that do not arrive: twice, half the time for it apart."""
        now = time.monotonic()
        if now - self._asked_at < self._lost_after_s / 2:
            return
        self._asked_at = now
        age_s = min(1.0, self._lost_after_s / 2)
        self._missed = ring_again_if_lost(older_than_s=age_s, missed_before=self._missed)

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
