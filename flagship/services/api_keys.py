"""Issue, block and stamp API keys."""

from __future__ import annotations

import secrets
import string
import uuid
from collections.abc import Iterable
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from flagship.errors import ApiKeyAlreadyBlocked, ApiKeyNotFound
from flagship.models import ApiKey
from flagship.selectors.api_keys import hash_secret
from flagship.services.audit import record
from jobs.clients.wall import inside

SCOPES = (
    "builds:read",
    "builds:write",
    "credits:read",
    "credits:write",
    "jobs:read",
    "jobs:write",
    "jobs:probe",
    "dead-letters:read",
    "dead-letters:write",
    "queues:read",
    "audit:read",
    "telemetry:read",
    "workers:read",
)
OPERATOR_SCOPES = ("queues:manage", "analytics:platform")
"""Over the whole platform: for keys of operators, never issued with the others."""
PREFIX_ALPHABET = string.digits + string.ascii_lowercase
LAST_USED_STEP = timedelta(minutes=1)


def issue_api_key(
    *, organization_id: uuid.UUID, name: str, scopes: Iterable[str], actor: str = "system"
) -> tuple[ApiKey, str]:
    """Issue a key and return it with the one and only copy of its text.

    Raises: ValueError for an unknown scope or an empty name; nothing is stored.
    Source: F-01.
    """
    wanted = sorted(set(scopes))
    unknown = set(wanted) - {*SCOPES, *OPERATOR_SCOPES}
    if unknown or not 0 < len(name) <= 100:
        raise ValueError(f"unknown scopes {sorted(unknown)}" if unknown else "a key has a name")
    prefix = "".join(secrets.choice(PREFIX_ALPHABET) for _ in range(12))
    secret = secrets.token_hex(32)
    with transaction.atomic():
        api_key = ApiKey.objects.create(
            organization_id=organization_id,
            name=name,
            prefix=prefix,
            key_hash=hash_secret(secret),
            scopes=wanted,
        )
        record(
            action="api_key.issued",
            subject_type="api_key",
            subject_id=str(api_key.id),
            organization_id=organization_id,
            actor=actor,
            data={"name": name, "prefix": prefix, "scopes": wanted},
        )
    return api_key, f"fs_{prefix}_{secret}"


def block_api_key(*, api_key_id: uuid.UUID, actor: str, reason: str) -> ApiKey:
    """Block a key: the next request that presents it is refused.

    Raises: ApiKeyNotFound; ApiKeyAlreadyBlocked, and the first block stands.
    Source: F-01.
    """
    with transaction.atomic():
        moved = ApiKey.objects.filter(id=api_key_id, blocked_at__isnull=True).update(
            blocked_at=Now()
        )
        api_key = ApiKey.objects.filter(id=api_key_id).first()
        if api_key is None:
            raise ApiKeyNotFound
        if not moved:
            raise ApiKeyAlreadyBlocked
        record(
            action="api_key.blocked",
            subject_type="api_key",
            subject_id=str(api_key_id),
            organization_id=api_key.organization_id,
            actor=actor,
            data={"prefix": api_key.prefix, "reason": reason},
        )
    return api_key


def touch_api_key(*, organization_id: uuid.UUID, api_key_id: uuid.UUID) -> None:
    """Stamp a key as used now, at most once a minute.

    A row that someone else holds is left alone: being stamped is never worth waiting for.
    """
    due = Q(last_used_at__isnull=True) | Q(last_used_at__lt=Now() - LAST_USED_STEP)
    with inside(organization_id):
        free = ApiKey.objects.filter(due, id=api_key_id).select_for_update(
            skip_locked=True, no_key=True
        )
        ApiKey.objects.filter(id__in=list(free.values_list("id", flat=True))).update(
            last_used_at=Now()
        )
