"""Who is there to work."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q


class WorkerHeartbeat(models.Model):
    """The last sign of life of one process (O-03), written by itself; pruned when long gone.

    Health only: the right to run a job is its lease, which is much shorter. `stopped_at` is a
    farewell; a process without one that has been silent for WORKER_STALE_S is stale, and
    `stale_reported_at` says that this has been published. Every time is the database's.
    """

    TENANT_READS: ClassVar[bool] = True

    name = models.CharField(max_length=100, primary_key=True)
    host = models.CharField(max_length=100)
    pid = models.PositiveIntegerField()
    role = models.CharField(max_length=20)
    queues = ArrayField(models.CharField(max_length=100), default=list)
    slots = models.PositiveIntegerField(default=0)
    busy = models.PositiveIntegerField(default=0)
    jobs_done = models.PositiveBigIntegerField(default=0)
    memory_bytes = models.PositiveBigIntegerField(default=0)
    version = models.CharField(max_length=50, blank=True, default="")
    started_at = models.DateTimeField()
    beat_at = models.DateTimeField()
    stopping = models.BooleanField(default=False)
    stopped_at = models.DateTimeField(null=True, blank=True)
    stale_reported_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("role", "started_at", "name")
        verbose_name = "worker"
        constraints = [
            models.CheckConstraint(
                condition=Q(role__in=["worker", "scheduler"]), name="worker_heartbeat_role_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name
