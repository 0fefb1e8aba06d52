"""A queue whose jobs wait."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q


class QueuePause(models.Model):
    """One paused queue (W-17): its jobs are accepted and kept, and none is started.

    A row whose `resume_at` has come counts as none; the next pause of its queue replaces it. Who
    paused and resumed what is kept by the audit events, not here.
    """

    TENANT_READS: ClassVar[bool] = True

    queue = models.CharField(max_length=100, unique=True)
    paused_at = models.DateTimeField()
    paused_by = models.CharField(max_length=150)
    reason = models.CharField(max_length=500)
    resume_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("queue",)
        verbose_name = "queue"
        permissions = [("pause_queue", "Can pause and resume a queue")]
        constraints = [
            models.CheckConstraint(
                condition=~Q(paused_by="") & ~Q(reason=""), name="queue_pause_has_actor_and_reason"
            ),
            models.CheckConstraint(
                condition=Q(resume_at__isnull=True) | Q(resume_at__gt=F("paused_at")),
                name="queue_pause_ends_after_it_begins",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.queue} paused by {self.paused_by}"
