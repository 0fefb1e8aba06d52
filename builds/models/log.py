"""What happened to a build: its moves, and what its builder said."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from jobs.models.tenant import TenantManager


class BuildTransition(models.Model):
    """One move of a build. Only the state trigger writes these; they are never edited (B-02)."""

    TRIGGER_WRITTEN: ClassVar[bool] = True

    id = models.BigAutoField(primary_key=True)
    build = models.ForeignKey(  # build_transition_unique is its index
        "builds.Build", on_delete=models.PROTECT, related_name="transitions", db_index=False
    )
    seq = models.PositiveSmallIntegerField()
    from_state = models.CharField(max_length=20, null=True)  # noqa: DJ001 (the first has none)
    to_state = models.CharField(max_length=20)
    actor = models.CharField(max_length=150)
    fence = models.PositiveBigIntegerField(null=True)
    at = models.DateTimeField(db_default=Now())

    objects = TenantManager("build__organization_id")

    class Meta:
        ordering = ("build", "seq")
        constraints = [
            models.UniqueConstraint(fields=["build", "seq"], name="build_transition_unique"),
            models.CheckConstraint(condition=Q(seq__gte=1), name="build_transition_seq_from_1"),
        ]

    def __str__(self) -> str:
        return f"{self.from_state or '-'} to {self.to_state}"


class BuildLogLine(models.Model):
    """One line of a build's log, numbered from 1 without gaps; never edited (B-05).

    Numbers are given under the lock of the build's job, so lines commit in their order and a
    reader that has seen `seq` has seen everything before it.
    """

    APPEND_ONLY: ClassVar[bool] = True

    id = models.BigAutoField(primary_key=True)
    build = models.ForeignKey(  # build_log_line_unique is its index
        "builds.Build", on_delete=models.PROTECT, related_name="log_lines", db_index=False
    )
    seq = models.PositiveIntegerField()
    stream = models.CharField(max_length=10)
    text = models.TextField()
    at = models.DateTimeField(db_default=Now())

    objects = TenantManager("build__organization_id")

    class Meta:
        ordering = ("build", "seq")
        constraints = [
            models.UniqueConstraint(fields=["build", "seq"], name="build_log_line_unique"),
            models.CheckConstraint(condition=Q(seq__gte=1), name="build_log_line_seq_from_1"),
            models.CheckConstraint(
                condition=Q(stream__in=["stdout", "stderr", "system"]),
                name="build_log_line_stream_known",
            ),
        ]

    def __str__(self) -> str:
        return self.text
