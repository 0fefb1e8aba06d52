"""One run of a job, written once and closed once."""

from __future__ import annotations

from django.db import models

from jobs.models.job import Job
from jobs.models.tenant import TenantManager
from jobs.states import Outcome


class JobAttempt(models.Model):
    """What happened in one run; never overwritten by a later one (W-05).

    `token` is the fence this run held, so that closing it twice cannot happen. `retry_at` is when
    the run that follows may start, from the same statement and clock reading as `ended_at`. A
    trigger refuses to write a closed one again (migrations/sql/guards.sql).
    """

    job = models.ForeignKey(
        # The unique index on (job, number) finds a job's attempts.
        Job,
        on_delete=models.CASCADE,
        related_name="attempt_set",
        db_index=False,
    )
    number = models.IntegerField()
    token = models.BigIntegerField()
    worker = models.CharField(max_length=100)
    outcome = models.CharField(
        max_length=20,
        choices=[(outcome.value, outcome.value) for outcome in Outcome],
        default=Outcome.RUNNING.value,
    )
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    retry_at = models.DateTimeField(null=True, blank=True)
    error_class = models.CharField(max_length=200, blank=True, default="")
    message = models.TextField(blank=True, default="")
    traceback = models.TextField(blank=True, default="")

    objects = TenantManager("job__organization_id")

    class Meta:
        ordering = ("job_id", "number")
        constraints = [
            models.UniqueConstraint(fields=["job", "number"], name="job_attempt_one_per_number"),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.job_id.hex}"
