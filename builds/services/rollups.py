"""Make a day's rows of analytics from builds and ledger, in one transaction (B-10)."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

from django.db import connection, transaction

from builds.histogram import GAMMA, LAST_BUCKET, LEAST_S
from builds.segments import WINDOW_DAYS, segment_sql

_LOCK: Final = """
INSERT INTO builds_rolledday (day, rolled_at, active_builds)
VALUES (%(day)s, clock_timestamp(), 0)
ON CONFLICT (day) DO UPDATE SET rolled_at = excluded.rolled_at
"""
_TABLES: Final = ("buildday", "creditday", "userday", "segmentday")

_BUILDS: Final = """
WITH made AS (
    SELECT organization_id, builder, state, charged_credits,
        CASE state WHEN 'deployed'
            THEN greatest(extract(epoch FROM finished_at - started_at)::float8, 0) END AS seconds
      FROM builds_build WHERE queued_at >= %(start)s AND queued_at < %(end)s
), bucketed AS (
    SELECT organization_id, builder, count(*)::int AS n,
        least(greatest(ceil(ln(greatest(seconds, %(least_s)s) / %(least_s)s) / ln(%(gamma)s)), 0),
              %(last_bucket)s)::smallint AS bucket
      FROM made WHERE seconds IS NOT NULL GROUP BY organization_id, builder, bucket
), histogram AS (
    SELECT organization_id, builder, array_agg(bucket ORDER BY bucket) AS buckets,
        array_agg(n ORDER BY bucket) AS counts
      FROM bucketed GROUP BY organization_id, builder
)
INSERT INTO builds_buildday (
    organization_id, day, builder, queued, building, deployed, failed, cancelled,
    charged_credits, duration_s, duration_buckets, duration_counts)
SELECT organization_id, %(day)s, builder,
    count(*) FILTER (WHERE state = 'queued'), count(*) FILTER (WHERE state = 'building'),
    count(*) FILTER (WHERE state = 'deployed'), count(*) FILTER (WHERE state = 'failed'),
    count(*) FILTER (WHERE state = 'cancelled'), coalesce(sum(charged_credits), 0),
    coalesce(sum(seconds), 0), coalesce(buckets, '{}'), coalesce(counts, '{}')
  FROM made LEFT JOIN histogram USING (organization_id, builder)
 GROUP BY organization_id, builder, buckets, counts
"""

# `open` moves nothing.
_CREDITS: Final = """
INSERT INTO builds_creditday (organization_id, day, operation, entries, credits)
SELECT account.organization_id, %(day)s, entry.kind, count(*), sum(CASE entry.kind
    WHEN 'commit' THEN entry.charged_delta
    WHEN 'reserve' THEN entry.hold WHEN 'release' THEN entry.hold WHEN 'expire' THEN entry.hold
    ELSE abs(entry.balance_delta) END)
  FROM credits_entry AS entry JOIN credits_account AS account ON account.id = entry.account_id
 WHERE entry.created_at >= %(start)s AND entry.created_at < %(end)s AND entry.kind <> 'open'
 GROUP BY account.organization_id, entry.kind
"""

# A late commit charges a hold that renews the build's own (C-03).
_USERS: Final = """
INSERT INTO builds_userday (organization_id, day, "user", charges, credits)
SELECT account.organization_id, %(day)s,
    left(coalesce(nullif(hold.user_id, ''), build.created_by, 'unknown'), 200) AS person,
    count(*), sum(entry.charged_delta)
  FROM credits_entry AS entry
  JOIN credits_account AS account ON account.id = entry.account_id
  JOIN credits_reservation AS hold ON hold.id = entry.reservation_id
  LEFT JOIN builds_build AS build
    ON build.reservation_id = coalesce(hold.renews_id, hold.id)
 WHERE entry.created_at >= %(start)s AND entry.created_at < %(end)s AND entry.kind = 'commit'
 GROUP BY account.organization_id, person
"""

_SEGMENTS: Final = f"""
WITH charged AS (
    SELECT organization_id, sum(credits) AS credits FROM builds_creditday
     WHERE operation = 'commit' AND day > %(day)s::date - {WINDOW_DAYS} AND day <= %(day)s
     GROUP BY organization_id
)
INSERT INTO builds_segmentday (day, segment, operation, organizations, entries, credits)
SELECT %(day)s, {segment_sql("coalesce(charged.credits, 0)")} AS segment, moved.operation,
    count(*), sum(moved.entries), sum(moved.credits)
  FROM builds_creditday AS moved LEFT JOIN charged USING (organization_id)
 WHERE moved.day = %(day)s
 GROUP BY segment, moved.operation
"""  # noqa: S608 (words of this module alone)

_DONE: Final = """
UPDATE builds_rolledday SET active_builds = (
    SELECT coalesce(sum(queued + building), 0) FROM builds_buildday WHERE day = %(day)s
) WHERE day = %(day)s
"""


def roll_day(*, day: date) -> None:
    """Make the rows of one day (UTC) anew from builds and ledger: the same whenever it is done.

    The day's row is locked, so that two of these take turns and the second sees what is newer. A
    day's segments look back WINDOW_DAYS: roll days in their order.
    """
    given: dict[str, Any] = {
        "day": day,
        "start": f"{day.isoformat()} 00:00:00+00",
        "end": f"{date.fromordinal(day.toordinal() + 1).isoformat()} 00:00:00+00",
        "gamma": GAMMA,
        "least_s": LEAST_S,
        "last_bucket": LAST_BUCKET,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_LOCK, given)
        for table in _TABLES:
            cursor.execute(f"DELETE FROM builds_{table} WHERE day = %(day)s", given)  # noqa: S608
        for statement in (_BUILDS, _CREDITS, _USERS, _SEGMENTS, _DONE):
            cursor.execute(statement, given)
