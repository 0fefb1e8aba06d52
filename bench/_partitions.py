"""What partitions of the attempts would bring: a day dropped or deleted, and the drain into them.

The partitioned table takes the place of the shipped one for a drain, with its guard and its keys as
far as a partitioned table can have them. Source: docs/adr/0010-retention.md.
"""

from __future__ import annotations

import statistics
import time
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg
from psycopg import sql

from bench._ended import CONTENDER, drain
from bench._filling import DAY_S, fill_ended
from bench.jobs.ground import Ground
from bench.jobs.report import table
from flagship.management.embedded import APPLICATION

DAYS: Final = 50
A_DAY: Final = 83_333
"""Attempts of a day at 2,500,000 a month."""
OLD_DAYS: Final = 40

_PARTED: Final = """
CREATE TABLE bench_parted (
    LIKE jobs_jobattempt INCLUDING DEFAULTS INCLUDING IDENTITY,
    PRIMARY KEY (id, job_id), UNIQUE (job_id, number),
    FOREIGN KEY (job_id) REFERENCES jobs_job (id) DEFERRABLE INITIALLY DEFERRED
) PARTITION BY RANGE (job_id);
CREATE TRIGGER bench_parted_1_row BEFORE INSERT OR UPDATE ON bench_parted
    FOR EACH ROW EXECUTE FUNCTION jobs_guard_attempt();
ALTER TABLE bench_parted ENABLE ALWAYS TRIGGER bench_parted_1_row;
"""
_COPY: Final = "INSERT INTO bench_parted OVERRIDING SYSTEM VALUE SELECT * FROM jobs_jobattempt"


def measure(servers: Ground, *, drained: int, pairs: int) -> dict[str, Any]:
    """Delete a day's attempts and drop the same day; drain into either table, `pairs` times."""
    from jobs.services.prune import first_id

    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    servers.empty(CONTENDER, drained)
    with servers.admin("flagship") as connection:
        connection.execute(_PARTED)
        grant = "GRANT SELECT, INSERT, UPDATE, DELETE ON bench_parted TO {}"
        connection.execute(sql.SQL(grant).format(sql.Identifier(APPLICATION)))
        for ago in range(-1, DAYS - 1):
            bounds = [first_id(today - timedelta(days=each)) for each in (ago, ago - 1)]
            make = "CREATE TABLE {} PARTITION OF bench_parted FOR VALUES FROM ({}) TO ({})"
            name = sql.Identifier(_day(ago))
            connection.execute(sql.SQL(make).format(name, *(str(each) for each in bounds)))
        old_s = (datetime.now(UTC) - today).total_seconds() + OLD_DAYS * DAY_S
        fill_ended(connection, A_DAY, oldest_s=old_s - 1, newest_s=old_s - DAY_S + 1)
        connection.execute(_COPY)
        servers.settle()
        before = str(first_id(today - timedelta(days=OLD_DAYS - 1)))
        delete_s = _clocked(connection, "DELETE FROM jobs_jobattempt WHERE job_id < %s", before)
        drop_s = _clocked(connection, f"DROP TABLE {_day(OLD_DAYS)}")
        rates = _drains(servers, connection, drained, pairs)
    return {"attempts": A_DAY, "delete_s": delete_s, "drop_s": drop_s, "drain_jobs_per_s": rates}


def report(found: dict[str, Any]) -> str:
    """Return the table of one measurement."""
    rows = [["partitions", ""]]
    rows.append([f"delete a day's {found['attempts']:,} attempts", f"{found['delete_s']} s"])
    rows.append(["drop the partition of that day", f"{found['drop_s']} s"])
    for name, rate in found["drain_jobs_per_s"].items():
        rows.append([f"drain into attempts that are {name}", f"{rate:,} jobs/s"])
    return table(rows)


def _drains(
    servers: Ground, connection: psycopg.Connection[Any], drained: int, pairs: int
) -> dict[str, int]:
    plain, parted = [], []
    for _ in range(pairs):
        plain.append(drain(servers, drained, nullcontext()))
        _swap(connection)
        try:
            parted.append(drain(servers, drained, nullcontext()))
        finally:
            _swap(connection)
    found = {"plain": plain, "partitioned": parted}
    return {name: round(statistics.median(each)) for name, each in found.items() if each}


def _swap(connection: psycopg.Connection[Any]) -> None:
    """Let the other table be the one that attempts are written to."""
    with connection.transaction():
        connection.execute("ALTER TABLE jobs_jobattempt RENAME TO bench_aside")
        connection.execute("ALTER TABLE bench_parted RENAME TO jobs_jobattempt")
        connection.execute("ALTER TABLE bench_aside RENAME TO bench_parted")


def _day(ago: int) -> str:
    return f"bench_parted_{ago + 1}"


def _clocked(connection: psycopg.Connection[Any], query: str, *parameters: Any) -> float:
    started = time.perf_counter()
    connection.execute(query, parameters)
    return round(time.perf_counter() - started, 2)
