"""The sweep of overdue holds."""

from __future__ import annotations

import uuid
from typing import Any

import psycopg
import pytest
from django.db import transaction

from credits.models import Entry, Reservation
from credits.payloads import ExpireReservations
from credits.selectors import Funds, get_funds
from credits.services import expire_reservations, expiry
from credits.services.ledger import record_expired
from flagship.models import AuditEvent
from jobs.registry import get_handler, scheduled
from tests.factories import make_account, make_hold, make_overdue_hold
from tests.ledger import assert_ledger_adds_up


def states() -> list[str]:
    return sorted(Reservation.objects.values_list("state", flat=True))


@pytest.mark.django_db
def test_sweep__overdue_and_live_holds__expires_the_overdue_ones_once() -> None:
    # C-02, C-05
    first, second = make_account(), make_account()
    make_hold(first, 100)
    make_overdue_hold(second, 200)
    make_overdue_hold(second, 300)
    # A new operation on the account has expired the first of the two by now.
    assert states() == ["expired", "held", "held"]

    assert expire_reservations() == 1
    assert expire_reservations() == 0

    assert states() == ["expired", "expired", "held"]
    assert get_funds(organization_id=second) == Funds(1000, 0, 1000)
    events = AuditEvent.objects.filter(action="credits.reservation_expired")
    assert {event.actor for event in events} == {"system:credits"}
    assert events.count() == 2
    assert_ledger_adds_up()


@pytest.mark.django_db
def test_sweep__more_than_its_limit__takes_the_oldest_first() -> None:
    # C-02
    holds = [make_overdue_hold(make_account()) for _ in range(3)]

    assert expire_reservations(limit=2) == 2

    left = Reservation.objects.get(state="held")
    assert left.id == holds[-1].reservation_id


@pytest.mark.django_db
def test_sweep__one_hold_that_cannot_be_settled__does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # The third mistake of 3.3: one bad row blocked the whole sweep
    bad, good = make_overdue_hold(make_account()), make_overdue_hold(make_account())

    def fail_for_bad(*, organization_id: uuid.UUID, reservation_ids: list[uuid.UUID]) -> None:
        if bad.reservation_id in reservation_ids:
            Entry.objects.create()  # Refused by the database.
        record_expired(organization_id=organization_id, reservation_ids=reservation_ids)

    monkeypatch.setattr(expiry, "record_expired", fail_for_bad)

    assert expire_reservations() == 1

    assert Reservation.objects.get(id=good.reservation_id).state == "expired"
    assert Reservation.objects.get(id=bad.reservation_id).state == "held"
    assert "reservation.expiry_failed" in caplog.text
    assert_ledger_adds_up()


def test_sweep__account_in_use__is_passed_over_without_waiting(
    live_db: None, owner_db: psycopg.Connection[Any]
) -> None:
    # C-02: SKIP LOCKED on the account
    busy, idle = make_overdue_hold(make_account()), make_overdue_hold(make_account())
    with owner_db.transaction():
        owner_db.execute(
            "SELECT 1 FROM credits_account WHERE id = (SELECT account_id FROM credits_reservation"
            " WHERE id = %s) FOR NO KEY UPDATE",
            (busy.reservation_id,),
        )
        assert expire_reservations() == 1

    assert Reservation.objects.get(id=idle.reservation_id).state == "expired"
    assert expire_reservations() == 1
    assert states() == ["expired", "expired"]
    assert_ledger_adds_up()


def test_sweep__inside_a_transaction__is_a_defect(live_db: None) -> None:
    # Each item commits by itself
    make_overdue_hold(make_account())

    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        expire_reservations()

    assert states() == ["held"]


@pytest.mark.django_db
def test_handler__of_the_sweep__is_declared_and_scheduled() -> None:
    # C-02, W-12
    make_overdue_hold(make_account())
    handler = get_handler("credits.expire_reservations")
    no_context: Any = None

    assert handler.queue == "flagship:maintenance"
    assert handler.function(ExpireReservations(), no_context) == {"expired": 1}
    every_s = {entry.name: entry.every_s for entry in scheduled()}
    assert every_s["credits.expire-reservations"] == 10
