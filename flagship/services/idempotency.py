"""One effect per Idempotency-Key (E-01, P02, P03)."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any, cast

from django.db import IntegrityError, OperationalError, connection

from flagship.clients.answer_cache import answer_cache
from flagship.errors.idempotency import (
    IdempotencyKeyInUse,
    IdempotencyKeyMalformed,
    IdempotencyKeyReused,
)
from flagship.errors.translate import is_lock_timeout
from flagship.models.idempotency import Claim, ClaimedKey, StoredAnswer
from flagship.models.signature import Use
from flagship.selectors.idempotency import answer_of, key_hash_of
from flagship.services.known_callers import KnownCaller, inside_as
from flagship.services.signature_uses import refuse_replay, use_columns
from jobs.clients.postgres import constraint_of, run, run_and_commit, written

KEPT_S = 24 * 3600
LOCK_TIMEOUT_MS = 1000
ANSWERED_ONCE = "flagship_answer_once"
REQUIRED_UNDER = ("/v1/builds", "/v1/credits")
_PRINTABLE = re.compile(r"[\x20-\x7e]{16,255}")
_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')

# A row whether there is an answer or not: when the transaction began, to the second, is in it.
_CLAIM = """
SELECT floor(extract(epoch FROM now()))::bigint, true, kept.*
FROM (SELECT) AS one LEFT JOIN flagship_claim_key(%s, %s) AS kept ON true
"""
_CLAIM_SIGNED = """
SELECT floor(extract(epoch FROM now()))::bigint, kept.*
FROM flagship_claim_signed_key(%s, %s, %s, %s, %s, %s, %s) AS kept
"""
_STORE = "SELECT flagship_store_answer(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"


def is_key_required(*, path: str, method: str = "POST") -> bool:
    """Tell whether a request to this path must carry a key: builds and credits, but for DELETE."""
    is_under = any(path == under or path.startswith(f"{under}/") for under in REQUIRED_UNDER)
    return is_under and method != "DELETE"


def parse_key(*, header: str) -> str:
    """Return the key in a header, given bare or as the IETF draft's quoted string.

    Both spellings of the same characters are the same key.

    Raises: IdempotencyKeyMalformed unless it has 16 to 255 printable ASCII characters.
    """
    key = bare_key(text=header)
    if not _PRINTABLE.fullmatch(key):
        raise IdempotencyKeyMalformed
    return key


def bare_key(*, text: str) -> str:
    """Return what is left of a key's text without its quotes, well formed or not."""
    key = text.strip()
    if not key.startswith('"'):
        return key
    quoted = _QUOTED.fullmatch(key)
    return re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else ""


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
    asked = json.dumps([target, media_type, body_sha256.hex()])
    return Claim(
        key_hash=key_hash_of(organization_id, method, route, key),
        organization_id=organization_id,
        method=method,
        route=route,
        fingerprint=hashlib.sha256(asked.encode()).digest(),
        request_id=request_id,
    )


def cached_answer(*, claim: Claim) -> StoredAnswer | None:
    """Return the answer from the cache, where this process has replayed it before.

    Raises: IdempotencyKeyReused.
    """
    found = answer_cache().get(claim)
    return None if found is None else _same_request(claim, found)


def cache_answer(*, claim: Claim, answer: StoredAnswer) -> None:
    """Let the cache have a committed answer that was asked for again: it may be once more."""
    answer_cache().put(claim, answer)


@contextmanager
def claimed_key(
    *, claim: Claim, use: Use | None = None, known: KnownCaller | None = None
) -> Iterator[ClaimedKey]:
    """Make the block the request's transaction, which takes the key as it begins.

    Without an answer the key is this transaction's until it ends. A twin that holds it is waited
    for, up to the lock timeout, which stays in force for the transaction. The nonce of a signed
    request (`use`) is used up by the same statement, before the key is looked at, and before that
    its caller is confirmed (`known`). Costs no round trip of its own, unless there is an answer.

    Raises: Unauthenticated; IdempotencyKeyInUse; IdempotencyKeyReused; NonceReplayed. Nothing has
    changed.
    """
    with ExitStack() as stack:
        try:
            asked = _written_claim(claim, use)
            found = stack.enter_context(inside_as(known, claim.organization_id, first=asked))
        except OperationalError as error:
            if is_lock_timeout(error):
                raise IdempotencyKeyInUse from error
            raise
        began_s, is_fresh, fingerprint = found[0][:3]
        if use and is_fresh != b"t":
            refuse_replay(use=use)
        answer = None if fingerprint is None else _answer(claim)
        yield ClaimedKey(
            None if answer is None else _same_request(claim, answer),
            datetime.fromtimestamp(int(cast(bytes, began_s)) + KEPT_S, UTC),
        )


def _written_claim(claim: Claim, use: Use | None) -> str:
    """Ask when it is, whether the nonce was new, and for the columns of the answer, if any."""
    asked: list[Any] = [claim.key_hash, LOCK_TIMEOUT_MS]
    if use is None:
        return written(_CLAIM, asked)
    return written(_CLAIM_SIGNED, [*asked, *use_columns(use), use.is_strict])


def _answer(claim: Claim) -> StoredAnswer | None:
    """Read the answer with its types; None where its 24 hours are over by now."""
    found = run(_CLAIM, [claim.key_hash, LOCK_TIMEOUT_MS])
    return None if found[0][2] is None else answer_of(found[0][2:])


def store_answer(*, claim: Claim, status: int, headers: dict[str, str], body: bytes) -> None:
    """Store a 2xx answer and commit, in one round trip.

    The primary key decides, whoever held the lock: an answer that is still good is not replaced.

    Raises: IdempotencyKeyInUse where another request, that did not know of the lock, has
    answered first; nothing is committed then.
    """
    values = (
        *(claim.key_hash, claim.organization_id, claim.method, claim.route, claim.fingerprint),
        *(claim.request_id, status, json.dumps(headers), body, KEPT_S),
    )
    try:
        run_and_commit(written(_STORE, values))
    except IntegrityError as error:
        if constraint_of(error) == ANSWERED_ONCE:
            raise IdempotencyKeyInUse from error
        raise


def prune_idempotency(*, limit: int = 5000) -> int:
    """Delete up to `limit` records whose 24 hours are over; return how many.

    An array, since some plans ask IN (SELECT ... LIMIT) more than once, and so go over the limit.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            DELETE FROM flagship_idempotencyrecord WHERE key_hash = ANY(ARRAY(
                SELECT key_hash FROM flagship_idempotencyrecord
                WHERE expires_at <= clock_timestamp()
                ORDER BY expires_at LIMIT %s FOR UPDATE SKIP LOCKED
            ))
            """,
            [limit],
        )
        return int(cursor.rowcount)


def _same_request(claim: Claim, found: StoredAnswer) -> StoredAnswer:
    """Return the answer if it was given to this very request."""
    if found.fingerprint != claim.fingerprint:
        raise IdempotencyKeyReused
    return found
