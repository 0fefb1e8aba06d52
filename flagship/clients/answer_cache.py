"""Redis' copy of the answers, for speed only: losing it changes nothing (E-01)."""

from __future__ import annotations

import base64
import json
import logging
import time
from functools import cache

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from flagship.models.idempotency import StoredAnswer

logger = logging.getLogger("flagship.idempotency")

TIMEOUT_S = 0.25
REST_S = 1.0
LARGEST_BYTES = 64 * 1024


class AnswerCache:
    """Get and put answers; after an error Redis is left alone for a second.

    Nothing is raised: a cache that cannot be reached is an empty one.
    """

    def __init__(self, url: str) -> None:
        self.redis = redis.Redis.from_url(
            url,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        self.rests_until = 0.0

    def get(self, key_hash: bytes) -> StoredAnswer | None:
        """Return the answer of a key, None where it is not cached."""
        if self._is_resting():
            return None
        try:
            text = self.redis.get(_name(key_hash))
            return None if text is None else _load(text)
        except (redis.RedisError, OSError) as error:
            self._rest(error)
        except (ValueError, KeyError, TypeError):
            logger.warning("idempotency.cache_unreadable")
        return None

    def put(self, key_hash: bytes, answer: StoredAnswer, ttl_s: int) -> None:
        """Keep a committed answer for `ttl_s` seconds."""
        if self._is_resting() or len(answer.body) > LARGEST_BYTES:
            return
        try:
            self.redis.set(_name(key_hash), _dump(answer), ex=ttl_s)
        except (redis.RedisError, OSError) as error:
            self._rest(error)

    def _is_resting(self) -> bool:
        return time.monotonic() < self.rests_until

    def _rest(self, error: Exception) -> None:
        self.rests_until = time.monotonic() + REST_S
        logger.warning("idempotency.cache_lost %s", type(error).__name__)


@cache
def answer_cache() -> AnswerCache:
    """Return this process' cache."""
    return AnswerCache(settings.REDIS_URL)


def _name(key_hash: bytes) -> str:
    return f"flagship:idempotency:{key_hash.hex()}"


def _dump(answer: StoredAnswer) -> str:
    return json.dumps(
        {
            "fingerprint": answer.fingerprint.hex(),
            "requestId": answer.request_id,
            "status": answer.status,
            "headers": answer.headers,
            "body": base64.b64encode(answer.body).decode(),
        }
    )


def _load(text: bytes | str) -> StoredAnswer:
    stored = json.loads(text)
    return StoredAnswer(
        fingerprint=bytes.fromhex(stored["fingerprint"]),
        request_id=stored["requestId"],
        status=int(stored["status"]),
        headers=dict(stored["headers"]),
        body=base64.b64decode(stored["body"]),
    )
