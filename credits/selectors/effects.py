"""What an Idempotency-Key has reserved (E-01)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from credits.models import Reservation
from flagship.selectors.effects import Effect
from jobs.ids import public_id


def read_effects(organization_id: uuid.UUID, key: str) -> Iterator[Effect]:
    """Yield the reservation that bears the key, if there is one."""
    found = Reservation.objects.for_organization(organization_id).filter(reference=f"key:{key}")
    for reservation in found:
        yield Effect("reservation", public_id("res", reservation.id), reservation.created_at)
