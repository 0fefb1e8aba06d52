"""Commit against release against expire on one reservation: one of them settles it (P17)."""

from __future__ import annotations

import random
import time
import uuid
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from credits.errors import (
    ReservationAlreadyCommitted,
    ReservationAlreadyReleased,
    ReservationExpired,
)
from credits.models import Entry, Reservation
from credits.services import (
    Committed,
    Released,
    commit_reservation,
    expire_reservations,
    extend_reservation,
    release_reservation,
)
from credits.states import RESOLUTIONS
from flagship.models import AuditEvent
from tests.factories import make_account, make_hold
from tests.ledger import assert_ledger_adds_up
from tests.races.racers import Racers
from tests.soak import full

ROUNDS = full(100, 2_500)
SEED = 20_260_731


def acts_on(organization_id: uuid.UUID, hold: uuid.UUID, wait_s: list[float]) -> list[Any]:
    """Commit, release and sweep one hold, each after its own wait."""
    named: dict[str, Any] = {
        "reservation_id": hold,
        "organization_id": organization_id,
        "actor": "test",
    }
    acts: list[Callable[[], Any]] = [
        lambda: commit_reservation(**named, actual_credits=7),
        lambda: release_reservation(**named, reason="race"),
        lambda: expire_reservations(limit=5),
    ]

    def after(delay_s: float, act: Callable[[], Any]) -> Any:
        time.sleep(delay_s)
        return act()

    return [partial(after, delay_s, act) for delay_s, act in zip(wait_s, acts, strict=True)]


def check(state: str, committed: Any, released: Any) -> None:
    """The replies are what the one resolution makes of them."""
    if state == "committed":
        assert isinstance(committed, Committed) and committed.charged == 7
        assert isinstance(released, ReservationAlreadyCommitted)
    elif state == "released":
        assert isinstance(released, Released) and released.released == 10
        assert isinstance(committed, ReservationAlreadyReleased)
    else:
        assert state == "expired"
        # There is enough: a late commit takes its credits by a new hold.
        assert isinstance(committed, Committed) and committed.renewal_id
        assert isinstance(released, ReservationExpired | ReservationAlreadyCommitted)


def race(racers: Racers, organization: uuid.UUID, expires_in_s: float, waits: list[float]) -> str:
    hold = make_hold(organization, 10, expires_in_s=expires_in_s).reservation_id
    committed, released, _ = racers.race(acts_on(organization, hold, waits))
    state = Reservation.objects.values_list("state", flat=True).get(id=hold)
    if state == "held" and isinstance(committed, ReservationExpired):
        state = "expired"
    check(state, committed, released)
    kinds = [entry.kind for entry in Entry.objects.filter(reservation=hold).order_by("seq")]
    assert kinds[0] == "reserve" and len(kinds) == 2
    return str(state)


def test_reservation__commit_release_and_sweep_at_once__resolves_once(live_db: None) -> None:
    # C-03, P17
    chance = random.Random(SEED)
    organization = make_account(credits=1_000_000)
    outcomes: Counter[str] = Counter()
    with Racers(3) as racers:
        for _ in range(ROUNDS):
            outcomes[race(racers, organization, 60, [0, 0, 0])] += 1
        for _ in range(ROUNDS):
            waits = [chance.uniform(0, 0.02) for _ in range(3)]
            outcomes[race(racers, organization, 0.012, waits)] += 1

    assert sum(outcomes.values()) == 2 * ROUNDS
    assert set(outcomes) == {"committed", "released", "expired"}, outcomes
    assert_ledger_adds_up()
    for kind, action in [
        ("commit", "credits.committed"),
        ("release", "credits.released"),
        ("expire", "credits.reservation_expired"),
    ]:
        entries = Entry.objects.filter(kind=kind).count()
        assert AuditEvent.objects.filter(action=action).count() == entries, kind


def test_reservation__same_resolution_by_many_at_once__answers_all_alike(live_db: None) -> None:
    # C-01
    organization = make_account(credits=100_000)
    with Racers(8) as racers:
        for number in range(30):
            hold = make_hold(organization, 10)
            named: dict[str, Any] = {
                "reservation_id": hold.reservation_id,
                "organization_id": organization,
                "actor": "test",
            }
            if number % 2:
                answers = racers.race([partial(commit_reservation, **named, actual_credits=9)] * 8)
            else:
                answers = racers.race([partial(release_reservation, **named, reason="r")] * 8)
            assert len(set(answers)) == 1 and isinstance(answers[0], Committed | Released)

    assert Entry.objects.filter(kind__in=list(RESOLUTIONS)).count() == 30
    assert_ledger_adds_up()


def test_reservation__extend_against_sweep__is_extended_or_expired(live_db: None) -> None:
    # C-02
    organization = make_account()
    chance = random.Random(SEED)
    outcomes: Counter[str] = Counter()
    with Racers(2) as racers:
        # A slow machine needs the longer lives for an extension to come in time.
        for expires_in_s in (0.01, 0.02, 0.05, 0.2) * 12:
            hold = make_hold(organization, 10, expires_in_s=expires_in_s).reservation_id
            extended, _ = racers.race(
                [
                    partial(extend_after, chance.uniform(0, 1.2) * expires_in_s, hold),
                    partial(sweep_after, expires_in_s),
                ]
            )
            expire_reservations(limit=5)
            state = Reservation.objects.values_list("state", flat=True).get(id=hold)
            refused = isinstance(extended, ReservationExpired)
            assert (state == "expired") == refused, (state, extended)
            outcomes[state] += 1
            if state == "held":
                release_reservation(
                    reservation_id=hold, organization_id=organization, reason="r", actor="test"
                )

    assert set(outcomes) == {"held", "expired"}, outcomes
    assert_ledger_adds_up()


def extend_after(wait_s: float, hold: uuid.UUID) -> Any:
    time.sleep(wait_s)
    return extend_reservation(reservation_id=hold, expires_in_s=60)


def sweep_after(wait_s: float) -> int:
    time.sleep(wait_s)
    return expire_reservations(limit=5)
