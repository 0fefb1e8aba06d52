"""A dead letter: a job that will not run again unless an operator says so."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from jobs.models.job import Job
from jobs.models.tenant import TenantManager
from jobs.states import LetterState


class FailedJob(models.Model):
    """One death of one job (D-01). A job that is requeued and dies again gets a second row.

    Kind, queue, organization, payload and request ids are copied, so that the letter says what
    died then, whatever has become of the job since. Rows that share a `fingerprint` died of the
    same cause.
    """

    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="death_set")
    kind = models.CharField(max_length=100)
    queue = models.CharField(max_length=100)
    organization_id = models.UUIDField(null=True, blank=True)
    state = models.CharField(
        max_length=20,
        choices=[(state.value, state.value) for state in LetterState],
        default=LetterState.OPEN.value,
    )
    error_class = models.CharField(max_length=200)
    message = models.TextField(blank=True, default="")
    traceback = models.TextField(blank=True, default="")
    fingerprint = models.CharField(max_length=64)
    attempts = models.PositiveIntegerField()
    payload = models.JSONField()
    request_id = models.CharField(max_length=100, blank=True, default="")
    correlation_id = models.CharField(max_length=100, blank=True, default="")
    died_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.CharField(max_length=200, blank=True, default="")
    reason = models.TextField(blank=True, default="")

    objects = TenantManager()

    class Meta:
        ordering = ("-died_at", "-id")
        verbose_name = "dead letter"
        permissions = [
            ("requeue_failedjob", "Can requeue a dead letter"),
            ("discard_failedjob", "Can discard a dead letter"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["job"], name="failed_job_one_open_per_job", condition=Q(state="open")
            ),
            models.CheckConstraint(
                condition=Q(state__in=[state.value for state in LetterState]),
                name="failed_job_state_known",
            ),
            models.CheckConstraint(
                condition=Q(state="open", resolved_at__isnull=True, resolved_by="", reason="")
                | (~Q(state="open") & Q(resolved_at__isnull=False) & ~Q(resolved_by="")),
                name="failed_job_resolved_when_not_open",
            ),
            models.CheckConstraint(
                condition=~Q(state="discarded") | ~Q(reason=""),
                name="failed_job_discard_has_reason",
            ),
        ]
        indexes = [
            models.Index(fields=["state", "-died_at"], name="failed_job_state_idx"),
            models.Index(fields=["fingerprint", "-died_at"], name="failed_job_fingerprint_idx"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.error_class}"
