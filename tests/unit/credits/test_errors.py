"""What a caller short of credits is told."""

from __future__ import annotations

from typing import Any

import pytest

from credits.errors import InsufficientCredits


def package(**changes: Any) -> dict[str, Any]:
    pro = {"code": "pro", "price": 2999, "credits": 1000, "base_price": 599, "base_credits": 100}
    return {**pro, **changes}


def test_insufficient_credits__with_a_package__has_the_seed_shape() -> None:
    # E-03
    refusal = InsufficientCredits(required=500, available=350, package=package())

    assert refusal.message == "User requires 150 more credits"
    assert refusal.data["recommendation"] == {
        "package": "pro",
        "cost": 29.99,
        "credits": 1000,
        "savings": "Best value - 2x credits",
    }


@pytest.mark.parametrize(
    ("changes", "savings"),
    [
        ({"price": 599, "credits": 100}, "Covers what is missing"),
        ({"price": 999, "credits": 100}, "Covers what is missing"),
        ({"price": 9999, "credits": 5000}, "Best value - 3x credits"),
        ({"price": 2399, "credits": 1000}, "Best value - 2.5x credits"),
        ({"price": 0, "credits": 100, "base_price": 0}, "Covers what is missing"),
    ],
)
def test_insufficient_credits__saving__compares_with_the_smallest_package(
    changes: dict[str, Any], savings: str
) -> None:
    # E-03
    refusal = InsufficientCredits(required=2, available=1, package=package(**changes))

    assert refusal.data["recommendation"]["savings"] == savings


def test_insufficient_credits__no_package_large_enough__recommends_none() -> None:
    # E-03
    refusal = InsufficientCredits(required=10**12, available=0)

    assert refusal.data == {
        **{"required": 10**12, "available": 0, "recommendation": None},
        **{"held": 0, "heldBy": 0, "holds": [], "fitsAt": None},
    }
