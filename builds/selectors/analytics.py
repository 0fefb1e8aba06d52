"""Read the analytics: sums over days that were rolled up, never over builds or entries (B-10)."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final

from django.db import connection

from builds.histogram import Histogram
from builds.models import RolledDay
from builds.segments import WINDOW_DAYS, segment_of

TOP_USERS: Final = 100
PERCENTILES: Final = (50, 90, 95, 99)

# One pass for the whole period, each builder and each interval: what is not grouped by is NULL.
_BUILDS: Final = """
SELECT date_trunc(%(interval)s, day)::date AS start, builder, sum(queued), sum(building),
    sum(deployed), sum(failed), sum(cancelled), sum(charged_credits), sum(duration_s)
  FROM builds_buildday
 WHERE organization_id = %(organization_id)s AND day BETWEEN %(since)s AND %(until)s
   AND (%(builder)s = '' OR builder = %(builder)s)
 GROUP BY GROUPING SETS ((1), (builder), ())
"""
# Added up by builds.histogram: a year's 60,000 counts take the database ten times as long.
_DURATIONS: Final = """
SELECT date_trunc(%(interval)s, day)::date AS start, builder, duration_buckets, duration_counts
  FROM builds_buildday
 WHERE organization_id = %(organization_id)s AND day BETWEEN %(since)s AND %(until)s
   AND (%(builder)s = '' OR builder = %(builder)s) AND deployed > 0
"""
_CREDITS: Final = """
SELECT date_trunc(%(interval)s, day)::date AS start, operation, sum(entries), sum(credits)
  FROM builds_creditday
 WHERE organization_id = %(organization_id)s AND day BETWEEN %(since)s AND %(until)s
 GROUP BY GROUPING SETS ((1, operation), (operation)) ORDER BY start, operation
"""
_USERS: Final = """
SELECT "user", sum(charges), sum(credits) FROM builds_userday
 WHERE organization_id = %(organization_id)s AND day BETWEEN %(since)s AND %(until)s
 GROUP BY "user" ORDER BY sum(credits) DESC, "user"
"""
_LATELY: Final = """
SELECT coalesce(sum(credits), 0) FROM builds_creditday
 WHERE organization_id = %(organization_id)s AND operation = 'commit'
   AND day BETWEEN %(window)s AND %(until)s
"""
_SEGMENTS: Final = """
SELECT date_trunc(%(interval)s, day)::date AS start, segment, operation, max(organizations),
    sum(entries), sum(credits)
  FROM builds_segmentday WHERE day BETWEEN %(since)s AND %(until)s
 GROUP BY GROUPING SETS ((1, segment, operation), (segment, operation))
 ORDER BY start, segment, operation
