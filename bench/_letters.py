"""Dead letters by the million, as a platform that fails a lot would have them.

Generated in the database: jobs that died over the last 60 days, five attempts each, and a letter of
each, spread over organizations, kinds, queues, error classes and causes the way failures are: a few
make up most of them, and there are many that are rare.
"""

from __future__ import annotations

from typing import Any, Final

import psycopg

CHUNK: Final = 100_000
ORGANIZATIONS: Final = 300
CAUSES: Final = 2_000
TABLES: Final = ("jobs_job", "jobs_jobattempt", "jobs_failedjob", "jobs_failuregroup")

# A throwaway database: the guards of jobs and attempts have nothing to refuse here, and cost hours.
# What counts deaths stays on.
_OPEN: Final = """
ALTER TABLE jobs_job DISABLE TRIGGER USER;
ALTER TABLE jobs_jobattempt DISABLE TRIGGER USER;
ALTER TABLE jobs_failedjob DISABLE TRIGGER failed_job_guard;
SET synchronous_commit = off;
SET work_mem = '64MB';
"""
_CLOSE: Final = """
ALTER TABLE jobs_job ENABLE ALWAYS TRIGGER jobs_job_1_row, ENABLE ALWAYS TRIGGER jobs_job_2_move;
ALTER TABLE jobs_jobattempt ENABLE ALWAYS TRIGGER jobs_jobattempt_1_row;
ALTER TABLE jobs_failedjob ENABLE ALWAYS TRIGGER failed_job_guard;
"""
_TENANTS: Final = """
INSERT INTO flagship_organization (id, name, slug, created_at)
SELECT md5('o' || n)::uuid, 'Bench ' || n, 'bench-' || n, now()
FROM generate_series(1, %(organizations)s) AS n
"""
# The share of the n-th cause falls with n; cause 1 alone is a third of all.
_MADE: Final = """
CREATE TEMPORARY TABLE made AS
SELECT n, age, uuidv7(-age) AS id, cause,
    md5('o' || 1 + (cause * 7 + n) %% %(organizations)s)::uuid AS organization_id,
    (ARRAY['flagship:builds', 'flagship:content', 'flagship:usage', 'flagship:audit',
        'flagship:billing'])[1 + cause %% 5] AS queue,
    'bench.kind_' || cause %% 40 AS kind,
    (ARRAY['builtins.OSError', 'httpx.ConnectTimeout', 'builtins.KeyError', 'builtins.ValueError',
        'django.db.utils.OperationalError', 'builtins.MemoryError', 'GiveUp'])[1 + cause %% 7]
        AS error_class,
    CASE WHEN n %% 10 < 9 THEN 'open' ELSE 'discarded' END AS state
FROM (
    SELECT n, make_interval(secs => n * 60.0 * 86400 / %(letters)s) AS age,
        1 + floor(%(causes)s * power(random(), 7))::int AS cause
    FROM generate_series(%(first)s, %(last)s) AS n
) AS drawn
"""
_JOBS: Final = """
INSERT INTO jobs_job (id, kind, version, queue, organization_id, payload, state, attempts, failures,
    crashes, losses, backoff_s, timeout_s, delivery_no, lease_token, lease_owner, request_id,
    correlation_id, created_at, started_at, finished_at)
SELECT id, kind, 1, queue, organization_id, '{}', 'dead', 5, 5, 0, 0, '{1,2,4,8}', 60, 5, 5, '', '',
    '', now() - age, now() - age, now() - age FROM made
"""
_ATTEMPTS: Final = """
INSERT INTO jobs_jobattempt (job_id, number, token, worker, outcome, started_at, ended_at, retry_at,
    error_class, message, traceback)
SELECT id, number, number, 'web-1:4711', 'failed', now() - age, now() - age, NULL, error_class,
    'attempt ' || number, repeat('  File "/srv/flagship/jobs/x.py", line 1, in run' || E'\\n', 2)
FROM made, generate_series(1, %(attempts)s) AS number
"""
_LETTERS: Final = """
INSERT INTO jobs_failedjob (job_id, kind, queue, organization_id, state, error_class, message,
    traceback, fingerprint, attempts, payload, request_id, correlation_id, died_at, resolved_at,
    resolved_by, reason)
SELECT id, kind, queue, organization_id, state, error_class,
    'no answer from service ' || cause || ' for order ' || n,
    repeat('  File "/srv/flagship/jobs/x.py", line 1, in run' || E'\\n', 8),
    'v2-' || lpad(cause::text, 40, '0'), 5,
    jsonb_build_object('order', n, 'customer', 'c' || n % 50000, 'region', cause % 4,
        'note', 'the quick brown fox', 'urgent', n % 2 = 0),
    'req_' || md5('r' || n), '', now() - age,
    CASE WHEN state <> 'open' THEN now() END, CASE WHEN state <> 'open' THEN 'user:ana' ELSE '' END,
    CASE WHEN state <> 'open' THEN 'known' ELSE '' END
FROM made
"""


def fill(connection: psycopg.Connection[Any], letters: int, attempts: int) -> None:
    """Store so many letters with their jobs, and so many attempts of each."""
    connection.execute(_OPEN)
    connection.execute(_TENANTS, {"organizations": ORGANIZATIONS})
    shared = {"organizations": ORGANIZATIONS, "causes": CAUSES, "letters": letters}
    for first in range(0, letters, CHUNK):
        chunk = {"first": first + 1, "last": min(first + CHUNK, letters)}
        # What makes a table takes no parameters from the server.
        psycopg.ClientCursor(connection).execute(_MADE, shared | chunk)
        connection.execute(_JOBS)
        connection.execute(_ATTEMPTS, {"attempts": attempts})
        connection.execute(_LETTERS)
        connection.execute("DROP TABLE made")
    connection.execute(_CLOSE)
    for table in TABLES:
        connection.execute(f"VACUUM ANALYZE {table}")


def sizes(connection: psycopg.Connection[Any]) -> dict[str, tuple[int, int, int]]:
    """Return of each table its rows, its bytes and those of its indexes."""
    rows = connection.execute(
        "SELECT relname, reltuples::bigint, pg_table_size(oid), pg_indexes_size(oid)"
        " FROM pg_class WHERE relname = ANY(%s) ORDER BY relname",
        [list(TABLES)],
    ).fetchall()
    return {name: (int(count), int(own), int(of_indexes)) for name, count, own, of_indexes in rows}
