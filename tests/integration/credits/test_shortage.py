"""Too few credits: what the refusal recommends."""

from __future__ import annotations

import pytest

from credits.errors import (
    InsufficientCredits,
)
from jobs.ids import public_id
from tests.factories import make_account, make_hold
from tests.integration.credits.acts import commit, refused

pytestmark = pytest.mark.django_db


# E-03, the seed's figures
def test_reserve__too_little__recommends_the_cheapest_package_that_covers_the_gap() -> None:
    organization = make_account(credits=350)

    refusal = refused(organization, InsufficientCredits, lambda: make_hold(organization, 500))

    assert (refusal.status, refusal.message) == (422, "User requires 150 more credits")
    assert refusal.data == {
        "required": 500,
        "available": 350,
        "recommendation": {
            "package": "pro",
            "cost": 29.99,
            "credits": 1000,
            "savings": "Best value - 2x credits",
        },
        "held": 0,
        "heldBy": 0,
        "holds": [],
        "fitsAt": None,
    }


@pytest.mark.parametrize(
    ("gap", "package"), [(1, "starter"), (100, "starter"), (101, "pro"), (10**9, None)]
)
def test_reserve__too_little__recommendation_fits_the_gap(gap: int, package: str | None) -> None:
    organization = make_account(credits=7)

    refusal = refused(organization, InsufficientCredits, lambda: make_hold(organization, gap + 7))

    recommendation = refusal.data["recommendation"]
    assert (recommendation["package"] if recommendation else None) == package


def test_reserve__blocked_by_holds__says_which_and_when_they_end() -> None:
    # E-03, feature-anchors J-14: why can't I build
    organization = make_account(credits=300)
    late = make_hold(organization, 120, expires_in_s=900, subject_id="build_late")
    soon = make_hold(organization, 100, expires_in_s=60, subject_id="build_soon")
    make_hold(make_account(), 5)

    refusal = refused(organization, InsufficientCredits, lambda: make_hold(organization, 200))

    told = refusal.data
    assert (told["required"], told["available"], told["held"], told["heldBy"]) == (200, 80, 220, 2)
    assert told["holds"] == [
        {
            "reservationId": public_id("res", hold.reservation_id),
            "credits": hold.amount_credits,
            "subjectType": "build",
            "subjectId": subject,
            "expires": f"{hold.expires_at:%Y-%m-%dT%H:%M:%S.%fZ}",
        }
        for hold, subject in ((soon, "build_soon"), (late, "build_late"))
    ]
    # 80 + 100 do not suffice, 80 + 100 + 120 do.
    assert told["fitsAt"] == told["holds"][1]["expires"]
    assert told["recommendation"]["package"] == "pro"


def test_reserve__more_than_all_holds_together__never_fits() -> None:
    # J-14
    organization = make_account(credits=100)
    make_hold(organization, 60)

    refusal = refused(organization, InsufficientCredits, lambda: make_hold(organization, 101))

    assert (refusal.data["held"], refusal.data["fitsAt"]) == (60, None)


def test_reserve__blocked_by_many_holds__names_the_twenty_that_end_first() -> None:
    # J-14: the answer stays small
    organization = make_account(credits=50)
    for number in range(25):
        make_hold(organization, 2, subject_id=f"build_{number}")

    refusal = refused(organization, InsufficientCredits, lambda: make_hold(organization, 1))

    assert (refusal.data["held"], refusal.data["heldBy"]) == (50, 25)
    named = [hold["subjectId"] for hold in refusal.data["holds"]]
    assert named == [f"build_{number}" for number in range(20)]


def test_commit__over_its_own_hold__does_not_name_itself() -> None:
    # C-03, J-14
    organization = make_account(credits=100)
    own, other = make_hold(organization, 40), make_hold(organization, 50)

    refusal = refused(organization, InsufficientCredits, lambda: commit(organization, own, 60))

    assert (refusal.data["available"], refusal.data["required"]) == (50, 60)
    named = [hold["reservationId"] for hold in refusal.data["holds"]]
    assert named == [public_id("res", other.reservation_id)]
