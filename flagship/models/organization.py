"""The tenant everything belongs to."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from jobs.ids import new_id
from jobs.models.tenant import TenantManager


class Organization(models.Model):
    """A customer: owner of projects, credits, keys and jobs (F-01).

    Written by `services.organizations`; never deleted while anything refers to it.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=60, unique=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = TenantManager("id")

    class Meta:
        ordering = ("name", "id")
        constraints = [
            models.CheckConstraint(condition=~Q(name=""), name="organization_name_present"),
            models.CheckConstraint(
                condition=Q(slug__regex=r"^[a-z0-9]+(-[a-z0-9]+)*$"),
                name="organization_slug_shape",
            ),
        ]

    def __str__(self) -> str:
        return self.name
