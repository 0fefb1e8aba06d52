"""Give an organization limits of its own."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from flagship.errors import OrganizationNotFound
from flagship.models import Organization, OrganizationLimits
from flagship.models.limits import JOBS_MOST, parse_quota
from flagship.selectors.limits import POLICIES, forget
from flagship.services.audit import record
from jobs.errors import ReasonRequired

QUOTAS = tuple(f"per_{policy}" for policy in POLICIES)
FIELDS = (*QUOTAS, "jobs_in_flight_max")


def set_limits(
    *, organization_id: uuid.UUID, limits: dict[str, Any], actor: str, reason: str
) -> OrganizationLimits:
    """Replace all of an organization's own limits; what is not given follows the settings.

    `limits` holds `per_ip`, `per_organization`, `per_key`, `per_user` as `requests/seconds` or
    `off`, and `jobs_in_flight_max`. Rates are in force within two seconds, jobs in flight at once;
    neither ends work that has been accepted. The event says what was before and what is now.

    Raises: OrganizationNotFound; ReasonRequired; ValueError for limits that are none. Nothing has
    changed then.
    Source: E-07, W-10.
    """
    _assert_limits(limits)
    if not reason.strip():
        raise ReasonRequired
    given = {name: "" for name in QUOTAS} | {"jobs_in_flight_max": None} | limits
    with transaction.atomic():
        # One at a time, so that each event tells what the one before left.
        found = Organization.objects.filter(id=organization_id).select_for_update(no_key=True)
        if not found.exists():
            raise OrganizationNotFound
        before = OrganizationLimits.objects.filter(organization_id=organization_id).first()
        stored, _ = OrganizationLimits.objects.update_or_create(
            organization_id=organization_id, defaults={**given, "changed_at": Now()}
        )
        record(
            action="organization.limits_set",
            subject_type="organization",
            subject_id=str(organization_id),
            organization_id=organization_id,
            actor=actor,
            data={
                "before": {name: _told(getattr(before, name, None)) for name in FIELDS},
                "after": {name: _told(given[name]) for name in FIELDS},
                "reason": reason.strip(),
            },
        )
        transaction.on_commit(lambda: forget(organization_id=organization_id), robust=True)
    return stored


def _assert_limits(limits: dict[str, Any]) -> None:
    """Refuse what the table would refuse. Raises: ValueError."""
    if not limits.keys() <= set(FIELDS):
        raise ValueError(f"no such limits: {sorted(limits.keys() - set(FIELDS))}")
    for name in QUOTAS:
        if limits.get(name):
            parse_quota(limits[name])
    most = limits.get("jobs_in_flight_max")
    if most is not None and not 0 <= most <= JOBS_MOST:
        raise ValueError(f"jobs in flight are 0 to {JOBS_MOST}")


def _told(value: Any) -> Any:
    """Write what is left to the settings as null."""
    return None if value == "" else value
