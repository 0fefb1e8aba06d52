"""An uploaded archive of a website's files."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from jobs.ids import new_id
from jobs.models.tenant import TenantManager


class Source(models.Model):
    """Written once by builds.services.sources, never edited: the archive is its sha256.

    The same bytes sent to one project again are the same source. The file itself lies in the
    content-addressed storage, shared by every row that names its digest.
    """

    APPEND_ONLY: ClassVar[bool] = True

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey(
        "flagship.Organization", on_delete=models.PROTECT, related_name="+"
    )
    # Foreign key with the organization: in the migration.
    project = models.ForeignKey(
        "builds.Project", on_delete=models.PROTECT, related_name="sources", db_constraint=False
    )
    sha256 = models.CharField(max_length=64)
    kind = models.CharField(max_length=10)
    size_bytes = models.PositiveBigIntegerField()
    unpacked_bytes = models.PositiveBigIntegerField()
    file_count = models.PositiveIntegerField()
    created_at = models.DateTimeField(db_default=Now())

    objects = TenantManager()

    class Meta:
        ordering = ("-id",)
        constraints = [
            models.UniqueConstraint(fields=["project", "sha256"], name="source_unique_in_project"),
            # Target of the builds' composite foreign key.
            models.UniqueConstraint(
                fields=["organization", "project", "id"], name="source_tenant_key"
            ),
            models.CheckConstraint(
                condition=Q(sha256__regex="^[0-9a-f]{64}$"), name="source_sha256_well_formed"
            ),
        ]

    def __str__(self) -> str:
        return self.sha256[:12]
