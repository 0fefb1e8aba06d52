"""Who did what to which subject, and when."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from jobs.ids import new_id
from jobs.models.tenant import TenantManager

ACTION_SHAPE = r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$"


class AuditEvent(models.Model):
    """One event, written in the transaction of the work it tells of (F-03, C-05, D-06).

    Rows are inserted and never changed or removed: a trigger refuses it for every role, and the
    application role holds no such privilege. Subject and organization are ids without foreign
    keys: an event outlives what it is about and may come from the engine, which knows neither.
    """

    APPEND_ONLY: ClassVar[bool] = True

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization_id = models.UUIDField(null=True, blank=True, editable=False)
    action = models.CharField(max_length=100, editable=False)
    subject_type = models.CharField(max_length=50, editable=False)
    subject_id = models.CharField(max_length=100, editable=False)
    actor = models.CharField(max_length=150, editable=False)
    data = models.JSONField(default=dict, editable=False)
    request_id = models.CharField(max_length=128, blank=True, default="", editable=False)
    correlation_id = models.CharField(max_length=128, blank=True, default="", editable=False)
    occurred_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = TenantManager()

    class Meta:
        ordering = ("-id",)
        constraints = [
            models.CheckConstraint(
                condition=Q(action__regex=ACTION_SHAPE), name="audit_event_action_shape"
            ),
            models.CheckConstraint(
                condition=~Q(subject_type="") & ~Q(subject_id=""), name="audit_event_subject_named"
            ),
            models.CheckConstraint(condition=~Q(actor=""), name="audit_event_actor_named"),
        ]
        indexes = [
            models.Index(fields=["organization_id", "-id"], name="audit_event_org_idx"),
            models.Index(fields=["subject_type", "subject_id"], name="audit_event_subject_idx"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.subject_type} {self.subject_id}"
