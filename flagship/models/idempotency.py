"""What a client's Idempotency-Key did."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from jobs.models.tenant import TenantManager


class IdempotencyRecord(models.Model):
    """One key's answer, committed with the work it answers for (E-01, P02).

    Inserted with its answer as the last statement of the request's transaction, whose first has
    taken a lock on the key: a killed request leaves no row at all. The release before this one
    inserted first and answered last, hence the columns that may be null. Kept 24 hours, then
    pruned. `key_hash` covers client, method, route and key; `fingerprint` covers path, query and
    body.
    """

    key_hash = models.BinaryField(primary_key=True, max_length=32, editable=False)
    organization_id = models.UUIDField(editable=False)
    method = models.CharField(max_length=10, editable=False)
    route = models.CharField(max_length=300, editable=False)
    fingerprint = models.BinaryField(max_length=32, editable=False)
    request_id = models.CharField(max_length=128, editable=False)
    status = models.PositiveSmallIntegerField(null=True, editable=False)
    headers = models.JSONField(null=True, editable=False)
    body = models.BinaryField(null=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(editable=False)

    objects = TenantManager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(status__isnull=True, headers__isnull=True, body__isnull=True)
                | Q(status__gte=200, status__lt=300, headers__isnull=False, body__isnull=False),
                name="idempotency_answer_whole",
            ),
            models.CheckConstraint(
                condition=Q(expires_at__gt=models.F("created_at")),
                name="idempotency_expires_later",
            ),
        ]
        indexes = [models.Index(fields=["expires_at"], name="idempotency_expires_idx")]

    def __str__(self) -> str:
        return f"{self.method} {self.route} of {self.created_at}"


@dataclass(frozen=True, slots=True)
class Claim:
    """One request's hold on a key: who, which method and route, and what exactly was asked."""

    key_hash: bytes
    organization_id: uuid.UUID
    method: str
    route: str
    fingerprint: bytes
    request_id: str


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What a key's first request was answered, for which request that was, and until when."""

    fingerprint: bytes
    request_id: str
    status: int
    headers: dict[str, str]
    body: bytes
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ClaimedKey:
    """A key that a transaction has taken: its answer, if it has one.

    An answer that this transaction stores is kept until `expires_at`, told to the second.
    """

    answer: StoredAnswer | None
    expires_at: datetime
