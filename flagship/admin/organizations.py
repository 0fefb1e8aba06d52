"""Organizations, read-only."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Collection
from typing import ClassVar

from django.contrib import admin
from django.db.models import Q
from django.utils.safestring import SafeString
from unfold.decorators import display

from flagship.models import Organization
from jobs.admin import subjects
from jobs.admin.base import ReadOnlyAdmin
from jobs.admin.display import moment, mono
from jobs.ids import MalformedId, parse_public_id, public_id

PREFIX = "org"
FOUND = 100


def _names(ids: Collection[uuid.UUID]) -> dict[uuid.UUID, str]:
    """Read the names of these organizations."""
    return dict(Organization.objects.filter(pk__in=ids).values_list("pk", "name"))


def _find(text: str) -> list[uuid.UUID]:
    """Find organizations by id, slug or a part of the name."""
    wanted = Q(slug=text) | Q(name__icontains=text)
    with contextlib.suppress(MalformedId):
        wanted |= Q(pk=parse_public_id(PREFIX, text))
    return list(Organization.objects.filter(wanted).values_list("pk", flat=True)[:FOUND])


subjects.register(
    subjects.Subject(
        "organization", prefix=PREFIX, model="flagship.organization", names=_names, find=_find
    )
)


@admin.register(Organization)
class OrganizationAdmin(ReadOnlyAdmin):
    """Customers."""

    list_display = ("name", "slug", "public", "created")
    search_fields = ("name", "slug")
    search_ids: ClassVar = {PREFIX: ("pk",)}
    ordering = ("name",)
    fields = ("name", "slug", "public", "created")
    readonly_fields = ("public", "created")

    @display(description="Id")
    def public(self, organization: Organization) -> SafeString | str:
        """Id as clients know it."""
        return mono(public_id(PREFIX, organization.pk))

    @display(description="Created", ordering="created_at")
    def created(self, organization: Organization) -> SafeString | str:
        """When it came."""
        return moment(organization.created_at)
