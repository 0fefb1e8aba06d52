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
# Who it is, is not known yet: the function looks over the wall, at one prefix or one key's id.
_FIND = "SELECT * FROM flagship_find_caller(%s::text, %s::uuid)"


@dataclass(frozen=True, slots=True)
class ApiClient:
    """The caller of one request: an organization, speaking through one of its keys."""

    organization_id: uuid.UUID
    api_key_id: uuid.UUID
    scopes: frozenset[str]
    actor: str
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is stored about a caller: its API key, its stage (None: it does not sign), and the
    signing key that the request names, if it is the caller's. As `flagship_find_caller` returns it.
    """

    api_key_id: uuid.UUID
    organization_id: uuid.UUID
    prefix: str
    key_hash: str
    scopes: list[str]
    blocked_at: datetime | None
    last_used_at: datetime | None
    stage: str | None
    v1_alone_at: datetime | None
    v2_at: datetime | None
    v2_since: datetime | None
    signing_key_id: uuid.UUID | None
    sealed_secret: bytes | None
    expires_at: datetime | None
    revoked_at: datetime | None
    signed_at: datetime | None

    def client(self) -> ApiClient:
        """Return the caller as the views know it."""
        return ApiClient(
            organization_id=self.organization_id,
            api_key_id=self.api_key_id,
            scopes=frozenset(self.scopes),
            actor=f"api_key:{self.prefix}",
            last_used_at=self.last_used_at,
        )

    def is_signing_key_live(self, now: datetime) -> bool:
        """Tell whether the named signing key may sign: there, not revoked, not past its end."""
        if self.signing_key_id is None or self.revoked_at or self.blocked_at:
            return False
        return self.expires_at is None or self.expires_at > now


def hash_secret(secret: str) -> str:
    """Return the form in which a key's secret half is stored."""
    return hashlib.sha256(secret.encode()).hexdigest()


def prefix_of(bearer: str) -> str | None:
    """Return the part of an API key that names its row; None where it is no key."""
    match = KEY_SHAPE.fullmatch(bearer)
    return match["prefix"] if match else None


def find_credentials(*, bearer: str, signing_key_id: uuid.UUID | None) -> Credentials | None:
    """Return the row behind an API key or a signing key, in one statement; None for neither.

    Where both are named the API key's row is returned, with the signing key only if it is that
    client's own. Nothing has been compared yet.

    Source: F-01, E-05.
    """
    prefix = prefix_of(bearer)
    if prefix is None and signing_key_id is None:
        return None
    found = run_fresh(_FIND, [prefix, signing_key_id])
    return Credentials(*found[0]) if found else None


def is_right_key(presented: str, credentials: Credentials | None) -> bool:
    """Tell whether this is the API key of the row, and not blocked.

    Malformed, unknown, wrong and blocked keys are not told apart, and the stored hash is compared
    in constant time whether or not there is one.
    """
    match = KEY_SHAPE.fullmatch(presented)
    if match is None:
        return False
    stored = credentials.key_hash if credentials else _NO_HASH
    is_right = hmac.compare_digest(stored, hash_secret(match["secret"]))
    return credentials is not None and is_right and credentials.blocked_at is None
