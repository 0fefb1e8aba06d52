"""How much each queue has run lately (W-17), at the same cost whatever the load.

The queues are the platform's: all organizations' runs are counted, and none is told of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.db import connection

from jobs.clients.wall import outside
from jobs.queues import QUEUES

SAMPLE: Final = 2_000
"""At most so many runs are looked at; where there were more, every so-manieth of them."""

# Attempts have no index on time, and need none: their ids grow with it, so the first one of the
# window is found by halving. Each run that is picked stands for `stride` of them.
_ACTIVITY: Final = """
WITH RECURSIVE clock AS MATERIALIZED (
    SELECT now, now - make_interval(secs => %(window_s)s) AS since
    FROM (SELECT clock_timestamp() AS now) AS read
),
ends AS MATERIALIZED (
    SELECT min(id) AS low, max(id) + 1 AS high FROM jobs_jobattempt
),
halved AS (
    SELECT low, high FROM ends WHERE low IS NOT NULL
    UNION ALL
    SELECT CASE WHEN probe.started_at < clock.since THEN probe.id + 1 ELSE halved.low END,
        CASE WHEN probe.started_at < clock.since THEN halved.high ELSE (low + high) / 2 END
    FROM halved, clock, LATERAL (
        SELECT id, started_at FROM jobs_jobattempt
        WHERE id >= (halved.low + halved.high) / 2 ORDER BY id LIMIT 1
    ) AS probe
    WHERE halved.low < halved.high
),
span AS MATERIALIZED (
    SELECT halved.low AS first, ends.high - 1 AS last,
        GREATEST(1, ceil((ends.high - halved.low) / %(sample)s::numeric))::bigint AS stride
    FROM halved, ends WHERE halved.low = halved.high
),
seen AS MATERIALIZED (
    SELECT run.job_id, run.started_at, run.outcome, span.stride
    FROM span
    CROSS JOIN LATERAL generate_series(span.first, span.last, span.stride) AS picked (id)
    JOIN jobs_jobattempt AS run ON run.id = picked.id
)
SELECT job.queue,
    LEAST(floor(extract(epoch FROM seen.started_at - clock.since)
        * %(bars)s / %(window_s)s), %(bars)s - 1)::int AS bar,
    count(*) * seen.stride,
    count(*) FILTER (WHERE seen.outcome IN ('failed', 'lost')) * seen.stride,
    seen.stride = 1
FROM seen JOIN jobs_job AS job ON job.id = seen.job_id, clock
WHERE seen.started_at >= clock.since
GROUP BY job.queue, bar, seen.stride
"""


@dataclass(slots=True)
class Activity:
    """What a queue ran in a window: so many runs began in each part of it, so many of them failed.

    The parts are equally long, the oldest first. Unless `is_exact` they are estimates, of a sample
    of all queues' runs; what is rarer than one in that many may be missing.
    """

    runs: list[int]
    failed: list[int]
    is_exact: bool = True


def queue_activity(*, window_s: float = 3600.0, bars: int = 30) -> dict[str, Activity]:
    """Return the runs of every queue over the last `window_s` seconds, in `bars` parts.

    A failed run is one that failed or lost its worker, retried or not.
    """
    asked: dict[str, Any] = {"window_s": window_s, "bars": bars, "sample": SAMPLE}
    found = {name: Activity([0] * bars, [0] * bars) for name in QUEUES}
    with outside(), connection.cursor() as cursor:
        cursor.execute(_ACTIVITY, asked)
        for queue, bar, runs, failed, is_exact in cursor.fetchall():
            if queue in found:
                activity = found[queue]
                activity.runs[bar], activity.failed[bar] = runs, failed
                activity.is_exact = is_exact
    return found
