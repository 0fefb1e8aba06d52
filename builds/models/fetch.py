"""A source that is being fetched from a git repository."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from builds.states import FetchState
from jobs.ids import new_id
from jobs.models.tenant import TenantManager

_QUEUED = Q(state=str(FetchState.QUEUED))
_READY = Q(state=str(FetchState.READY))
_FAILED = Q(state=str(FetchState.FAILED))


class Fetch(models.Model):
    """Written by builds.services.fetches; a trigger freezes one that has ended, none is deleted.

    Ends once: ready with the source it made, or failed with the reason. One of a project at a
    time, by constraint. `left_out` names what of the commit could not be in an archive.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey(
        "flagship.Organization", on_delete=models.PROTECT, related_name="+"
    )
    # Foreign keys with the organization: in the migration.
    project = models.ForeignKey(
        "builds.Project", on_delete=models.PROTECT, related_name="fetches", db_constraint=False
    )
    url = models.CharField(max_length=500)
    ref = models.CharField(max_length=200, blank=True, default="")
    state = models.CharField(
        max_length=10,
        choices=[(state.value, state.value) for state in FetchState],
        default=FetchState.QUEUED.value,
    )
    # Not a foreign key: finished jobs are pruned, fetches are kept.
    job_id = models.UUIDField(unique=True)
    commit = models.CharField(max_length=40, null=True, blank=True)  # noqa: DJ001
    source = models.ForeignKey(
        "builds.Source",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_constraint=False,
    )
    left_out = ArrayField(models.CharField(max_length=400), default=list, blank=True)
    error_code = models.CharField(max_length=60, null=True, blank=True)  # noqa: DJ001
    error_message = models.CharField(max_length=2000, blank=True, default="")
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = TenantManager()

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "fetches"
        constraints = [
            models.CheckConstraint(condition=_QUEUED | _READY | _FAILED, name="fetch_state_known"),
            models.CheckConstraint(
                condition=(_READY & Q(source__isnull=False, commit__isnull=False))
                | (~_READY & Q(source__isnull=True, commit__isnull=True)),
                name="fetch_source_of_ready",
            ),
            models.CheckConstraint(
                condition=(_FAILED & Q(error_code__isnull=False))
                | (~_FAILED & Q(error_code__isnull=True)),
                name="fetch_error_of_failed",
            ),
            models.CheckConstraint(
                condition=(_QUEUED & Q(finished_at__isnull=True))
                | (~_QUEUED & Q(finished_at__isnull=False)),
                name="fetch_finished_at_once_ended",
            ),
            models.UniqueConstraint(
                fields=["project"], condition=_QUEUED, name="fetch_one_at_a_time"
            ),
        ]
        indexes = [models.Index(fields=["project", "-id"], name="fetch_listing_idx")]

    def __str__(self) -> str:
        return f"{self.state} fetch of {self.url}"
