"""Find out who is calling."""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid
from dataclasses import dataclass
from datetime import datetime

from flagship.models import ApiKey

KEY_SHAPE = re.compile(r"fs_(?P<prefix>[0-9a-z]{12})_(?P<secret>[0-9a-f]{64})")
_NO_HASH = "0" * 64
# Whose key it is, is not known yet: the function looks over the wall, at one prefix.
_FIND = "SELECT * FROM flagship_find_api_key(%s)"


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
    row = next(iter(ApiKey.objects.raw(_FIND, [match["prefix"]])), None)
    stored = row.key_hash if row else _NO_HASH
    is_right = hmac.compare_digest(stored, hash_secret(match["secret"]))
    if row is None or not is_right or row.blocked_at is not None:
        return None
    return ApiClient(
        organization_id=row.organization_id,
        api_key_id=row.id,
        scopes=frozenset(row.scopes),
        actor=f"api_key:{row.prefix}",
        last_used_at=row.last_used_at,
    )
