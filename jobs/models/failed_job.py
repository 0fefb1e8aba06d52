"""A dead letter: a job that will not run again unless an operator says so."""

from __future__ import annotations

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector
from django.db import models
from django.db.models import Q

from jobs.models.job import Job
from jobs.models.tenant import TenantManager
from jobs.states import LetterState


class FailedJob(models.Model):
    """One death of one job (D-01). A job that is requeued and dies again gets a second row.

    Kind, queue, organization, payload and request ids are copied, so that the letter says what
    died then, whatever has become of the job since. Rows that share a `fingerprint` died of the
    same cause and are a `FailureGroup`. `edited_payload` is what an operator sent the job back
    with instead of `payload`, which stays.
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
    edited_payload = models.JSONField(null=True, blank=True)
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
            ("edit_failedjob", "Can edit the payload of a dead letter and requeue it"),
            ("clean_failedjob", "Can clean up old dead letters"),
            ("export_failedjob", "Can export dead letters"),
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
            models.CheckConstraint(
                condition=Q(edited_payload__isnull=True) | Q(state="requeued"),
                name="failed_job_edited_when_requeued",
            ),
        ]
        indexes = [
            # One for each filter of the list, in the order of its pages (ADR 0018).
            models.Index(fields=["-died_at", "-id"], name="failed_job_died_idx"),
            models.Index(fields=["state", "-died_at", "-id"], name="failed_job_state_idx"),
            models.Index(fields=["queue", "-died_at", "-id"], name="failed_job_queue_idx"),
            models.Index(fields=["kind", "-died_at", "-id"], name="failed_job_kind_idx"),
            models.Index(fields=["error_class", "-died_at", "-id"], name="failed_job_error_idx"),
            models.Index(
                fields=["organization_id", "-died_at", "-id"], name="failed_job_organization_idx"
            ),
            # The state comes along, so that a cleanup is foreseen without reading letters.
            models.Index(
                fields=["fingerprint", "-died_at", "-id"],
                include=["state"],
                name="failed_job_fingerprint_idx",
            ),
            models.Index(fields=["request_id"], name="failed_job_request_idx"),
            GinIndex(
                fields=["payload"], opclasses=["jsonb_path_ops"], name="failed_job_payload_idx"
            ),
            GinIndex(SearchVector("message", config="simple"), name="failed_job_message_idx"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.error_class}"
