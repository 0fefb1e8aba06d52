"""Which limits hold for whom: the settings', or an organization's own (E-07, W-10)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Final

from django.conf import settings

from flagship.models import OrganizationLimits
from flagship.models.limits import Quota, parse_quota
from flagship.selectors.recent import Recent
from jobs.clients.wall import inside

POLICIES: Final = ("ip", "organization", "key", "user")
"""Those that an organization may have of its own; `site` is everybody's."""

KEPT_S: Final = 2.0
"""A change is in force in every process after so long."""


@dataclass(frozen=True, slots=True)
class OwnLimits:
    """What an organization has of its own, as text by policy; what it has not is not there."""

    quotas: dict[str, str]


_NONE: Final = OwnLimits({})
_recent: Final = Recent[uuid.UUID, OwnLimits](KEPT_S)


def quota_of(policy: str, own: OwnLimits = _NONE) -> Quota | None:
    """Return the quota of a policy; None where it is off."""
    return parse_quota(own.quotas.get(policy) or default_of(policy))


def default_of(policy: str) -> str:
    """Return what the settings say of a policy, as text."""
    return str(getattr(settings, f"RATE_LIMIT_{policy.upper()}"))


def own_limits(*, organization_id: uuid.UUID) -> OwnLimits:
    """Return an organization's own limits, at most KEPT_S seconds old."""
    own = _recent.get(organization_id)
    if own is None:
        own = _read(organization_id)
        _recent.keep(organization_id, own)
    return own


def forget(*, organization_id: uuid.UUID) -> None:
    """Read an organization's limits anew at its next request to this process."""
    _recent.forget(organization_id)


def jobs_in_flight_max(*, organization_id: uuid.UUID) -> int | None:
    """Return how many jobs an organization may have in flight; None where the settings decide.

    Read each time: it is asked under the lock of an admission and decides at once.
    """
    found = OrganizationLimits.objects.for_organization(organization_id)
    return found.values_list("jobs_in_flight_max", flat=True).first()


def _read(organization_id: uuid.UUID) -> OwnLimits:
    names = [f"per_{policy}" for policy in POLICIES]
    # Asked before the request has its transaction.
    with inside(organization_id):
        row = OrganizationLimits.objects.for_organization(organization_id).values(*names).first()
    if row is None:
        return _NONE
    return OwnLimits({policy: row[f"per_{policy}"] for policy in POLICIES if row[f"per_{policy}"]})
