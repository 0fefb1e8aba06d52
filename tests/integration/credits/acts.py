"""Short forms of the services, and a check that a refusal changed nothing."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from credits.models import Entry, Reservation
from credits.selectors import get_funds
from credits.services import (
    commit_reservation,
    release_reservation,
)
from flagship.models import AuditEvent
from jobs.errors import Refusal


def audited(organization_id: uuid.UUID) -> list[str]:
    events = AuditEvent.objects.filter(organization_id=organization_id).order_by("id")
    return [event.action for event in events if event.action.startswith("credits.")]


def commit(organization_id: uuid.UUID, hold: Any, credits: int, **options: Any) -> Any:
    return commit_reservation(
        reservation_id=hold.reservation_id,
        organization_id=organization_id,
        actual_credits=credits,
        actor="test",
        **options,
    )


def release(organization_id: uuid.UUID, hold: Any, reason: str = "build_failed") -> Any:
    return release_reservation(
        reservation_id=hold.reservation_id,
        organization_id=organization_id,
        reason=reason,
        actor="test",
    )


def refused(organization_id: uuid.UUID, error: type[Refusal], act: Callable[[], Any]) -> Refusal:
    """Check that `act` is refused and has changed nothing."""

    def state() -> Any:
        holds = Reservation.objects.order_by("id").values_list("id", "state", "expires_at")
        counts = (Entry.objects.count(), AuditEvent.objects.count())
        return get_funds(organization_id=organization_id), counts, list(holds)

    before = state()
    with pytest.raises(error) as caught, transaction.atomic():
        act()
    assert state() == before
    assert type(caught.value) is error
    return caught.value
