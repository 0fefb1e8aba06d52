"""Too few credits: what the refusal recommends."""

from __future__ import annotations

import pytest

from credits.errors import (
    InsufficientCredits,
)
from tests.factories import make_account, make_hold
from tests.integration.credits.acts import refused

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
    }


@pytest.mark.parametrize(
    ("gap", "package"), [(1, "starter"), (100, "starter"), (101, "pro"), (10**9, None)]
)
def test_reserve__too_little__recommendation_fits_the_gap(gap: int, package: str | None) -> None:
    organization = make_account(credits=7)

    refusal = refused(organization, InsufficientCredits, lambda: make_hold(organization, gap + 7))

    recommendation = refusal.data["recommendation"]
    assert (recommendation["package"] if recommendation else None) == package
