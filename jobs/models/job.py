"""One unit of work that was accepted and will end exactly once."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from jobs.ids import new_id
from jobs.models.tenant import TenantManager
from jobs.states import JobState


class Job(models.Model):
    """The row is the truth about a job; RQ only carries its id (W-04, W-05).

    Three counters are kept apart. `attempts` counts runs started and numbers them from 1, also
    across a requeue. `failures` is the retry budget used: the job is dead when it has more than
    `backoff_s` has waits. `crashes` counts lost workers, which cost no retry; the third is fatal
    (W-06). `losses` counts doorbells that went missing, perhaps with a worker: lost twice, the
    job runs in a process of its own (ADR 0009). `lease_token` is the fence: it only grows, and a
    write that names an older one is refused. Every time in here was read from the database's
    clock. What a row may be and become is held by triggers (migrations/sql/guards.sql, ADR 0011).
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(max_length=100)
    version = models.IntegerField(default=1)
    queue = models.CharField(max_length=100)
    organization_id = models.UUIDField(null=True, blank=True)
    payload = models.JSONField()
    dedupe_key = models.CharField(max_length=200, null=True, blank=True)  # noqa: DJ001 (unique)

    state = models.CharField(
        max_length=20,
        choices=[(state.value, state.value) for state in JobState],
        default=JobState.PENDING.value,
    )
    attempts = models.IntegerField(default=0)
    failures = models.IntegerField(default=0)
    crashes = models.IntegerField(default=0)
    losses = models.IntegerField(default=0)
    backoff_s = ArrayField(models.FloatField(), default=list)
    timeout_s = models.FloatField()

    next_attempt_at = models.DateTimeField(null=True, blank=True)
    delivery_no = models.IntegerField(default=0)
    published_at = models.DateTimeField(null=True, blank=True)
    lease_token = models.BigIntegerField(default=0)
    lease_owner = models.CharField(max_length=100, blank=True, default="")
    lease_until = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)

    request_id = models.CharField(max_length=100, blank=True, default="")
    correlation_id = models.CharField(max_length=100, blank=True, default="")
    progress = models.JSONField(null=True, blank=True)
    result = models.JSONField(null=True, blank=True)

    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = TenantManager()

    class Meta:
        ordering = ("-id",)
        permissions = [("cancel_job", "Can cancel a job, or stop it")]
        constraints = [
            models.UniqueConstraint(
                fields=["dedupe_key"],
                name="job_dedupe_key_unique",
                condition=Q(dedupe_key__isnull=False),
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_attempt_at"],
                name="job_due_idx",
                condition=Q(state__in=["pending", "retry_wait"]),
            ),
            models.Index(
                fields=["queue", "published_at"],
                name="job_published_idx",
                condition=Q(state="queued"),
            ),
            models.Index(
                fields=["lease_until"], name="job_lease_idx", condition=Q(state="running")
            ),
            models.Index(
                fields=["organization_id", "-id"],
                name="job_organization_idx",
                condition=Q(organization_id__isnull=False),
            ),
            models.Index(
                fields=["organization_id", "kind"],
                name="job_in_flight_idx",
                condition=Q(organization_id__isnull=False, finished_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id.hex}"

    @property
    def max_attempts(self) -> int:
        """Runs that may fail before the job is a dead letter: "5 retries" are 6 (W-02)."""
        return len(self.backoff_s) + 1
