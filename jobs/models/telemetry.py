"""What has happened, for those who watch."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from jobs.models.tenant import TenantManager


class TelemetryEvent(models.Model):
    """One published event of the `shared` sink (O-02); pruned, never edited.

    A trigger makes every insert wait for the one before to commit before it takes its `sequence`,
    so numbers become visible in their order: whoever has read up to n has missed nothing below n,
    whatever transactions are still open. `key` lets a writer whose COMMIT got no answer repeat
    itself. Telemetry is a picture, not a record: what must not be lost is an audit event.
    """

    sequence = models.BigAutoField(primary_key=True)
    key = models.UUIDField(unique=True)
    name = models.CharField(max_length=100)
    at = models.DateTimeField()
    organization_id = models.UUIDField(null=True, blank=True)
    source = models.CharField(max_length=150)
    request_id = models.CharField(max_length=100, blank=True, default="")
    correlation_id = models.CharField(max_length=100, blank=True, default="")
    data = models.JSONField(default=dict)

    objects = TenantManager()

    class Meta:
        ordering = ("-sequence",)
        verbose_name_plural = "live log"
        constraints = [
            models.CheckConstraint(condition=~Q(name=""), name="telemetry_event_has_a_name"),
        ]
        indexes = [
            models.Index(
                fields=["organization_id", "-sequence"], name="telemetry_organization_idx"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.sequence} {self.name}"
