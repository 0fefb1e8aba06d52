"""The rate of a build, and the estimate made with it."""

from __future__ import annotations

import pytest

from builds.builders import builder_names
from builds.pricing import (
    BASE_CREDITS,
    BYTES_PER_CREDIT,
    LEAST_HISTORY,
    Estimate,
    PastBuild,
    estimate,
    usage_credits,
)


@pytest.mark.parametrize(
    ("duration_s", "output_bytes", "credits"),
    [
        (0, 0, 1),
        (0.001, 1, 3),
        (10, BYTES_PER_CREDIT, 3),
        (10.001, BYTES_PER_CREDIT + 1, 5),
        (600, 512 * BYTES_PER_CREDIT, 573),
        (-1, -1, 1),
    ],
)
def test_usage__every_started_unit__costs_one_credit(
    duration_s: float, output_bytes: int, credits: int
) -> None:
    # B-06
    assert usage_credits(duration_s=duration_s, output_bytes=output_bytes) == credits


HISTORIES = {
    "none": [],
    "one": [PastBuild(900, 0)],
    "steady": [PastBuild(7, 5_000)] * 5,
    "wild": [PastBuild(charged, 10**6) for charged in (1, 2, 3, 500, 10**6)],
}


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("builder", [*builder_names(), "a builder of tomorrow"])
def test_estimate__larger_source__never_costs_less(builder: str, history: str) -> None:
    # B-09
    sizes = [0, 1, 1000, 10**6, 10**7, 10**8]
    found = [
        estimate(builder=builder, unpacked_bytes=size, history=HISTORIES[history]) for size in sizes
    ]

    for part in ("low", "likely", "high"):
        values = [getattr(each, part) for each in found]
        assert values == sorted(values)
        assert all(isinstance(value, int) for value in values)
    assert all(BASE_CREDITS <= each.low <= each.likely <= each.high for each in found)


def test_estimate__too_few_builds__goes_by_the_size_alone() -> None:
    # B-09
    few = [PastBuild(500, 1000)] * (LEAST_HISTORY - 1)
    by_size = estimate(builder="static", unpacked_bytes=40 * BYTES_PER_CREDIT)

    assert estimate(builder="static", unpacked_bytes=40 * BYTES_PER_CREDIT, history=few) == by_size
    assert by_size == Estimate(low=22, likely=42, high=82, based_on_builds=0)


def test_estimate__history__is_followed_by_its_percentiles() -> None:
    # B-09: a source of 1,000 bytes costs 3 by its size; these were charged 1 to 10 times that.
    history = [PastBuild(3 * times, 1000) for times in range(1, 11)]

    found = estimate(builder="static", unpacked_bytes=1000, history=history)

    assert found == Estimate(low=3, likely=15, high=27, based_on_builds=10)


def test_estimate__source_that_has_grown__costs_more_than_its_history() -> None:
    # B-09
    history = [PastBuild(6, 1000)] * 3  # Twice what the size promised.

    found = estimate(builder="static", unpacked_bytes=10 * BYTES_PER_CREDIT, history=history)

    assert found == Estimate(low=24, likely=24, high=24, based_on_builds=3)
