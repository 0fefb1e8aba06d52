"""Rows by the million: jobs that wait, with their doorbells, and jobs that ended long ago."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import psycopg

from bench.jobs.ground import Ground

KIND: Final = "bench.durable_transactional"
QUEUE: Final = "flagship:usage"
TABLES: Final = ("jobs_job", "jobs_jobattempt")
DAY_S: Final = 86_400.0

_COLUMNS: Final = """
    kind, version, queue, payload, failures, crashes, losses, backoff_s, timeout_s, delivery_no,
    lease_owner, request_id, correlation_id"""
_VALUES: Final = """
    %(kind)s, 1, %(queue)s, jsonb_build_object('number', number), 0, 0, 0, '{1,2,4,8,16}', 60, 1,
    '', '', ''"""
_WAITING: Final = f"""
INSERT INTO jobs_job (id, {_COLUMNS}, state, attempts, lease_token, next_attempt_at, published_at)
SELECT uuidv7(), {_VALUES}, 'queued', 0, 0, now(), now()
FROM generate_series(0, %(count)s - 1) AS number
"""
_ENDED: Final = f"""
WITH made AS (
    INSERT INTO jobs_job (
        id, {_COLUMNS}, state, attempts, lease_token, created_at, started_at, finished_at
    )
    SELECT uuidv7(-age), {_VALUES}, 'succeeded', 1, 1, now() - age, now() - age, now() - age
    FROM generate_series(0, %(count)s - 1) AS number, make_interval(
        secs => %(oldest_s)s - number * (%(oldest_s)s - %(newest_s)s) / %(count)s) AS age
    RETURNING id, finished_at
)
INSERT INTO jobs_jobattempt (
    job_id, number, token, worker, outcome, started_at, ended_at, error_class, message, traceback
)
SELECT id, 1, 1, 'host:12345:0123456789ab', 'succeeded', finished_at, finished_at, '', '', ''
FROM made
"""
_RUNG: Final = """
SELECT id FROM jobs_job WHERE id > %s AND kind = %s AND state = 'queued' ORDER BY id
"""
_ROOM: Final = """
SELECT relation::text, pg_table_size(relation), pg_indexes_size(relation)
FROM unnest(%s::regclass[]) AS relation
"""


def fill_waiting(servers: Ground, count: int) -> None:
    """Store so many queued jobs and ring for each, the lowest number first."""
    from jobs.clients.doorbells import CHUNK, Ring, ring

    with servers.admin("flagship") as connection:
        row = connection.execute("SELECT uuidv7()").fetchone()
        connection.execute(_WAITING, {"kind": KIND, "queue": QUEUE, "count": count})
        connection.execute("VACUUM ANALYZE jobs_job")
        # Ids that one session makes ascend, and the numbers with them.
        with connection.transaction(), connection.cursor(name="waiting") as cursor:
            cursor.execute(_RUNG, (row and row[0], KIND))
            while rows := cursor.fetchmany(CHUNK):
                rings = [Ring(job_id, QUEUE, 1, 60.0, "t") for (job_id,) in rows]
                _insist(partial(ring, rings))


def fill_ended(
    connection: psycopg.Connection[Any], count: int, *, oldest_s: float, newest_s: float
) -> None:
    """Store so many succeeded jobs with an attempt each, spread evenly over this long ago."""
    about = {"oldest_s": oldest_s, "newest_s": newest_s}
    connection.execute(_ENDED, {"kind": KIND, "queue": QUEUE, "count": count} | about)


def vacuum(connection: psycopg.Connection[Any]) -> None:
    """Vacuum the tables that grow with every job."""
    for table in TABLES:
        connection.execute(f"VACUUM ANALYZE {table}")


def room(connection: psycopg.Connection[Any]) -> dict[str, tuple[int, int]]:
    """Return the bytes of each table that grows, and of its indexes together."""
    rows = connection.execute(_ROOM, (list(TABLES),)).fetchall()
    return {name: (int(of_table), int(of_indexes)) for name, of_table, of_indexes in rows}


def _insist(push: Callable[[], None]) -> None:
    """Push again: a producer waits 0.3 s for Redis; a doorbell that is rung twice does no harm."""
    from redis.exceptions import RedisError

    for attempt in range(20):
        try:
            return push()
        except RedisError:
            time.sleep(0.1 * attempt)
    push()
