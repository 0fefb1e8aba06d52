"""Durations in buckets that can be added up, and percentiles out of them (pure, B-10).

A bucket's upper bound is GAMMA times that of the one before, from LEAST_S on. Every value of a
bucket is told as the one in its middle, which no value of it differs from by more than ERROR of
itself: percentiles over any number of days, builders or organizations are as near as those of one
day, since the buckets are the same everywhere. The database fills them (services.rollups).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

ERROR: Final = 0.02
GAMMA: Final = (1 + ERROR) / (1 - ERROR)
# What is shorter is told as this long.
LEAST_S: Final = 0.01
# About 24 days, which no build takes.
LAST_BUCKET: Final = 480


def bucket_of(seconds: float) -> int:
    """Return the bucket of a duration; 0 holds everything up to LEAST_S."""
    steps = math.ceil(math.log(max(seconds, LEAST_S) / LEAST_S) / math.log(GAMMA))
    return min(max(steps, 0), LAST_BUCKET)


def seconds_of(bucket: int) -> float:
    """Return the duration that a bucket stands for, within ERROR of every one in it."""
    return LEAST_S if bucket == 0 else LEAST_S * 2 * GAMMA**bucket / (GAMMA + 1)


class Histogram:
    """Counts by bucket, added up from any number of days."""

    def __init__(self) -> None:
        self._counts = [0] * (LAST_BUCKET + 1)

    def add(self, buckets: Sequence[int], counts: Sequence[int]) -> None:
        """Add the counts of these buckets, as a day's row has them."""
        own = self._counts
        for bucket, count in zip(buckets, counts, strict=True):
            own[bucket] += count

    def merge(self, other: Histogram) -> None:
        """Add all counts of another one."""
        self._counts = [one + two for one, two in zip(self._counts, other._counts, strict=True)]

    def percentiles(self, percents: Sequence[int]) -> list[float | None]:
        """Return the nearest-rank percentiles in seconds, within ERROR; None of nothing."""
        upto = list(accumulate(self._counts))
        total = upto[-1]
        if not total:
            return [None] * len(percents)
        ranks = [max(1, -(-total * percent // 100)) for percent in percents]
        return [round(seconds_of(bisect_left(upto, rank)), 3) for rank in ranks]
