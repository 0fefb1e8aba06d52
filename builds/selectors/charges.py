"""What builds say they were charged, for the reconciler of credits."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator

from builds.models import Build
from credits.services import Charge
from jobs.ids import public_id


def read_charges(organization_ids: Collection[uuid.UUID]) -> Iterator[Charge]:
    """Yield the charge of every build of these organizations; none but a deployed one has any.

    Read through a cursor of the server: call it in a transaction.
    """
    builds = Build.objects.filter(organization_id__in=organization_ids).order_by("id")
    columns = ("id", "organization_id", "reservation_id", "charged_credits")
    for build_id, organization_id, hold_id, charged in builds.values_list(*columns).iterator():
        yield Charge(public_id("build", build_id), organization_id, hold_id, charged)
