"""How the queues are doing (W-17); from PostgreSQL, so right whoever has died.

The queues are the platform's: all organizations' jobs are counted, and none is told of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from jobs.clients.postgres import run
from jobs.clients.wall import outside
from jobs.queues import QUEUES

COUNT_MAX: Final = 10_000
"""Jobs are counted up to this many; beyond it the number is a lower bound."""
OLDEST_OF: Final = 100
"""The longest waiting is looked for among so many that were rung for first."""
SAMPLE: Final = 5_000
"""Times are those of at most so many of the latest runs, of all queues together."""

# Each part is one range of one partial index and ends at `most` rows, so that the cost does not
# grow with the backlog.
_FACTS: Final = """
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
due AS MATERIALIZED (
    SELECT queue, state, next_attempt_at FROM jobs_job
    WHERE state IN ('pending', 'retry_wait') ORDER BY next_attempt_at LIMIT %(most)s
),
waiting AS (
    SELECT queue,
        count(*) FILTER (WHERE state = 'pending' AND next_attempt_at <= clock.now) AS due,
        count(*) FILTER (WHERE state = 'pending' AND next_attempt_at > clock.now) AS delayed,
        count(*) FILTER (WHERE state = 'retry_wait') AS retrying,
        min(next_attempt_at) AS oldest
    FROM due, clock GROUP BY queue
),
held AS MATERIALIZED (
    SELECT queue FROM jobs_job WHERE state = 'running' ORDER BY lease_until LIMIT %(most)s
),
running AS (SELECT queue, count(*) AS count FROM held GROUP BY queue)
SELECT name, rung.count + COALESCE(waiting.due, 0), COALESCE(waiting.delayed, 0),
    COALESCE(running.count, 0), COALESCE(waiting.retrying, 0),
    GREATEST(0, extract(epoch FROM clock.now - LEAST(waiting.oldest, first.oldest)))::float8,
    rung.count < %(most)s AND (SELECT count(*) FROM due) < %(most)s
        AND (SELECT count(*) FROM held) < %(most)s
FROM clock, unnest(%(queues)s::text[]) WITH ORDINALITY AS named (name, place)
LEFT JOIN waiting ON waiting.queue = name
LEFT JOIN running ON running.queue = name
CROSS JOIN LATERAL (
    SELECT count(*) FROM (
        SELECT 1 FROM jobs_job WHERE state = 'queued' AND queue = name
        ORDER BY published_at LIMIT %(most)s
    ) AS queued
) AS rung
CROSS JOIN LATERAL (
    SELECT min(next_attempt_at) AS oldest FROM (
        SELECT next_attempt_at FROM jobs_job WHERE state = 'queued' AND queue = name
        ORDER BY published_at LIMIT %(oldest_of)s
    ) AS early
) AS first
ORDER BY place
"""
# OFFSET 0: a job is looked up for each run in the window, of which there are SAMPLE at most. The
# planner expects a third of them whatever the window, and would read all jobs instead.
_TIMES: Final = """
SELECT job.queue, count(*),
    percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
        ORDER BY extract(epoch FROM run.started_at - job.created_at)::float8
    ) FILTER (WHERE run.number = 1),
    percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
        ORDER BY extract(epoch FROM run.ended_at - run.started_at)::float8
    ) FILTER (WHERE run.ended_at IS NOT NULL)
FROM (
    SELECT job_id, number, started_at, ended_at FROM jobs_jobattempt
    ORDER BY id DESC LIMIT %(sample)s
) AS run
CROSS JOIN LATERAL (
    SELECT queue, created_at FROM jobs_job WHERE id = run.job_id OFFSET 0
) AS job
WHERE run.started_at > clock_timestamp() - make_interval(secs => %(window_s)s)
GROUP BY job.queue
"""


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """One queue now.

    `waiting` jobs could start at once, `delayed` ones were asked to start later, `retrying` ones
    wait out their backoff, a throttle or a snooze. `oldest_age_s` is for how many seconds the job
    that could have started longest ago has not. Unless `is_exact` the counts are lower bounds. A
    job that runs in a single transaction counts as waiting until that ends.
    """

    queue: str
    waiting: int = 0
    delayed: int = 0
    running: int = 0
    retrying: int = 0
    oldest_age_s: float = 0.0
    is_exact: bool = True


@dataclass(frozen=True, slots=True)
class QueueTimes:
    """The latest runs of a queue: how many were looked at, and their times in seconds.

    `wait_*` is from creation to the start of a first run, a delay that was asked for included;
    `run_*` from the start of a run to its end. None where there was none to look at.
    """

    queue: str
    runs: int = 0
    wait_p50_s: float | None = None
    wait_p95_s: float | None = None
    run_p50_s: float | None = None
    run_p95_s: float | None = None


def queue_facts(*, count_max: int = COUNT_MAX) -> list[QueueFacts]:
    """Return the facts of every queue of the table, empty ones included, in its order.

    Costs a few milliseconds whatever the backlog: nothing is counted beyond `count_max`.
    """
    asked: dict[str, Any] = {"queues": list(QUEUES), "most": count_max, "oldest_of": OLDEST_OF}
    with outside():
        return [QueueFacts(*row) for row in run(_FACTS, asked)]


def queue_times(*, window_s: float = 900.0) -> dict[str, QueueTimes]:
    """Return the times of every queue over the last `window_s` seconds.

    Only the latest SAMPLE runs are looked at, so that a flood costs no more than a trickle.
    """
    with outside():
        rows = run(_TIMES, {"sample": SAMPLE, "window_s": window_s})
    found = {row[0]: _times(*row) for row in rows}
    return {name: found.get(name) or QueueTimes(name) for name in QUEUES}


def _times(
    queue: str, runs: int, wait: Sequence[float] | None, run: Sequence[float] | None
) -> QueueTimes:
    return QueueTimes(queue, runs, *(wait or (None, None)), *(run or (None, None)))
