"""What happened to a build, numbered without gaps."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from builds.states import BuildEventName
from jobs.models.tenant import TenantManager


class BuildEvent(models.Model):
    """One thing that happened to a build; numbered from 1 without gaps, never edited (B-08).

    A trigger on the build's row writes them, whoever changed it and how, so that the log cannot
    miss a change. Only `build.replayed`, which changes no build, is inserted by a service. Number,
    state and time are the database's: they are given under the lock of the build's row, so that
    events commit in their order and a reader that has seen `seq` has seen everything before it.
    """

    APPEND_ONLY: ClassVar[bool] = True

    id = models.BigAutoField(primary_key=True)
    build = models.ForeignKey(  # build_event_unique is its index
        "builds.Build", on_delete=models.PROTECT, related_name="events", db_index=False
    )
    seq = models.PositiveIntegerField(default=0)
    name = models.CharField(max_length=60)
    # Where the build stood when it had happened.
    state = models.CharField(max_length=20, blank=True, default="")
    actor = models.CharField(max_length=150)
    data = models.JSONField(default=dict, blank=True)
    at = models.DateTimeField(db_default=Now())

    objects = TenantManager("build__organization_id")

    class Meta:
        ordering = ("build", "seq")
        constraints = [
            models.UniqueConstraint(fields=["build", "seq"], name="build_event_unique"),
            models.CheckConstraint(condition=Q(seq__gte=1), name="build_event_seq_from_1"),
            models.CheckConstraint(
                condition=Q(name__in=[str(name) for name in BuildEventName]),
                name="build_event_known",
            ),
            models.CheckConstraint(condition=~Q(actor=""), name="build_event_actor_named"),
        ]

    def __str__(self) -> str:
        return f"{self.seq}. {self.name}"
