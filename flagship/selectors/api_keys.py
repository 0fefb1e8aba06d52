"""Find out who is calling."""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid
from dataclasses import dataclass
from datetime import datetime

from jobs.clients.postgres import run_fresh

KEY_SHAPE = re.compile(r"fs_(?P<prefix>[0-9a-z]{12})_(?P<secret>[0-9a-f]{64})")
_NO_HASH = "0" * 64
# Whose key it is, is not known yet: the function looks over the wall, at one prefix.
_FIND = """
SELECT key_hash, blocked_at, organization_id, id, scopes, last_used_at
FROM flagship_find_api_key(%s)
"""


@dataclass(frozen=True, slots=True)
class ApiClient:
    """The caller of one request: an organization, speaking through one of its keys."""

    organization_id: uuid.UUID
    api_key_id: uuid.UUID
    scopes: frozenset[str]
    actor: str
    last_used_at: datetime | None = None


def hash_secret(secret: str) -> str:
    """Return the form in which a key's secret half is stored."""
    return hashlib.sha256(secret.encode()).hexdigest()


def find_api_client(*, presented: str) -> ApiClient | None:
    """Return the client whose key was presented, or None for any key that is not valid.

    Malformed, unknown, wrong and blocked keys are not told apart, and the stored hash is compared
    in constant time whether or not there is one.

    Source: F-01.
    """
    match = KEY_SHAPE.fullmatch(presented)
    if match is None:
        return None
    found = run_fresh(_FIND, [match["prefix"]])
    key_hash, blocked_at, *known = found[0] if found else (_NO_HASH, None)
    is_right = hmac.compare_digest(key_hash, hash_secret(match["secret"]))
    if not known or not is_right or blocked_at is not None:
        return None
    organization_id, api_key_id, scopes, last_used_at = known
    return ApiClient(
        organization_id=organization_id,
        api_key_id=api_key_id,
        scopes=frozenset(scopes),
        actor=f"api_key:{match['prefix']}",
        last_used_at=last_used_at,
    )