"""


@dataclass(frozen=True, slots=True)
class Period:
    """Days in UTC, both included, told by `interval`: day, week (from Monday) or month."""

    since: date
    until: date
    interval: str = "day"


@dataclass(slots=True)
class BuildSums:
    """What became of builds; those of an interval, of a builder or of the whole period.

    `percentiles` are of the building time of deployed ones, in the order of PERCENTILES, None
    where there are none. Units: seconds, whole credits.
    """

    start: date | None
    builder: str | None
    queued: int = 0
    building: int = 0
    deployed: int = 0
    failed: int = 0
    cancelled: int = 0
    charged_credits: int = 0
    duration_s: float = 0.0
    percentiles: list[float | None] = field(default_factory=lambda: [None] * len(PERCENTILES))

    @property
    def submitted(self) -> int:
        """All of them."""
        return self.queued + self.building + self.deployed + self.failed + self.cancelled

    @property
    def success_rate(self) -> float | None:
        """Deployed of deployed and failed; None before any has ended so."""
        ended = self.deployed + self.failed
        return round(self.deployed / ended, 4) if ended else None

    @property
    def mean_s(self) -> float | None:
        """The mean building time, exact; None where nothing was deployed."""
        return round(self.duration_s / self.deployed, 3) if self.deployed else None


@dataclass(slots=True)
class BuildAnalytics:
    """The whole period, each builder, each interval that has builds."""

    rolled_at: datetime | None
    totals: BuildSums
    by_builder: list[BuildSums]
    series: list[BuildSums]


@dataclass(slots=True)
class Moved:
    """What a kind of entry moved; `name` is the operation or the user."""

    name: str
    entries: int
    credits: int
    segment: str = ""
    organizations: int = 0


@dataclass(slots=True)
class Point:
    """Credits by operation in one interval."""

    start: date
    segment: str = ""
    credits: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class UsageAnalytics:
    """Credits by operation, by user (the TOP_USERS and all others), by interval."""

    rolled_at: datetime | None
    segment: str
    by_operation: list[Moved]
    by_user: list[Moved]
    other_users: Moved | None
    series: list[Point]


@dataclass(slots=True)
class SegmentAnalytics:
    """Credits of all organizations by segment; `organizations` is the most on one day."""

    rolled_at: datetime | None
    by_segment: list[Moved]
    series: list[Point]


def build_analytics(
    *, organization_id: uuid.UUID, period: Period, builder: str = ""
) -> BuildAnalytics:
    """Return what became of the builds that the organization submitted in a period."""
    given = _given(period, organization_id) | {"builder": builder}
    found = {(row[0], row[1]): _sums(row) for row in _rows(_BUILDS, given)}
    for key, histogram in _histograms(given).items():
        found[key].percentiles = histogram.percentiles(PERCENTILES)
    totals = found.pop((None, None))
    sums = found.values()
    return BuildAnalytics(
        rolled_at=_rolled_at(),
        totals=totals,
        by_builder=sorted((s for s in sums if s.builder), key=lambda s: s.builder or ""),
        series=sorted((s for s in sums if s.start), key=lambda s: s.start or date.min),
    )


def usage_analytics(*, organization_id: uuid.UUID, period: Period) -> UsageAnalytics:
    """Return what moved on the organization's account in a period."""
    given = _given(period, organization_id)
    moved = _rows(_CREDITS, given)
    users = [Moved(name, charges, int(credits)) for name, charges, credits in _rows(_USERS, given)]
    rest = users[TOP_USERS:]
    others = Moved("", sum(u.entries for u in rest), sum(u.credits for u in rest))
    window = period.until - timedelta(days=WINDOW_DAYS - 1)
    lately = _rows(_LATELY, given | {"window": window})[0][0]
    return UsageAnalytics(
        rolled_at=_rolled_at(),
        segment=segment_of(int(lately)),
        by_operation=[Moved(row[1], row[2], int(row[3])) for row in moved if row[0] is None],
        by_user=users[:TOP_USERS],
        other_users=others if rest else None,
        series=_points((row[0], "", row[1], row[3]) for row in moved),
    )


def segment_analytics(*, period: Period) -> SegmentAnalytics:
    """Return what moved on all accounts in a period, by the segment of their organizations."""
    rows = _rows(_SEGMENTS, _given(period))
    return SegmentAnalytics(
        rolled_at=_rolled_at(),
        by_segment=[
            Moved(row[2], row[4], int(row[5]), row[1], row[3]) for row in rows if row[0] is None
        ],
        series=_points((row[0], row[1], row[2], row[5]) for row in rows),
    )


def _points(rows: Iterable[tuple[date | None, str, str, Any]]) -> list[Point]:
    """Gather (start, segment, operation, credits), in their order; rows of no interval are left."""
    found: dict[tuple[date, str], Point] = {}
    for start, segment, operation, credits in rows:
        if start is not None:
            point = found.setdefault((start, segment), Point(start, segment))
            point.credits[operation] = int(credits)
    return list(found.values())


def _given(period: Period, organization_id: uuid.UUID | None = None) -> dict[str, Any]:
    return {
        "organization_id": organization_id,
        "since": period.since,
        "until": period.until,
        "interval": period.interval,
    }


def _rows(statement: str, given: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        return list(cursor.fetchall())


def _histograms(given: dict[str, Any]) -> dict[tuple[date | None, str | None], Histogram]:
    """Return the durations of each interval, each builder and, under (None, None), of all."""
    found: defaultdict[tuple[date | None, str | None], Histogram] = defaultdict(Histogram)
    builders: set[str] = set()
    for start, builder, buckets, counts in _rows(_DURATIONS, given):
        builders.add(builder)
        found[start, None].add(buckets, counts)
        found[None, builder].add(buckets, counts)
    for builder in builders:
        found[None, None].merge(found[None, builder])
    return found


def _sums(row: tuple[Any, ...]) -> BuildSums:
    """Read one row; the one of no builds at all has no sums."""
    queued, building, deployed, failed, cancelled, charged = (int(n or 0) for n in row[2:8])
    return BuildSums(
        row[0],
        row[1],
        queued,
        building,
        deployed,
        failed,
        cancelled,
        charged,
        float(row[8] or 0.0),
    )


def _rolled_at() -> datetime | None:
    """Return when the newest day was rolled up: what came later is not in the answer."""
    return RolledDay.objects.order_by("-day").values_list("rolled_at", flat=True).first()
