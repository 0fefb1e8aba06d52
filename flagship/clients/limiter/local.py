"""Buckets in this process, for as long as Redis is away (pure)."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from flagship.clients.limiter.demand import Demand, Level
from flagship.models.limits import Quota

MOST_BUCKETS: Final = 10_000
"""Beyond this the bucket that was asked longest ago is forgotten: memory is bounded."""


class LocalBuckets:
    """A bucket for each subject, of the quota divided by the number of processes.

    Each refills evenly over its window; a bucket nobody knows is full. For any number of threads.
    """

    def __init__(self, most: int = MOST_BUCKETS) -> None:
        self._most = most
        self._lock = threading.Lock()
        # When a bucket will be full again, in seconds of the caller's clock (GCRA).
        self._full_at_s: OrderedDict[str, float] = OrderedDict()

    def take(self, demands: Sequence[Demand], *, processes: int, now_s: float) -> list[Level]:
        """Take from every bucket, or from none if one of them is empty."""
        with self._lock:
            shares = [_share(demand.quota, processes) for demand in demands]
            full_at_s = [max(self._full_at_s.get(each.name, now_s), now_s) for each in demands]
            pairs = list(zip(full_at_s, shares, strict=True))
            exceeded = [_used(at_s - now_s, share) >= share.requests for at_s, share in pairs]
            if not any(exceeded):
                full_at_s = [at_s + share.window_s / share.requests for at_s, share in pairs]
                for demand, at_s in zip(demands, full_at_s, strict=True):
                    self._put(demand.name, at_s)
        told = zip(demands, shares, full_at_s, exceeded, strict=True)
        return [_level(demand, share, at_s - now_s, full) for demand, share, at_s, full in told]

    def __len__(self) -> int:
        return len(self._full_at_s)

    def _put(self, name: str, full_at_s: float) -> None:
        self._full_at_s[name] = full_at_s
        self._full_at_s.move_to_end(name)
        while len(self._full_at_s) > self._most:
            self._full_at_s.popitem(last=False)


def _share(quota: Quota, processes: int) -> Quota:
    return Quota(max(1, quota.requests // processes), quota.window_s)


def _used(until_full_s: float, share: Quota) -> int:
    """Return the requests that are missing in a bucket; a rounding error is none."""
    return math.ceil(until_full_s * share.requests / share.window_s - 1e-6)


def _level(demand: Demand, share: Quota, until_full_s: float, is_exceeded: bool) -> Level:
    used = _used(until_full_s, share)
    step_s = share.window_s / share.requests
    wait_s = until_full_s - (used - 1) * step_s if used else step_s
    return Level(demand.policy, share, used, max(1, math.ceil(wait_s - 1e-6)), is_exceeded)
