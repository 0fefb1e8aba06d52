"""When a busy project has room again, from how long its builds take."""

from __future__ import annotations

import pytest

from builds.selectors.eta import foresee


@pytest.mark.parametrize(
    ("durations", "spent", "seconds", "earliest", "latest"),
    [
        ([60.0], [0.0], 60, 60, 60),
        ([10.0, 20.0, 300.0], [0.0], 20, 15, 160),
        ([60.0, 60.0, 60.0], [45.0], 15, 15, 15),
        # Those that took less than this one has taken say nothing about it.
        ([10.0, 20.0, 300.0], [100.0], 200, 200, 200),
        # Of several, the one that is first.
        ([60.0, 60.0], [0.0, 50.0, 20.0], 10, 10, 10),
        # Longer than any before it: a tenth of what it has taken.
        ([10.0, 20.0], [400.0], 40, 40, 40),
        ([0.2], [0.0], 1, 1, 1),
    ],
)
def test_forecast__of_what_is_left__is_the_median_of_those_that_took_longer(
    durations: list[float], spent: list[float], seconds: int, earliest: int, latest: int
) -> None:
    # B-04
    eta = foresee("project", durations, spent)

    assert (eta.seconds, eta.earliest_s, eta.latest_s) == (seconds, earliest, latest)
    assert eta.sample_count == len(durations)


@pytest.mark.parametrize(
    ("basis", "durations", "spent", "confidence"),
    [
        ("project", [60.0] * 10, 0.0, "high"),
        ("project", [60.0] * 9, 0.0, "medium"),
        ("project", [60.0] * 3, 0.0, "medium"),
        ("project", [60.0] * 2, 0.0, "low"),
        ("project", [10.0, 100.0] * 5, 0.0, "medium"),
        ("project", [60.0] * 10, 61.0, "low"),
        ("organization", [60.0] * 20, 0.0, "low"),
        ("default", [30.0], 0.0, "low"),
    ],
)
def test_confidence__by_number_and_spread__is_said(
    basis: str, durations: list[float], spent: float, confidence: str
) -> None:
    # B-04
    assert foresee(basis, durations, [spent]).confidence == confidence
