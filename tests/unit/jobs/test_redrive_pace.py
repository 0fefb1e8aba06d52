"""The pace of a redrive: held over a long time, and never much faster (D-07)."""

from __future__ import annotations

from bisect import bisect_left
from datetime import UTC, datetime, timedelta

import pytest

from jobs.services.redrives.pace import CATCH_UP, DEBT_S, SPREAD_S, Pace, rate_at

START = datetime(2026, 1, 15, 10, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def play(
    rate_per_s: float, *, until_s: float, tick_s: float = 0.3, away: tuple[float, float] = (0, 0)
) -> list[float]:
    """Answer what is allowed, tick by tick, but while away; return when each letter went."""
    pace, went, now_s = Pace(START, START), [], 0.0
    while now_s < until_s:
        if not away[0] < now_s < away[1]:
            count = pace.allowed(at(now_s), rate_per_s=rate_per_s, most=50)
            pace = pace.after(count, at(now_s), rate_per_s=rate_per_s)
            went += [now_s] * count
        now_s += tick_s
    return went


def busiest(went: list[float], window_s: float) -> int:
    """The most letters in any window of that length."""
    return max(
        bisect_left(went, first + window_s) - place
        for place, first in enumerate(went)
        if place == 0 or first > went[place - 1]
    )


@pytest.mark.parametrize("rate_per_s", [0.1, 0.7, 3.0, 10.0, 100.0])
def test_pace__over_a_long_time__is_the_rate_within_a_twentieth(rate_per_s: float) -> None:
    # D-07
    until_s = max(120.0, 40 / rate_per_s)

    went = play(rate_per_s, until_s=until_s)

    assert len(went) == pytest.approx(rate_per_s * until_s, rel=0.05, abs=1)


def test_pace__after_a_worker_was_away__catches_up_without_a_flood() -> None:
    # D-07
    went = play(50.0, until_s=900.0, away=(100.0, 120.0))

    assert len(went) == pytest.approx(50.0 * 900.0, rel=0.002)
    assert busiest(went, 30.0) <= 50.0 * CATCH_UP * (30.0 + SPREAD_S) + 1


def test_pace__after_an_hour_away__forgets_what_is_longer_ago_than_its_debt() -> None:
    # D-07
    went = play(10.0, until_s=3_600.0 + 3_000.0, tick_s=1.0, away=(10.0, 3_610.0))

    assert len(went) == pytest.approx(10.0 * (10.0 + DEBT_S + 2_990.0), rel=0.005)


def test_pace__that_is_early__allows_nothing_and_says_how_long() -> None:
    pace = Pace(at(3), at(1))

    assert pace.allowed(START, rate_per_s=100.0, most=50) == 0
    assert pace.wait_s(START) == 3.0
    assert Pace(START, START).wait_s(at(9)) == 0.0


@pytest.mark.parametrize(
    ("elapsed_s", "rate"), [(0.0, 1.0), (3.0, 1.0), (30.0, 5.0), (60.0, 10.0), (900.0, 10.0)]
)
def test_ramp__of_a_minute__rises_from_a_tenth_in_a_straight_line(
    elapsed_s: float, rate: float
) -> None:
    # D-07
    assert rate_at(elapsed_s, rate_per_s=10.0, ramp_s=60.0) == pytest.approx(rate)
    assert rate_at(elapsed_s, rate_per_s=10.0, ramp_s=0.0) == 10.0
