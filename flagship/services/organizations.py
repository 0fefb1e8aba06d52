"""Make organizations."""

from __future__ import annotations

import re
import secrets

from django.db import transaction
from django.utils.text import slugify

from flagship.models import Organization
from flagship.services.audit import record

SLUG_LENGTH = 60


def create_organization(*, name: str, actor: str = "system") -> Organization:
    """Create an organization under a slug made from its name.

    Names need not be unique; a slug that is taken gets six random digits.

    Raises: ValueError for an empty name or one over 200 characters.
    Source: F-01.
    """
    name = name.strip()
    if not 0 < len(name) <= 200 or "\x00" in name:
        raise ValueError("an organization's name has 1 to 200 characters")
    words = re.sub(r"[^a-z0-9]+", "-", slugify(name))
    slug = words[: SLUG_LENGTH - 7].strip("-") or "organization"
    with transaction.atomic():
        organization = _insert(name=name, slug=slug)
        record(
            action="organization.created",
            subject_type="organization",
            subject_id=str(organization.id),
            organization_id=organization.id,
            actor=actor,
            data={"name": name, "slug": organization.slug},
        )
    return organization


def _insert(*, name: str, slug: str) -> Organization:
    """Insert under `slug`, or under one with a random tail where it is taken."""
    candidates = [slug, *(f"{slug}-{secrets.token_hex(3)}" for _ in range(3))]
    for candidate in candidates:
        organization = Organization(name=name, slug=candidate)
        made = Organization.objects.bulk_create([organization], ignore_conflicts=True)
        found = Organization.objects.filter(id=made[0].id).first()
        if found:
            return found
    raise RuntimeError("no free slug in four tries")
