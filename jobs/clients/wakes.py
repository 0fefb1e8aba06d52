"""Waking readers through Redis; who is not woken polls, so nothing depends on it."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import Any, Final

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.client import PubSub
from redis.exceptions import RedisError
from redis.retry import Retry

from jobs.clients.redis import TIMEOUT_S, producer

logger = logging.getLogger(__name__)

AGAIN_S: Final = 2.0
"""How long a Redis that did not answer is left alone."""


def wake(channel: str) -> None:
    """Wake whoever listens; that Redis is away is nobody's problem here."""
    try:
        producer().publish(channel, b"")
    except RedisError as error:
        logger.debug("nobody was woken: %s", error)


class Listener:
    """Waits to be woken, on a connection of its own; for one thread."""

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self._pubsub: PubSub | None = None
        self._again_at = float("-inf")

    @property
    def is_listening(self) -> bool:
        """Tell whether a wake would be heard now; otherwise its owner should poll."""
        return self._pubsub is not None

    def wait(self, limit_s: float, stop: threading.Event) -> bool:
        """Wait up to `limit_s` seconds; return whether something may be there to read.

        Having just begun to listen counts as woken: what came before was not heard.
        """
        try:
            if self._pubsub is None and time.monotonic() >= self._again_at:
                self._pubsub = self._subscribe()
                return True
            if self._pubsub is not None:
                return self._hear(self._pubsub, limit_s)
        except RedisError as error:
            logger.debug("nobody will wake us: %s", error)
            self.close()
            self._again_at = time.monotonic() + AGAIN_S
        stop.wait(limit_s)
        return False

    def close(self) -> None:
        """Give the connection back."""
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            with contextlib.suppress(RedisError, OSError):
                pubsub.close()
            with contextlib.suppress(RedisError, OSError):
                pubsub.connection_pool.disconnect()

    def _subscribe(self) -> PubSub:
        client = Redis.from_url(
            settings.REDIS_URL,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        pubsub: PubSub = client.pubsub()  # type: ignore[no-untyped-call]
        pubsub.subscribe(self._channel)
        return pubsub

    def _hear(self, pubsub: PubSub, limit_s: float) -> bool:
        """Wait for a message and take those that came with it: one reading answers them all."""
        until = time.monotonic() + limit_s
        woken = False
        while True:
            left_s = 0.0 if woken else max(until - time.monotonic(), 0.0)
            message: Any = pubsub.get_message(timeout=left_s)
            woken = woken or (message is not None and message["type"] == "message")
            if message is None and (woken or left_s <= 0):
                return woken
