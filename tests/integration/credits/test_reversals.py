"""Reversals: new entries, never more than the original, once per reference (C-05, C-07)."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest

from credits.errors import (
    EntryNotReversible,
    LedgerEntryNotFound,
    ReferenceReused,
    ReversalTooLarge,
)
from credits.models import Account, Entry
from credits.selectors import Funds, get_funds
from credits.services import Reversed, lapse_grants, reverse_entry
from flagship.models import AuditEvent
from tests.factories import make_account, make_grant, make_hold
from tests.integration.credits.acts import audited, commit, refused
from tests.integration.credits.test_lots import left, spend
from tests.ledger import assert_ledger_adds_up

pytestmark = pytest.mark.django_db


def undo(organization_id: uuid.UUID, seq: int, amount: int | None = None, **given: Any) -> Reversed:
    return reverse_entry(
        organization_id=organization_id,
        entry_seq=seq,
        amount_credits=amount,
        reason="a mistake",
        actor="user:ana",
        reference=given.get("reference", uuid.uuid4().hex),
    )


def charge_of(organization_id: uuid.UUID) -> int:
    return Entry.objects.get(account__organization_id=organization_id, kind="commit").seq


def test_charge__reversed_in_parts__goes_back_where_it_came_from_last_first() -> None:
    # C-07
    organization = make_account(credits=0)
    first, second = make_grant(organization, 30, priority=1), make_grant(organization, 30)
    spend(organization, 50)
    charge = charge_of(organization)

    done = undo(organization, charge, 25)

    assert (done.reversed_credits, done.available_credits) == (25, 35)
    assert left(organization) == {first: 5, second: 30}
    assert undo(organization, charge).reversed_credits == 25
    assert left(organization) == {first: 30, second: 30}
    account = Account.objects.get()
    assert (account.charged, account.issued, account.balance) == (0, 60, 60)
    assert_ledger_adds_up()


def test_charge__reversed_more_than_it_was__is_refused() -> None:
    # C-07: never more than the original
    organization = make_account(credits=100)
    spend(organization, 50)
    charge = charge_of(organization)
    undo(organization, charge, 40)

    refusal = refused(organization, ReversalTooLarge, lambda: undo(organization, charge, 11))
    assert (refusal.status, refusal.data) == (422, {"reversible": 10})
    undo(organization, charge, 10)
    refused(organization, ReversalTooLarge, lambda: undo(organization, charge))
    assert_ledger_adds_up()


def test_grant__reversed__takes_back_only_what_is_unspent_and_not_held() -> None:
    # C-07
    organization = make_account(credits=0)
    grant = make_grant(organization, 100)
    other = make_grant(organization, 100, priority=500)
    spend(organization, 30)
    make_hold(organization, 110)

    refusal = refused(organization, ReversalTooLarge, lambda: undo(organization, grant, 61))
    assert refusal.data == {"reversible": 60}
    assert undo(organization, grant).reversed_credits == 60
    assert left(organization) == {grant: 10, other: 100}
    account = Account.objects.get()
    assert (account.issued, account.balance, account.reserved) == (140, 110, 110)
    assert get_funds(organization_id=organization) == Funds(110, 110, 0)
    assert_ledger_adds_up()


def test_reversal__same_reference__happens_once() -> None:
    # C-05
    organization = make_account(credits=100)
    spend(organization, 50)
    charge = charge_of(organization)

    first = undo(organization, charge, 20, reference="r")

    assert undo(organization, charge, 20, reference="r") == first
    assert undo(organization, charge, reference="r") == first
    refused(organization, ReferenceReused, lambda: undo(organization, charge, 21, reference="r"))
    refused(organization, ReferenceReused, lambda: undo(organization, 1, 20, reference="r"))
    event = AuditEvent.objects.get(action="credits.reversed")
    assert (event.actor, event.data["amount"], event.data["original"]) == ("user:ana", 20, charge)
    assert event.data["originalKind"] == "commit"
    assert get_funds(organization_id=organization).balance == 70


def test_reversal__of_a_charge_whose_grant_has_lapsed__lapses_with_the_next_operation() -> None:
    # docs/credits.md
    organization = make_account(credits=0)
    make_grant(organization, 40, lapses_in_s=0.4)
    spend(organization, 40)
    charge = charge_of(organization)
    time.sleep(0.41)

    undo(organization, charge)

    assert get_funds(organization_id=organization) == Funds(0, 0, 0)
    assert lapse_grants() == 1
    assert audited(organization)[-2:] == ["credits.reversed", "credits.lapsed"]
    assert_ledger_adds_up()


@pytest.mark.parametrize(
    ("seq", "error"),
    [(0, EntryNotReversible), (2, EntryNotReversible), (99, LedgerEntryNotFound)],
)
def test_reversal__of_what_is_no_grant_or_charge__is_refused(seq: int, error: type) -> None:
    # C-07
    organization = make_account(credits=100)
    hold = make_hold(organization, 10)

    refused(organization, error, lambda: undo(organization, seq, 5))

    commit(organization, hold, 0)
    refused(organization, EntryNotReversible, lambda: undo(organization, 3))


def test_reversal__of_a_reversal__is_refused() -> None:
    # C-07: a reversal is undone by granting or charging anew
    organization = make_account(credits=100)
    done = undo(organization, 1, 40)

    refused(organization, EntryNotReversible, lambda: undo(organization, done.entry_seq))


@pytest.mark.parametrize("given", [{"amount": 0}, {"amount": 10**12 + 1}, {"reference": ""}])
def test_reversal__out_of_range__is_refused(given: dict[str, Any]) -> None:
    organization = make_account(credits=100)

    with pytest.raises(ValueError, match="reversal"):
        undo(organization, 1, **given)
