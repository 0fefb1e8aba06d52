"""Redis' copy of answers that are asked for again and again, for speed only (E-01, ADR 0016)."""

from __future__ import annotations

import base64
import hmac
import json
import logging
import threading
import time
from collections import OrderedDict
from datetime import UTC, datetime
from functools import cache
from typing import Final

import redis
from django.conf import settings
from django.utils.crypto import salted_hmac
from redis.backoff import NoBackoff
from redis.retry import Retry

from flagship.models.idempotency import Claim, StoredAnswer

logger = logging.getLogger("flagship.idempotency")

TIMEOUT_S: Final = 0.25
REST_S: Final = 1.0
LARGEST_BYTES: Final = 64 * 1024
KEPT_S: Final = 600
REMEMBERED: Final = 4096
"""Keys of which a process knows that it has replayed them."""
_SALT: Final = "flagship.idempotency.answer.2"


class AnswerCache:
    """Get and put answers; after an error Redis is left alone for a second.

    Only keys that this process has replayed before are looked for, so that a request that comes
    for the first time never pays for a look. Nothing is raised, and nothing is believed that
    this system has not signed for this very client, method, route and key: a cache that cannot
    be reached or was tampered with is an empty one.
    """

    def __init__(self, url: str) -> None:
        self.redis = redis.Redis.from_url(
            url,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        self.rests_until = 0.0
        self.replayed = _Replayed(REMEMBERED)

    def get(self, claim: Claim) -> StoredAnswer | None:
        """Return the answer of a key, None where it is not cached or no longer good."""
        if claim.key_hash not in self.replayed or self._is_resting():
            return None
        try:
            sealed = self.redis.get(_name(claim))
        except (redis.RedisError, OSError) as error:
            self._rest(error)
            return None
        return _open(claim, sealed) if isinstance(sealed, bytes) else None

    def put(self, claim: Claim, answer: StoredAnswer) -> None:
        """Keep a committed answer that has been replayed, for ten minutes at most."""
        left_s = int((answer.expires_at - datetime.now(UTC)).total_seconds())
        if self._is_resting() or len(answer.body) > LARGEST_BYTES or left_s <= 0:
            return
        try:
            self.redis.set(_name(claim), _seal(claim, answer), ex=min(KEPT_S, left_s))
        except (redis.RedisError, OSError) as error:
            self._rest(error)
            return
        self.replayed.add(claim.key_hash)

    def _is_resting(self) -> bool:
        return time.monotonic() < self.rests_until

    def _rest(self, error: Exception) -> None:
        self.rests_until = time.monotonic() + REST_S
        logger.warning("idempotency.cache_lost %s", type(error).__name__)


class _Replayed:
    """The latest keys of many; shared by the threads of a process."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._keys: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, key_hash: bytes) -> bool:
        return key_hash in self._keys

    def add(self, key_hash: bytes) -> None:
        with self._lock:
            self._keys[key_hash] = None
            self._keys.move_to_end(key_hash)
            if len(self._keys) > self._most:
                self._keys.popitem(last=False)


@cache
def answer_cache() -> AnswerCache:
    """Return this process' cache."""
    return AnswerCache(settings.REDIS_URL)


def _name(claim: Claim) -> str:
    return f"flagship:idempotency:2:{claim.key_hash.hex()}"


def _seal(claim: Claim, answer: StoredAnswer) -> bytes:
    """Write an answer behind its signature."""
    text = json.dumps(
        {
            "fingerprint": answer.fingerprint.hex(),
            "requestId": answer.request_id,
            "status": answer.status,
            "headers": answer.headers,
            "body": base64.b64encode(answer.body).decode(),
            "createdAt": answer.created_at.isoformat(),
            "expiresAt": answer.expires_at.isoformat(),
        }
    ).encode()
    return _signature(claim, text) + b"\n" + text


def _open(claim: Claim, sealed: bytes) -> StoredAnswer | None:
    """Read an answer that was signed for this claim's key and whose time is not over."""
    signature, _, text = sealed.partition(b"\n")
    if not hmac.compare_digest(signature, _signature(claim, text)):
        logger.warning("idempotency.cache_forged key_hash=%s", claim.key_hash.hex())
        return None
    stored = json.loads(text)
    answer = StoredAnswer(
        fingerprint=bytes.fromhex(stored["fingerprint"]),
        request_id=stored["requestId"],
        status=int(stored["status"]),
        headers=dict(stored["headers"]),
        body=base64.b64decode(stored["body"]),
        created_at=datetime.fromisoformat(stored["createdAt"]),
        expires_at=datetime.fromisoformat(stored["expiresAt"]),
    )
    return answer if answer.expires_at > datetime.now(UTC) else None


def _signature(claim: Claim, text: bytes) -> bytes:
    """Sign an answer, its fingerprint within, for one client, method, route and key.

    The key is derived from the secret key for this purpose alone. A system with another secret
    believes none of it.
    """
    bound = [str(claim.organization_id), claim.method, claim.route, claim.key_hash.hex()]
    signed = json.dumps(bound).encode() + b"\n" + text
    return salted_hmac(_SALT, signed, algorithm="sha256").hexdigest().encode()
