"""Where the time of a job goes: round trips, for everybody, and the milliseconds of ours."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from urllib.parse import urlsplit, urlunsplit

from bench.jobs import rounds
from bench.jobs.contenders import CONTENDERS, PYTHON, Contender
from bench.jobs.ground import Ground, ground
from bench.jobs.install import install
from bench.jobs.proxy import CountingProxy
from bench.jobs.report import table

COUNT = 1000
QUEUE = "flagship:usage"


def main(*, trips_only: bool) -> None:
    """Measure and print. Durable jobs; one worker process for the milliseconds."""
    contenders = [each for each in CONTENDERS if each.is_ours or trips_only]
    missing = install({each.environment for each in contenders if each.is_peer})
    with ground() as servers:
        if not trips_only:
            for contender in contenders:
                print(
                    f"\n{contender.label}: one worker process with as few threads as it can have\n"
                )
                print(_milliseconds(servers, contender))
        rows = [["durable jobs", "PostgreSQL trips", "statements", "Redis trips"]]
        for contender in contenders:
            if contender.environment not in (*missing, "floor"):
                rows.append(
                    [contender.label, *(f"{each:.2f}" for each in trips(servers, contender))]
                )
    print("\nper job, everything the workers sent while they drained\n")
    print(table(rows))


def trips(servers: Ground, contender: Contender, kind: str = "durable") -> tuple[float, ...]:
    """Return round trips to PostgreSQL, statements and round trips to Redis, per job."""
    count = min(COUNT, contender.jobs[kind])
    small = replace(contender, jobs={kind: count}, support=())
    with (
        CountingProxy(servers.postgres.port, "postgres") as postgres,
        CountingProxy(urlsplit(servers.redis_url).port or 0, "redis") as redis,
    ):
        env = servers.environment(small)
        told = {
            name: _through(env[name], postgres.port if "redis" not in env[name] else redis.port)
            for name in ("BENCH_DSN", "BENCH_REDIS", "DATABASE_URL", "REDIS_URL")
            if name in env
        }
        rounds.drain(servers, small, kind, told)
        return (
            postgres.counts.trips / count,
            postgres.counts.statements / count,
            redis.counts.trips / count,
        )


def _through(url: str, port: int) -> str:
    """Return an address with the proxy's port in place of the server's."""
    parts = urlsplit(url)
    host = (parts.netloc.rpartition(":")[0]) + f":{port}"
    return urlunsplit(parts._replace(netloc=host))


def _milliseconds(servers: Ground, contender: Contender) -> str:
    """Drain with one worker of one slot, its calls clocked; return the table."""
    told = servers.home / "clocked.json"
    env = {"WORKER_SLOTS": "1", "WORKER_LANES": "1", "BENCH_CLOCKED": str(told)}
    if profile := os.environ.get("BENCH_PROFILE"):
        env["BENCH_PROFILE"] = f"{profile}-{contender.name}"
    one = replace(
        contender,
        workers=(f"{PYTHON} -m bench.jobs.clocked {QUEUE}",),
        support=(),
        jobs={"durable": 4 * COUNT if contender.name == "batch" else COUNT},
        env=env,
    )
    count = one.jobs["durable"]
    drain = rounds.drain(servers, one, "durable", until_exit=True)
    spent = json.loads(told.read_text())
    wall = 1000 / drain.jobs_per_s
    rows = [["threads spend, on", "calls a job", "ms a job", "share"]]
    # Waiting for doorbells is nobody's work.
    spent["spent"].pop("Redis: BLPOP", None)
    whole = 1000 * sum(seconds for _, seconds in spent["spent"].values()) / count
    for label, (calls, seconds) in sorted(spent["spent"].items(), key=lambda each: -each[1][1]):
        ms = 1000 * seconds / count
        if ms >= 0.002:
            rows.append([label, f"{calls / count:.2f}", f"{ms:.3f}", f"{ms / whole:.0%}"])
    rows.append(["wall clock between two jobs", "", f"{wall:.3f}", ""])
    rows.append(
        ["CPU of the worker, its start included", "", f"{1000 * spent['cpu_s'] / count:.3f}", ""]
    )
    return table(rows)
