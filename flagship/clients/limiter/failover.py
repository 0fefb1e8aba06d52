"""Redis while it answers; the process' own buckets while it does not."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from functools import cache
from typing import Final

import redis
from django.conf import settings

from flagship.clients.limiter.demand import Demand, Level
from flagship.clients.limiter.local import LocalBuckets
from flagship.clients.limiter.shared import SharedWindows
from jobs import telemetry

logger = logging.getLogger("flagship.limits")

REST_S: Final = 1.0


class Limiter:
    """Counts requests and never raises: a limiter must not be the outage (research 3.7).

    After an error one request a second tries Redis again, so that of the others none waits. Loss
    and return are told once each, in the log and in telemetry.
    """

    def __init__(self, url: str) -> None:
        self._shared = SharedWindows(url)
        self._local = LocalBuckets()
        self._lock = threading.Lock()
        self._lost_at_s: float | None = None
        self._next_try_s = 0.0

    def take(self, demands: Sequence[Demand]) -> list[Level]:
        """Count a request under all demands, or under none if one of them has no room."""
        if self._may_ask():
            try:
                levels = self._shared.take(demands)
            except (redis.RedisError, OSError) as error:
                self._lose(error)
            else:
                self._find()
                return levels
        processes = max(1, settings.RATE_LIMIT_PROCESSES)
        return self._local.take(demands, processes=processes, now_s=time.monotonic())

    def _may_ask(self) -> bool:
        """Tell whether this request asks Redis: all of them, or one a second while it is away."""
        if self._lost_at_s is None:
            return True
        with self._lock:
            now_s = time.monotonic()
            if now_s < self._next_try_s:
                return False
            self._next_try_s = now_s + REST_S
            return True

    def _lose(self, error: Exception) -> None:
        with self._lock:
            is_news = self._lost_at_s is None
            self._lost_at_s = self._lost_at_s or time.monotonic()
            self._next_try_s = time.monotonic() + REST_S
        self._shared.disconnect()
        if is_news:
            reason = type(error).__name__
            logger.warning("limits.redis_lost %s: each process counts by itself", reason)
            telemetry.publish("limits.degraded", reason=reason)

    def _find(self) -> None:
        if self._lost_at_s is None:
            return
        with self._lock:
            lost_at_s, self._lost_at_s = self._lost_at_s, None
        if lost_at_s is not None:
            away_s = round(time.monotonic() - lost_at_s, 1)
            logger.warning("limits.redis_back after %s s", away_s)
            telemetry.publish("limits.restored", away_s=away_s)


@cache
def limiter() -> Limiter:
    """Return this process' limiter."""
    return Limiter(settings.REDIS_URL)
