"""What a key did, for who asks instead of sending again (E-01)."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from flagship.models.idempotency import StoredAnswer
from flagship.selectors.routes import list_mutations


@dataclass(frozen=True, slots=True)
class KeyUse:
    """A key at one method and route; without an answer its request is being worked on."""

    method: str
    path: str
    answer: StoredAnswer | None


def key_hash_of(organization_id: uuid.UUID, method: str, route: str, key: str) -> bytes:
    """Return the name of a key in its scope: organization, method and route pattern."""
    scope = json.dumps([str(organization_id), method, route, key])
    return hashlib.sha256(scope.encode()).digest()


def answer_of(row: Sequence[Any]) -> StoredAnswer:
    """Return an answer from its columns, as `flagship_claim_key` returns them."""
    fingerprint, request_id, status, headers, body, created_at, expires_at = row
    loaded = json.loads(headers) if isinstance(headers, str) else dict(headers)
    return StoredAnswer(
        bytes(fingerprint), request_id, status, loaded, bytes(body), created_at, expires_at
    )


def find_uses(*, organization_id: uuid.UUID, key: str, scopes: Collection[str]) -> list[KeyUse]:
    """Return where the key is at work or has an answer, by path and method.

    Only for routes that the caller's scopes open: others' answers are none of its business.
    Who holds the key is asked before what was committed, so that a request that ends in between
    is seen as answered and not missed.
    """
    places = {
        key_hash_of(organization_id, method, route.pattern, key): (method, route.pattern)
        for method, route in list_mutations()
        if route.scope(method) is None or route.scope(method) in scopes
    }
    held, answers = _held(list(places)), _answers(organization_id, list(places))
    uses = [
        KeyUse(method, _path(pattern), answers.get(key_hash))
        for key_hash, (method, pattern) in places.items()
        if key_hash in held or key_hash in answers
    ]
    return sorted(uses, key=lambda use: (use.path, use.method))


def _held(key_hashes: list[bytes]) -> set[bytes]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT wanted FROM unnest(%s::bytea[]) AS wanted WHERE flagship_key_is_held(wanted)",
            [key_hashes],
        )
        return {bytes(wanted) for (wanted,) in cursor.fetchall()}


def _answers(organization_id: uuid.UUID, key_hashes: list[bytes]) -> dict[bytes, StoredAnswer]:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT key_hash, fingerprint, request_id, status, headers, body, created_at, expires_at
            FROM flagship_idempotencyrecord
            WHERE organization_id = %s AND key_hash = ANY(%s::bytea[])
                AND expires_at > clock_timestamp()
            """,
            [organization_id, key_hashes],
        )
        return {bytes(row[0]): answer_of(row[1:]) for row in cursor.fetchall()}


def _path(pattern: str) -> str:
    """Write a route's pattern as the schema does."""
    return "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", pattern)
