"""The rate of a build, and the estimate made with it."""

from __future__ import annotations

import pytest

from builds.builders import builder_names
from builds.pricing import BASE_CREDITS, BYTES_PER_CREDIT, estimate_credits, usage_credits


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


@pytest.mark.parametrize("builder", [*builder_names(), "a builder of tomorrow"])
def test_estimate__larger_source__never_costs_less(builder: str) -> None:
    # B-09
    sizes = [0, 1, 1000, 10**6, 10**7, 10**8]
    estimates = [estimate_credits(builder=builder, unpacked_bytes=size) for size in sizes]

    assert estimates == sorted(estimates)
    assert estimates[0] > BASE_CREDITS
    assert all(isinstance(estimate, int) for estimate in estimates)
