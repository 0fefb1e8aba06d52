"""Percentiles out of buckets are as near as they say, over any number of days. # B-10"""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest

from builds.histogram import ERROR, LAST_BUCKET, LEAST_S, Histogram, bucket_of, seconds_of
from builds.segments import SEGMENTS, segment_of


# B-10
@pytest.mark.parametrize("spread", [0.1, 1.0, 3.0])
def test_percentile__of_many_days_together__is_within_the_error(spread: float) -> None:
    draw = random.Random(spread)
    days = [[draw.lognormvariate(2, spread) for _ in range(200)] for _ in range(50)]
    merged = Histogram()
    for day in days:
        of_day = Histogram()
        counted = Counter(map(bucket_of, day))
        of_day.add(list(counted.keys()), list(counted.values()))
        merged.merge(of_day)
    values = sorted(value for day in days for value in day)

    percents = (1, 50, 90, 95, 99, 100)
    for percent, told in zip(percents, merged.percentiles(percents), strict=True):
        true = max(values[math.ceil(percent * len(values) / 100) - 1], LEAST_S)
        assert told is not None
        assert abs(told - true) <= ERROR * true + 0.001, (percent, true)


# B-10
def test_percentile__of_few_or_none__is_the_nearest_rank() -> None:
    histogram = Histogram()
    assert histogram.percentiles((50, 99)) == [None, None]

    histogram.add([bucket_of(1.0), bucket_of(60.0)], [1, 1])

    assert histogram.percentiles((1, 50, 51, 100)) == [
        pytest.approx(value, rel=ERROR) for value in (1.0, 1.0, 60.0, 60.0)
    ]


# B-10
def test_bucket__of_any_duration__is_in_range_and_grows_with_it() -> None:
    durations = [-1.0, 0.0, 1e-9, 0.01, 0.0101, 0.5, 60.0, 3600.0, 86_400.0, 1e7, 1e12]
    buckets = [bucket_of(duration) for duration in durations]

    assert buckets == sorted(buckets)
    assert (buckets[0], buckets[-1]) == (0, LAST_BUCKET)
    assert seconds_of(LAST_BUCKET) > 20 * 86_400


# B-10
@pytest.mark.parametrize(
    ("credits", "segment"),
    [(0, "idle"), (1, "light"), (99, "light"), (100, "regular"), (9_999, "regular"),
     (10_000, "heavy"), (10**12, "heavy")],
)  # fmt: skip
def test_segment__of_credits__is_the_first_bound_above(credits: int, segment: str) -> None:
    assert segment_of(credits) == segment
    assert list(SEGMENTS) == ["idle", "light", "regular", "heavy"]
