"""Many clients ask one account for more than it has (P18, P19)."""

from __future__ import annotations

import time
import uuid
from functools import partial
from typing import Any

import psycopg

from credits.errors import InsufficientCredits, ReferenceReused
from credits.models import Entry, Reservation
from credits.selectors import Funds, get_funds
from credits.services import commit_reservation, grant_credits, open_account
from flagship.models import AuditEvent
from flagship.services.organizations import create_organization
from tests.factories import make_account, make_hold
from tests.ledger import assert_ledger_adds_up
from tests.races.racers import Racers
from tests.soak import full

CLIENTS = 8
DRAINS = full(25, 500)


def drain(organization: uuid.UUID, amount: int) -> list[tuple[float, float, Any]]:
    """Reserve until refused; return start, end and reply of each accepted call."""
    taken: list[tuple[float, float, Any]] = []
    while True:
        started = time.monotonic()
        try:
            hold = make_hold(organization, amount)
        except InsufficientCredits as refusal:
            assert refusal.data["available"] < amount
            return taken
        taken.append((started, time.monotonic(), hold))


def drain_a_new_one(racers: Racers, amount: int) -> None:
    """Drain an account of 100 credits from all sides; it gives what it has."""
    organization = make_account(credits=100)

    taken = racers.race([partial(drain, organization, amount)] * CLIENTS)

    assert [holds for holds in taken if not isinstance(holds, list)] == []
    assert sum(len(holds) for holds in taken) == 100 // amount
    left = 100 % amount
    assert get_funds(organization_id=organization) == Funds(100, 100 - left, left)


def test_account__drained_by_many__gives_exactly_what_it_has(live_db: None) -> None:
    # P18
    with Racers(CLIENTS) as racers:
        for number in range(DRAINS):
            drain_a_new_one(racers, 3 + number % 5)

    assert_ledger_adds_up()
    count = Reservation.objects.count()
    assert AuditEvent.objects.filter(action="credits.reserved").count() == count


def test_account__used_by_many__replies_in_the_order_of_its_entries(live_db: None) -> None:
    # P19: each reply equals its entry, and what ended before another began has the lower number
    organization = make_account(credits=400)
    with Racers(CLIENTS) as racers:
        taken = racers.race([partial(drain, organization, 2)] * CLIENTS)
    entries = {entry.reservation_id: entry for entry in Entry.objects.filter(kind="reserve")}
    calls = sorted((call for holds in taken for call in holds), key=lambda call: call[0])
    latest_ended: list[tuple[float, int]] = []

    for started, ended, hold in calls:
        entry = entries[hold.reservation_id]
        assert hold.available_credits == entry.balance_after - entry.reserved_after
        before = [seq for other, seq in latest_ended if other < started]
        assert entry.seq > max(before, default=0)
        latest_ended.append((ended, entry.seq))
    assert len(calls) == len(entries) == 200


def test_commit__over_the_reserved_amount_by_many__never_overdraws(live_db: None) -> None:
    # C-03, P18
    organization = make_account(credits=100)
    holds = [make_hold(organization, 10) for _ in range(CLIENTS)]

    def commit(hold: Any) -> Any:
        return commit_reservation(
            reservation_id=hold.reservation_id,
            organization_id=organization,
            actual_credits=18,
            actor="test",
        )

    with Racers(CLIENTS) as racers:
        answers = racers.race([partial(commit, hold) for hold in holds])

    # 20 are free beside the holds, and each commit needs 8 of them.
    refused = [answer for answer in answers if isinstance(answer, InsufficientCredits)]
    assert len(refused) == CLIENTS - 2
    assert get_funds(organization_id=organization) == Funds(64, 60, 4)
    assert_ledger_adds_up()


def test_grant_and_reserve__same_reference_by_many__happen_once(live_db: None) -> None:
    # C-01, C-07
    organization = make_account(credits=0)
    with Racers(CLIENTS) as racers:
        granted = racers.race(
            [
                lambda: grant_credits(
                    organization_id=organization,
                    amount_credits=50,
                    reason="r",
                    actor="test",
                    reference="order 7",
                )
            ]
            * CLIENTS
        )
        held = racers.race([lambda: make_hold(organization, 5, reference="k")] * CLIENTS)
        mixed = racers.race(
            [partial(make_hold, organization, 5 + n % 2, reference="m") for n in range(CLIENTS)]
        )

    assert len(set(granted)) == len(set(held)) == 1
    assert sum(isinstance(answer, ReferenceReused) for answer in mixed) == CLIENTS // 2
    assert get_funds(organization_id=organization).balance == 50
    assert Reservation.objects.count() == 2
    assert_ledger_adds_up()


def test_account__opened_by_many__is_one(live_db: None) -> None:
    # C-01
    organization = create_organization(name="Many").id
    with Racers(CLIENTS) as racers:
        accounts = racers.race([lambda: open_account(organization_id=organization)] * CLIENTS)

    assert len({account.id for account in accounts}) == 1
    assert AuditEvent.objects.filter(action="credits.account_opened").count() == 1
    assert_ledger_adds_up()


def test_reserve__waiting_behind_a_commit__looks_at_the_clock_after_the_lock(
    live_db: None, owner_db: psycopg.Connection[Any]
) -> None:
    # 3.4: the hold runs out while the commit waits for the account
    organization = make_account(credits=20)
    hold = make_hold(organization, 10, expires_in_s=0.3)

    def commit() -> Any:
        time.sleep(0.1)
        return commit_reservation(
            reservation_id=hold.reservation_id,
            organization_id=organization,
            actual_credits=10,
            actor="test",
        )

    def block() -> None:
        with owner_db.transaction():
            owner_db.execute("SELECT 1 FROM credits_account FOR NO KEY UPDATE")
            time.sleep(0.6)

    with Racers(2) as racers:
        _, committed = racers.race([block, commit])

    assert committed.renewal_id is not None
    assert Reservation.objects.get(id=hold.reservation_id).state == "expired"
    assert_ledger_adds_up()
