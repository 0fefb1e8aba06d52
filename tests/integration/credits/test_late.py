"""Holds past their expiry: late commits, overdue holds, extension."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from credits.errors import (
    ReservationAlreadyCommitted,
    ReservationCeilingReached,
    ReservationExpired,
)
from credits.metrics import LATE_COMMITS
from credits.models import Reservation
from credits.selectors import Funds, get_funds
from credits.services import (
    extend_reservation,
)
from tests.factories import make_account, make_hold, make_overdue_hold
from tests.integration.credits.acts import audited, commit, refused, release
from tests.ledger import assert_ledger_adds_up

pytestmark = pytest.mark.django_db


# C-03: after the expiry, before the sweep
def test_commit__overdue_and_credits_there__reserves_anew_and_charges() -> None:
    organization = make_account(credits=200)
    hold = make_overdue_hold(organization, 150)
    renewed = LATE_COMMITS.labels("renewed")._value.get()

    done = commit(organization, hold, 180)

    assert (done.charged, done.refunded, done.new_balance) == (180, 0, 20)
    assert commit(organization, hold, 180) == done
    row = Reservation.objects.get(id=hold.reservation_id)
    assert (row.state, row.renewal.id, row.renewal.charged) == ("expired", done.renewal_id, 180)
    assert audited(organization)[-2:] == ["credits.reservation_expired", "credits.committed"]
    assert LATE_COMMITS.labels("renewed")._value.get() == renewed + 1
    assert_ledger_adds_up()


# C-03
def test_commit__late_and_renewed__resolves_once() -> None:
    organization = make_account()
    hold = make_overdue_hold(organization)
    commit(organization, hold, 120)

    refused(organization, ReservationAlreadyCommitted, lambda: commit(organization, hold, 121))
    refused(organization, ReservationAlreadyCommitted, lambda: release(organization, hold))


# C-03
def test_commit__late_with_nothing_used__charges_nothing() -> None:
    organization = make_account(credits=150)
    hold = make_overdue_hold(organization)

    done = commit(organization, hold, 0)

    assert (done.charged, done.refunded, done.new_balance) == (0, 150, 150)
    refused(organization, ReservationAlreadyCommitted, lambda: commit(organization, hold, 1))
    assert_ledger_adds_up()


# C-02: availability ignores an expired hold even before the sweep
def test_funds__overdue_hold__count_it_as_free() -> None:
    organization = make_account(credits=150)
    make_overdue_hold(organization)

    assert get_funds(organization_id=organization) == Funds(150, 0, 150)

    hold = make_hold(organization, 150)
    assert hold.available_credits == 0
    assert audited(organization)[-2:] == ["credits.reservation_expired", "credits.reserved"]
    assert_ledger_adds_up()


# C-02
def test_release__another_hold_overdue__new_balance_counts_it_as_free() -> None:
    organization = make_account(credits=500)
    make_overdue_hold(organization, 100)
    hold = make_hold(organization, 150, expires_in_s=60)
    make_overdue_hold(organization, 50)

    assert release(organization, hold).new_balance == 500


def test_reserve__over_a_hundred_overdue_holds_needed__expires_as_many_as_it_takes() -> None:
    organization = make_account(credits=130)
    for _ in range(130):
        make_hold(organization, 1, expires_in_s=1.5)
    time.sleep(1.6)

    assert make_hold(organization, 130).available_credits == 0
    assert Reservation.objects.filter(state="expired").count() == 130
    assert_ledger_adds_up()


# C-02
@pytest.mark.parametrize(
    "late",
    [
        lambda o, h: release(o, h),
        lambda o, h: extend_reservation(reservation_id=h.reservation_id, expires_in_s=60),
    ],
)
def test_reservation__overdue__is_expired_for_release_and_extend(late: Callable[..., Any]) -> None:
    organization = make_account()
    hold = make_overdue_hold(organization)

    refused(organization, ReservationExpired, lambda: late(organization, hold))


# C-02: a running build extends its own hold
def test_extend__live_hold__moves_the_expiry_forward_only() -> None:
    organization = make_account()
    hold = make_hold(organization, expires_in_s=60)

    later = extend_reservation(reservation_id=hold.reservation_id, expires_in_s=600)
    same = extend_reservation(reservation_id=hold.reservation_id, expires_in_s=5)

    assert later == same > hold.expires_at + timedelta(seconds=500)
    assert Reservation.objects.get(id=hold.reservation_id).expires_at == later
    assert audited(organization).count("credits.reservation_extended") == 1
    assert_ledger_adds_up()


# C-02: up to a ceiling
def test_extend__up_to_the_ceiling__is_cut_there_and_then_refused(settings: Any) -> None:
    settings.RESERVATION_CEILING_S = 1000.0
    organization = make_account()
    hold = make_hold(organization, expires_in_s=600)
    made_at = Reservation.objects.get(id=hold.reservation_id).created_at

    def extend(seconds: float) -> Any:
        return extend_reservation(reservation_id=hold.reservation_id, expires_in_s=seconds)

    assert extend(700) > hold.expires_at
    assert extend(1800) == made_at + timedelta(seconds=1000)
    refusal = refused(organization, ReservationCeilingReached, lambda: extend(1800))
    assert (refusal.status, refusal.data["ceilingSeconds"]) == (409, 1000)
    # What it has already is not refused.
    assert extend(60) == made_at + timedelta(seconds=1000)
    assert audited(organization).count("credits.reservation_extended") == 2


def test_extend__made_to_last_longer_than_the_ceiling__is_refused_any_more(settings: Any) -> None:
    # C-02
    settings.RESERVATION_CEILING_S = 60.0
    organization = make_account()
    hold = make_hold(organization, expires_in_s=600)

    refused(
        organization,
        ReservationCeilingReached,
        lambda: extend_reservation(reservation_id=hold.reservation_id, expires_in_s=900),
    )
