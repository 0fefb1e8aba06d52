"""What a client proves itself with."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from flagship.models.organization import Organization
from jobs.ids import new_id
from jobs.models.tenant import TenantManager


class ApiKey(models.Model):
    """The stored half of `fs_<prefix>_<secret>` (F-01).

    Only the SHA-256 of the secret is kept: it has 256 random bits, so a slow hash would add
    nothing. The prefix finds the row and may be shown. Rows are blocked, never deleted, so that
    audit events keep their actor.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="api_keys", editable=False
    )
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=12, unique=True, editable=False)
    key_hash = models.CharField(max_length=64, editable=False)
    scopes = ArrayField(models.CharField(max_length=50))
    blocked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = TenantManager()

    class Meta:
        ordering = ("-id",)
        verbose_name = "API key"
        permissions = [("block_apikey", "Can block an API key")]
        constraints = [
            models.CheckConstraint(
                condition=Q(prefix__regex=r"^[0-9a-z]{12}$"), name="api_key_prefix_shape"
            ),
            models.CheckConstraint(
                condition=Q(key_hash__regex=r"^[0-9a-f]{64}$"), name="api_key_hash_shape"
            ),
        ]

    def __str__(self) -> str:
        return f"fs_{self.prefix}_… ({self.name})"
