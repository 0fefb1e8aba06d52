"""Which days have to be rolled up."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, Final

from django.db import connection

# A transaction that began before midnight has long ended by then: the database ends it after 15 s.
SETTLED_AFTER: Final = timedelta(hours=1)

_FIRST: Final = """
SELECT least(
    (SELECT min(queued_at) FROM builds_build),
    (SELECT created_at FROM credits_entry ORDER BY id LIMIT 1)
) AT TIME ZONE 'UTC'
"""
_TODAY: Final = "SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date"
_DUE: Final = """
SELECT every.day::date
  FROM generate_series(%(first)s::date, %(today)s::date, interval '1 day') AS every (day)
  LEFT JOIN builds_rolledday AS rolled ON rolled.day = every.day::date
 WHERE rolled.day IS NULL OR rolled.active_builds > 0
    OR rolled.rolled_at AT TIME ZONE 'UTC' < every.day + interval '1 day' + %(settled)s
 ORDER BY every.day
"""


def first_day() -> date | None:
    """Return the day (UTC) of the oldest build or ledger entry, None where there is neither."""
    with connection.cursor() as cursor:
        cursor.execute(_FIRST)
        found = cursor.fetchone()
    return found[0].date() if found and found[0] else None


def today() -> date:
    """Return the database's day in UTC."""
    with connection.cursor() as cursor:
        cursor.execute(_TODAY)
        found: tuple[date] = cursor.fetchone()
    return found[0]


def list_days_due() -> list[date]:
    """Return the days to roll up, the oldest first: what they hold may have changed.

    Never rolled; rolled before the day was over and settled, as today always; or with builds that
    had not ended. All other days cannot change: entries are append-only, final builds are frozen.
    """
    first = first_day()
    if first is None:
        return []
    given: dict[str, Any] = {"first": first, "today": today(), "settled": SETTLED_AFTER}
    with connection.cursor() as cursor:
        cursor.execute(_DUE, given)
        return [row[0] for row in cursor.fetchall()]
