"""Connections to Redis for those who ring."""

from __future__ import annotations

import functools
import os

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

TIMEOUT_S = 0.3


def producer() -> Redis:
    """Return this process's client for short commands.

    It fails after 0.3 s and never retries: a doorbell that does not ring is rung again by the
    sweeper, while a request that waits for Redis is a request lost. Safe across a fork.
    """
    return _producer(settings.REDIS_URL, os.getpid())


@functools.lru_cache(maxsize=4)
def _producer(url: str, pid: int) -> Redis:
    del pid  # part of the key only: a forked child must not share its parent's sockets
    return Redis.from_url(
        url,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=30,
    )
