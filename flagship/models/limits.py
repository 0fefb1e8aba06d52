"""How much an organization may ask for, where that is not what everybody may."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from flagship.models.organization import Organization
from jobs.models.tenant import TenantManager

OFF: Final = "off"
QUOTA_SHAPE: Final = r"^(off|[1-9][0-9]{0,6}/[1-9][0-9]{0,4})$"
"""`600/60` is 600 requests in any 60 seconds; `off` is no limit."""
JOBS_MOST: Final = 100_000


@dataclass(frozen=True, slots=True)
class Quota:
    """At most `requests` requests in any `window_s` seconds."""

    requests: int
    window_s: int


@cache
def parse_quota(text: str) -> Quota | None:
    """Return the quota that `600/60` stands for; None for `off`.

    Raises: ValueError for what is neither.
    """
    if not re.fullmatch(QUOTA_SHAPE, text):
        raise ValueError(f"a limit reads requests/seconds or off, not {text!r}")
    if text == OFF:
        return None
    requests, _, window_s = text.partition("/")
    return Quota(int(requests), int(window_s))


def quota_field() -> models.CharField[str, str]:
    """Return the column of one policy; empty leaves it to the settings."""
    told = "Requests/seconds, such as 600/60, or off."
    return models.CharField(
        max_length=13, blank=True, default="", validators=[RegexValidator(QUOTA_SHAPE, told)]
    )


def _well_formed(name: str) -> models.CheckConstraint:
    return models.CheckConstraint(
        condition=Q(**{name: ""}) | Q(**{f"{name}__regex": QUOTA_SHAPE}),
        name=f"limits_{name}_shape",
    )


class OrganizationLimits(models.Model):
    """One organization's own limits; what is empty follows the settings (E-07, W-10).

    Written by `services.limits` with an audit event. `per_*` are quotas as text, in the notation
    of the settings; `jobs_in_flight_max` replaces JOBS_IN_FLIGHT_MAX, 0 lets no job in.
    """

    organization = models.OneToOneField(
        Organization, on_delete=models.CASCADE, primary_key=True, related_name="limits"
    )
    per_ip = quota_field()
    per_organization = quota_field()
    per_key = quota_field()
    per_user = quota_field()
    jobs_in_flight_max = models.PositiveIntegerField(null=True, blank=True)
    changed_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = TenantManager()

    class Meta:
        verbose_name = verbose_name_plural = "organization's limits"
        permissions = [("set_limits", "Can set an organization's limits")]
        constraints = [
            *(_well_formed(name) for name in ("per_ip", "per_organization", "per_key", "per_user")),
            models.CheckConstraint(
                condition=Q(jobs_in_flight_max__isnull=True) | Q(jobs_in_flight_max__lte=JOBS_MOST),
                name="limits_jobs_in_flight_bounded",
            ),
        ]

    def __str__(self) -> str:
        return f"limits of {self.organization_id}"
