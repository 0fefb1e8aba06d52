"""What is left of a dead letter that was deleted."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from jobs.models.tenant import TenantManager


class LetterTombstone(models.Model):
    """Says of a deleted dead letter what it was, who deleted it and when (D-04).

    Written in the transaction that deletes. `state` is the letter's last one; `payload_sha256` is
    the hash of its payload as PostgreSQL writes it, so that a payload found elsewhere can be told
    to be the one or not, and nothing of it is kept.
    """

    letter_id = models.BigIntegerField(primary_key=True)
    job_id = models.UUIDField()
    kind = models.CharField(max_length=100)
    queue = models.CharField(max_length=100)
    organization_id = models.UUIDField(null=True, blank=True)
    error_class = models.CharField(max_length=200)
    fingerprint = models.CharField(max_length=64)
    attempts = models.PositiveIntegerField()
    payload_sha256 = models.CharField(max_length=64)
    state = models.CharField(max_length=20)
    died_at = models.DateTimeField()
    resolved_by = models.CharField(max_length=200, blank=True, default="")
    reason = models.TextField(blank=True, default="")
    request_id = models.CharField(max_length=100, blank=True, default="")
    removed_at = models.DateTimeField(db_default=Now())
    removed_by = models.CharField(max_length=150)

    objects = TenantManager()

    class Meta:
        ordering = ("-removed_at", "-letter_id")
        verbose_name = "deleted dead letter"
        indexes = [
            models.Index(fields=["job_id"], name="letter_tombstone_job_idx"),
            models.Index(fields=["fingerprint", "-died_at"], name="letter_tombstone_group_idx"),
            models.Index(fields=["-removed_at", "-letter_id"], name="letter_tombstone_removed_idx"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.error_class}"
