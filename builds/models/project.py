"""A website of one organization."""

from __future__ import annotations

from typing import Final

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from jobs.ids import new_id
from jobs.models.tenant import TenantManager

MAX_ACTIVE_LIMIT: Final = 20
SLUG_PATTERN: Final = r"^[a-z0-9](?:[a-z0-9-]{0,48}[a-z0-9])?$"


class Project(models.Model):
    """Written by builds.services.projects; edited by its organization, never deleted.

    `site_name` is the project's place in the address space that all organizations share. It ends
    in digits of the id, so that a slug another organization uses is neither taken nor revealed.
    `live_build` changes only in the transaction that deploys; the database checks that it names a
    deployed build of this very project. `max_active` is copied into every build by a cascading
    composite foreign key, which is what makes the limit a constraint (B-03). `revision` is counted
    by a trigger at every change and is what clients compare (If-Match). With `newest_wins` a new
    build cancels those of the project that still wait.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey(
        "flagship.Organization", on_delete=models.PROTECT, related_name="projects"
    )
    name = models.CharField(max_length=100)
    slug = models.CharField(max_length=50, validators=[RegexValidator(SLUG_PATTERN)])
    site_name = models.CharField(max_length=60, unique=True)
    max_active = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1), MaxValueValidator(MAX_ACTIVE_LIMIT)]
    )
    newest_wins = models.BooleanField(default=False, db_default=False)
    default_builder = models.CharField(max_length=50)
    revision = models.PositiveBigIntegerField(default=1, db_default=1)
    # The real foreign key names the project too, and is in the migration.
    live_build = models.ForeignKey(
        "builds.Build",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_constraint=False,
    )
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    objects = TenantManager()

    class Meta:
        ordering = ("-id",)
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "slug"], name="project_slug_unique_in_organization"
            ),
            # Targets of composite foreign keys.
            models.UniqueConstraint(fields=["organization", "id"], name="project_tenant_key"),
            models.UniqueConstraint(fields=["id", "max_active"], name="project_max_active_key"),
            models.CheckConstraint(
                condition=Q(max_active__gte=1, max_active__lte=MAX_ACTIVE_LIMIT),
                name="project_max_active_in_range",
            ),
            models.CheckConstraint(
                condition=Q(slug__regex=SLUG_PATTERN), name="project_slug_well_formed"
            ),
            models.CheckConstraint(condition=~Q(name=""), name="project_name_present"),
        ]
        indexes = [models.Index(fields=["organization", "-id"], name="project_listing_idx")]

    def __str__(self) -> str:
        return self.slug
