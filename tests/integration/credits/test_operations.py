"""An operation and its event in one statement, without a transaction of the caller's."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from credits.errors import InsufficientCredits
from credits.models import Entry, Reservation
from credits.selectors import Funds, get_funds
from flagship.models import AuditEvent
from flagship.services.audit import event_values
from jobs.ids import public_id
from tests.factories import (
    make_account,
    make_hold,
    make_overdue_grant,
    make_overdue_hold,
)
from tests.integration.credits.acts import commit, release
from tests.ledger import assert_ledger_adds_up

pytestmark = pytest.mark.usefixtures("live_db")


def told(organization_id: uuid.UUID) -> list[tuple[str, str]]:
    """Every event about the organization's reservations and account, in order."""
    events = AuditEvent.objects.filter(organization_id=organization_id).order_by("id")
    return [(event.action, event.subject_id) for event in events]


# C-05
def test_operations__alone__commit_with_their_events() -> None:
    organization = make_account(credits=600)

    first, second = make_hold(organization, 150), make_hold(organization, 100)
    assert not connection.in_atomic_block
    commit(organization, first, 120)
    release(organization, second)

    one, two = (public_id("res", each.reservation_id) for each in (first, second))
    assert told(organization)[-4:] == [
        ("credits.reserved", one),
        ("credits.reserved", two),
        ("credits.committed", one),
        ("credits.released", two),
    ]
    datas = AuditEvent.objects.filter(subject_type="reservation").order_by("id")
    assert [event.data for event in datas][2:] == [
        {"charged": 120, "refunded": 30},
        {"reason": "build_failed", "released": 100},
    ]
    # The event's time is that of the work, not of the moment before the lock was waited for.
    times = dict(Entry.objects.exclude(kind="grant").values_list("seq", "created_at"))
    for event, at in zip(datas, [times[seq] for seq in sorted(times)][-4:], strict=True):
        assert event.occurred_at >= at
    assert_ledger_adds_up()


# C-02, C-05: what an operation finds overdue is told before it, in its transaction
@pytest.mark.parametrize("make_overdue", [make_overdue_hold, make_overdue_grant])
@pytest.mark.parametrize("is_alone", [True, False])
def test_operation__that_finds_something_overdue__tells_of_it_first(
    make_overdue: Callable[[uuid.UUID], Any], is_alone: bool
) -> None:
    organization = make_account(credits=600)
    make_overdue(organization)
    before = len(told(organization))

    if is_alone:
        hold = make_hold(organization, 10)
    else:
        with transaction.atomic():
            hold = make_hold(organization, 10)

    first, second = told(organization)[before:]
    assert first[0] in ("credits.reservation_expired", "credits.lapsed")
    assert second == ("credits.reserved", public_id("res", hold.reservation_id))
    event = AuditEvent.objects.get(action="credits.reserved", subject_id=second[1])
    assert event.data == {"amount": 10, "subject": "build build_123", "userId": ""}
    assert get_funds(organization_id=organization) == Funds(600, 10, 590)
    assert_ledger_adds_up()


# C-05
def test_overdue__with_an_event_that_fails__changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    organization = make_account(credits=600)
    overdue = make_overdue_hold(organization)
    before = told(organization)

    def fail(**_: Any) -> None:
        raise RuntimeError("no audit")

    monkeypatch.setattr("credits.services.ledger.record", fail)
    with pytest.raises(RuntimeError):
        make_hold(organization, 10)

    assert Reservation.objects.get().id == overdue.reservation_id
    assert Reservation.objects.get().state == "held"
    assert told(organization) == before


# C-05: the event commits with the work or not at all, also without a transaction of the caller's
def test_operation__alone_with_an_event_that_fails__changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    organization = make_account()
    before = told(organization)

    def spoilt(**values: Any) -> dict[str, Any]:
        return event_values(**values) | {"event_action": "no action"}

    monkeypatch.setattr("credits.services.operations.event_values", spoilt)
    with pytest.raises(IntegrityError, match="audit_event_action_shape"):
        make_hold(organization)

    assert (Reservation.objects.count(), told(organization)) == (0, before)
    assert get_funds(organization_id=organization) == Funds(1000, 0, 1000)


# C-03
def test_operation__alone_and_refused__changes_nothing_and_the_connection_goes_on() -> None:
    organization = make_account(credits=5)
    before = told(organization)

    with pytest.raises(InsufficientCredits):
        make_hold(organization, 6)

    assert (Reservation.objects.count(), told(organization)) == (0, before)
    assert make_hold(organization, 5).available_credits == 0
