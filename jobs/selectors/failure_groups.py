"""Failure groups with counts that are right at this moment (D-07)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import connection
from django.db.models import BigIntegerField, F, Max, Min, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce, Greatest, Least

from jobs.errors import FailureGroupNotFound
from jobs.models import FailureDelta, FailureGroup

HOUR: Final = timedelta(hours=1)

_HOURS: Final = """
SELECT fingerprint, hour, sum(deaths)::bigint FROM (
    SELECT fingerprint, hour, deaths FROM jobs_failurehour
    WHERE fingerprint = ANY(%(fingerprints)s) AND hour >= %(since)s
    UNION ALL
    SELECT fingerprint, hour, deaths FROM jobs_failuredelta
    WHERE fingerprint = ANY(%(fingerprints)s) AND hour >= %(since)s
) AS counted GROUP BY fingerprint, hour
"""


@dataclass(frozen=True, slots=True)
class Trend:
    """Deaths hour by hour; `since` is when the first of `counts` begins, the last is running."""

    since: datetime
    counts: tuple[int, ...]

    def last(self, hours: int) -> Trend:
        """Return the end of it."""
        return Trend(self.since + (len(self.counts) - hours) * HOUR, self.counts[-hours:])

    def by_day(self) -> Trend:
        """Add up 24 hours each, counted back from the running one."""
        first = len(self.counts) % 24
        days = [sum(self.counts[at : at + 24]) for at in range(first, len(self.counts), 24)]
        return Trend(self.since + first * HOUR, tuple(days))


def counted_groups() -> QuerySet[Any]:
    """Return the groups with `deaths_now`, `open_now`, `born_at` and `seen_at`.

    The row's own numbers and what has not been folded into them yet, in one snapshot: exact,
    whenever the last fold was (ADR 0018).
    """
    return FailureGroup.objects.annotate(
        deaths_now=F("deaths") + _unfolded("deaths"),
        open_now=F("open") + _unfolded("open"),
        born_at=Least("first_seen_at", Subquery(_deltas().values("first_seen"))),
        seen_at=Greatest("last_seen_at", Subquery(_deltas().values("last_seen"))),
    )


def get_group(*, fingerprint: str) -> FailureGroup:
    """Return one group with its counts. Raises: FailureGroupNotFound."""
    group: FailureGroup | None = counted_groups().filter(fingerprint=fingerprint).first()
    if group is None:
        raise FailureGroupNotFound(f"There is no failure group {fingerprint}.")
    return group


def count_deaths(*, fingerprint: str) -> int:
    """Return how often a cause was seen. Raises: FailureGroup.DoesNotExist."""
    groups = counted_groups().filter(fingerprint=fingerprint)
    return int(groups.values_list("deaths_now", flat=True).get())


def trends(
    *, fingerprints: Collection[str], hours: int, now: datetime | None = None
) -> dict[str, Trend]:
    """Return the trend of each of these groups over the last hours, one query for all."""
    running = (now or datetime.now(UTC)).replace(minute=0, second=0, microsecond=0)
    since = running - (hours - 1) * HOUR
    counts = {fingerprint: [0] * hours for fingerprint in fingerprints}
    with connection.cursor() as cursor:
        cursor.execute(_HOURS, {"fingerprints": list(fingerprints), "since": since})
        for fingerprint, hour, deaths in cursor.fetchall():
            at = (hour - since) // HOUR
            if at < hours:
                counts[fingerprint][at] = deaths
    return {fingerprint: Trend(since, tuple(each)) for fingerprint, each in counts.items()}


def _deltas() -> QuerySet[Any]:
    """Return what is not folded in of the group of the query around it."""
    mine = FailureDelta.objects.filter(fingerprint=OuterRef("pk")).order_by()
    return mine.values("fingerprint").annotate(
        all_deaths=Sum("deaths"),
        all_open=Sum("open"),
        first_seen=Min("first_at"),
        last_seen=Max("last_at"),
    )


def _unfolded(column: str) -> Coalesce:
    return Coalesce(
        Subquery(_deltas().values(f"all_{column}"), output_field=BigIntegerField()),
        0,
        output_field=BigIntegerField(),
    )
