"""One effect per Idempotency-Key (E-01, P02, P03)."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from dataclasses import dataclass

from django.db import OperationalError, connection, transaction

from flagship.clients.answer_cache import answer_cache
from flagship.errors.idempotency import (
    IdempotencyKeyInUse,
    IdempotencyKeyMalformed,
    IdempotencyKeyReused,
)
from flagship.errors.translate import is_lock_timeout
from flagship.models.idempotency import StoredAnswer

KEPT_S = 24 * 3600
LOCK_TIMEOUT_MS = 1000
REQUIRED_UNDER = ("/v1/builds", "/v1/credits")
_PRINTABLE = re.compile(r"[\x20-\x7e]{16,255}")
_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')


@dataclass(frozen=True, slots=True)
class Claim:
    """One request's hold on a key: who, which method and route, and what exactly was asked."""

    key_hash: bytes
    organization_id: uuid.UUID
    method: str
    route: str
    fingerprint: bytes
    request_id: str


def is_key_required(*, path: str) -> bool:
    """Tell whether mutating requests to this path must carry a key: builds and credits."""
    return any(path == under or path.startswith(f"{under}/") for under in REQUIRED_UNDER)


def parse_key(*, header: str) -> str:
    """Return the key in a header, given bare or as the IETF draft's quoted string.

    Both spellings of the same characters are the same key.

    Raises: IdempotencyKeyMalformed unless it has 16 to 255 printable ASCII characters.
    """
    key = header.strip()
    if key.startswith('"'):
        quoted = _QUOTED.fullmatch(key)
        key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else ""
    if not _PRINTABLE.fullmatch(key):
        raise IdempotencyKeyMalformed
    return key


def make_claim(
    *,
    organization_id: uuid.UUID,
    method: str,
    route: str,
    key: str,
    target: str,
    media_type: str,
    body_sha256: bytes,
    request_id: str,
) -> Claim:
    """Return the claim of a request on its key.

    The scope of a key is organization, method and route pattern; within it the fingerprint tells
    requests apart by path and query as sent, media type and the raw bytes of the body. Raw bytes
    and not their meaning: a client that retries resends what it sent, and two JSON readers that
    disagree about duplicate names or numbers must not share an answer.
    """
    scope = json.dumps([str(organization_id), method, route, key])
    asked = json.dumps([target, media_type, body_sha256.hex()])
    return Claim(
        key_hash=hashlib.sha256(scope.encode()).digest(),
        organization_id=organization_id,
        method=method,
        route=route,
        fingerprint=hashlib.sha256(asked.encode()).digest(),
        request_id=request_id,
    )


def cached_answer(*, claim: Claim) -> StoredAnswer | None:
    """Return the answer from the cache.

    Raises: IdempotencyKeyReused.
    """
    found = answer_cache().get(claim.key_hash)
    return None if found is None else _same_request(claim, found)


def claim_key(*, claim: Claim) -> StoredAnswer | None:
    """Take the key as the first statement of the request's transaction.

    None means that the key is this transaction's until it ends. A twin that holds it is waited
    for on the index, up to the lock timeout, which stays in force for the transaction.

    Raises: IdempotencyKeyInUse; IdempotencyKeyReused. Nothing has changed.
    """
    for _ in range(3):
        if _insert(claim):
            return None
        found = _read(claim)
        if found is not None:
            return _same_request(claim, found)
    raise IdempotencyKeyInUse


def store_answer(*, claim: Claim, status: int, headers: dict[str, str], body: bytes) -> None:
    """Store a 2xx answer as the last statement of the transaction; cache it once committed.

    Deferred constraints are made to speak first, so that a late violation is an error of this
    request and not of its COMMIT.
    """
    with connection.cursor() as cursor:
        # Deferred again for whoever shares the transaction (an outer one in tests).
        cursor.execute(
            """
            SET CONSTRAINTS ALL IMMEDIATE;
            SET CONSTRAINTS ALL DEFERRED;
            UPDATE flagship_idempotencyrecord
            SET status = %s, headers = %s, body = %s
            WHERE key_hash = %s AND status IS NULL
            """,
            [status, json.dumps(headers), body, claim.key_hash],
        )
    answer = StoredAnswer(claim.fingerprint, claim.request_id, status, headers, body)
    transaction.on_commit(lambda: answer_cache().put(claim.key_hash, answer, KEPT_S), robust=True)


def prune_idempotency(*, limit: int = 5000) -> int:
    """Delete up to `limit` records whose 24 hours are over; return how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            DELETE FROM flagship_idempotencyrecord WHERE key_hash IN (
                SELECT key_hash FROM flagship_idempotencyrecord
                WHERE expires_at <= clock_timestamp()
                ORDER BY expires_at LIMIT %s FOR UPDATE SKIP LOCKED
            )
            """,
            [limit],
        )
        return int(cursor.rowcount)


def _insert(claim: Claim) -> bool:
    """Insert the claim, over an expired record if need be; one round trip with its timeout."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                """
                WITH waits AS MATERIALIZED (SELECT set_config('lock_timeout', %s, true) AS value)
                INSERT INTO flagship_idempotencyrecord
                    (key_hash, organization_id, method, route, fingerprint, request_id, expires_at)
                SELECT %s, %s, %s, %s, %s, %s, clock_timestamp() + make_interval(secs => %s)
                FROM waits WHERE value IS NOT NULL
                ON CONFLICT (key_hash) DO NOTHING
                """,
                [
                    f"{LOCK_TIMEOUT_MS}ms",
                    claim.key_hash,
                    claim.organization_id,
                    claim.method,
                    claim.route,
                    claim.fingerprint,
                    claim.request_id,
                    KEPT_S,
                ],
            )
            return bool(cursor.rowcount)
    except OperationalError as error:
        if is_lock_timeout(error):
            raise IdempotencyKeyInUse from error
        raise


def _read(claim: Claim) -> StoredAnswer | None:
    """Return the committed answer; an expired one is deleted and counts as none."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            DELETE FROM flagship_idempotencyrecord
            WHERE key_hash = %s AND expires_at <= clock_timestamp()
            """,
            [claim.key_hash],
        )
        cursor.execute(
            """
            SELECT fingerprint, request_id, status, headers, body
            FROM flagship_idempotencyrecord WHERE key_hash = %s
            """,
            [claim.key_hash],
        )
        row = cursor.fetchone()
    if row is None:
        return None
    fingerprint, request_id, status, headers, body = row
    loaded = json.loads(headers) if isinstance(headers, str) else dict(headers)
    return StoredAnswer(bytes(fingerprint), request_id, status, loaded, bytes(body))


def _same_request(claim: Claim, found: StoredAnswer) -> StoredAnswer:
    """Return the answer if it was given to this very request."""
    if found.fingerprint != claim.fingerprint:
        raise IdempotencyKeyReused
    return found
