"""Work that is due again and again."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class Schedule(models.Model):
    """When the next job of a kind is to be inserted (W-12).

    `next_run_at` moves in the transaction that inserts the job, whose dedupe key names the planned
    time, so any number of schedulers run a period once.
    """

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=100)
    payload = models.JSONField(default=dict)
    every_s = models.FloatField(null=True, blank=True)
    cron = models.CharField(max_length=100, blank=True, default="")
    timezone = models.CharField(max_length=64, default="UTC")
    enabled = models.BooleanField(default=True)
    next_run_at = models.DateTimeField()
    last_planned_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("name",)
        constraints = [
            models.CheckConstraint(
                condition=Q(every_s__isnull=False, every_s__gt=0, cron="")
                | (Q(every_s__isnull=True) & ~Q(cron="")),
                name="schedule_every_s_or_cron",
            ),
        ]
        indexes = [
            models.Index(fields=["next_run_at"], name="schedule_due_idx", condition=Q(enabled=True))
        ]

    def __str__(self) -> str:
        return self.name
