"""Issue, rotate, revoke, stamp and reseal signing keys (E-05)."""

from __future__ import annotations

import secrets
import uuid
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models.functions import Least, Now

from flagship.clients.vault import reseal, seal
from flagship.errors import ApiKeyAlreadyBlocked, ApiKeyNotFound
from flagship.errors.signatures import (
    SigningKeyAlreadyRevoked,
    SigningKeyNotFound,
    SigningKeysInUse,
)
from flagship.models import ApiKey, SignatureRollout, SigningKey
from flagship.models.signature import KEY_PREFIX, LIVE_KEYS
from flagship.selectors.api_keys import Credentials
from flagship.services.api_keys import LAST_USED_STEP
from flagship.services.audit import record
from flagship.signatures import SECRET_BYTES, Outcome
from jobs.clients.wall import inside
from jobs.ids import new_id, public_id

LONGEST_OVERLAP = timedelta(days=7)


def issue_signing_key(
    *, api_key_id: uuid.UUID, overlap: timedelta, actor: str, now: datetime
) -> tuple[SigningKey, str]:
    """Issue a key and return it with the one and only copy of its secret (64 hex digits).

    A client's first key makes it a signing client, at the stage that only observes. A later one
    replaces the key before, which goes on for `overlap` (7 days at most) and then ends.

    Raises: ApiKeyNotFound; ApiKeyAlreadyBlocked; SigningKeysInUse; ValueError for an overlap that
    is negative or too long. Nothing is stored then.
    Source: E-05.
    """
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise ValueError("an overlap lasts from 0 to 7 days")
    key_id, secret = new_id(), secrets.token_bytes(SECRET_BYTES)
    with transaction.atomic():
        api_key = ApiKey.objects.select_for_update(no_key=True).filter(id=api_key_id).first()
        if api_key is None:
            raise ApiKeyNotFound
        if api_key.blocked_at is not None:
            raise ApiKeyAlreadyBlocked
        SignatureRollout.objects.get_or_create(api_key=api_key)
        slot = _free_slot(api_key_id, now)
        _live(api_key_id).update(expires_at=Least("expires_at", now + overlap))
        signing_key = SigningKey.objects.create(
            id=key_id, api_key=api_key, slot=slot, sealed_secret=seal(secret, subject=key_id)
        )
        _record("signing_key.issued", signing_key, actor, overlapS=int(overlap.total_seconds()))
    return signing_key, secret.hex()


def revoke_signing_key(*, signing_key_id: uuid.UUID, actor: str, reason: str) -> SigningKey:
    """Revoke a key: the next request that it signed is refused, by every process.

    Raises: SigningKeyNotFound; SigningKeyAlreadyRevoked, and the first revocation stands.
    """
    with transaction.atomic():
        moved = SigningKey.objects.filter(id=signing_key_id, revoked_at__isnull=True).update(
            revoked_at=Now()
        )
        found = SigningKey.objects.select_related("api_key").filter(id=signing_key_id).first()
        if found is None:
            raise SigningKeyNotFound
        if not moved:
            raise SigningKeyAlreadyRevoked
        _record("signing_key.revoked", found, actor, reason=reason)
    return found


def touch_signer(*, credentials: Credentials, proof: Outcome, now: datetime) -> None:
    """Stamp what a request was proven with, each stamp at most once a minute.

    Rows that somebody else holds are left alone: being stamped is never worth waiting for.
    """
    used_v2 = proof in (Outcome.V2_ONLY, Outcome.BOTH)
    stamp = credentials.v2_at if used_v2 else credentials.v1_alone_at
    is_known = proof in (Outcome.V2_ONLY, Outcome.BOTH, Outcome.V1_ONLY)
    signs_due = credentials.signing_key_id is not None and _is_due(credentials.signed_at, now)
    if not is_known or not (_is_due(stamp, now) or (used_v2 and signs_due)):
        return
    with inside(credentials.organization_id), connection.cursor() as cursor:
        cursor.execute(
            """
            WITH signed AS (
                UPDATE flagship_signingkey SET last_used_at = clock_timestamp()
                WHERE id IN (SELECT id FROM flagship_signingkey WHERE id = %(key)s AND %(v2)s
                             FOR NO KEY UPDATE SKIP LOCKED)
            )
            UPDATE flagship_signaturerollout
            SET v2_at = CASE WHEN %(v2)s THEN clock_timestamp() ELSE v2_at END,
                v2_since = CASE WHEN %(v2)s THEN coalesce(v2_since, clock_timestamp())
                           ELSE v2_since END,
                v1_alone_at = CASE WHEN %(v2)s THEN v1_alone_at ELSE clock_timestamp() END
            WHERE api_key_id IN (
                SELECT api_key_id FROM flagship_signaturerollout WHERE api_key_id = %(client)s
                FOR NO KEY UPDATE SKIP LOCKED)
            """,
            {
                "key": credentials.signing_key_id,
                "v2": used_v2,
                "client": credentials.api_key_id,
            },
        )


def reseal_secrets() -> int:
    """Encrypt every secret anew with the first key of ENCRYPTION_KEYS; return how many.

    One row, one transaction: it may be stopped and run again. Afterwards the older keys of
    ENCRYPTION_KEYS can go.

    Raises: CannotUnseal; rows before it are done.
    """
    count = 0
    for key_id in list(SigningKey.objects.order_by("id").values_list("id", flat=True)):
        with transaction.atomic():
            row = SigningKey.objects.select_for_update(no_key=True).get(id=key_id)
            SigningKey.objects.filter(id=key_id).update(sealed_secret=reseal(row.sealed_secret))
        count += 1
    return count


def _live(api_key_id: uuid.UUID) -> Any:
    """Return the client's keys that hold a slot."""
    return SigningKey.objects.filter(api_key_id=api_key_id, revoked_at__isnull=True)


def _free_slot(api_key_id: uuid.UUID, now: datetime) -> int:
    """Return a slot that no live key holds; keys past their end give theirs up.

    Raises: SigningKeysInUse.
    """
    _live(api_key_id).filter(expires_at__lte=now).update(revoked_at=Now())
    taken = set(_live(api_key_id).values_list("slot", flat=True))
    free = set(range(1, LIVE_KEYS + 1)) - taken
    if not free:
        raise SigningKeysInUse
    return min(free)


def _is_due(stamp: datetime | None, now: datetime) -> bool:
    return stamp is None or now - stamp > LAST_USED_STEP


def _record(action: str, signing_key: SigningKey, actor: str, **more: Any) -> None:
    """Write the audit event; the secret is in none."""
    record(
        action=action,
        subject_type="signing_key",
        subject_id=public_id(KEY_PREFIX, signing_key.id),
        organization_id=signing_key.api_key.organization_id,
        actor=actor,
        data={"prefix": signing_key.api_key.prefix, **more},
    )
