"""What it costs when work piles up: drain rate, sweeper's pass and disk, up to a million waiting.

Rows are generated in the database, their doorbells are rung as always. At each size two workers
drain the first DRAINED durable transactional jobs while all the others wait behind them; then the
sweeper passes over what is left. Bars: the rates within 20 % of each other, a pass under 50 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from typing import Any, Final

from bench._system import ROOT, machine
from bench.jobs.contenders import BY_NAME
from bench.jobs.ground import Ground, ground
from bench.jobs.report import table
from bench.jobs.rounds import working
from bench.jobs.stamps import Stamps

SIZES: Final = (1_000, 100_000, 1_000_000)
DRAINED: Final = 4_000
PASSES: Final = 20
LIMIT_S: Final = 60.0
SPREAD: Final = 0.2
PASS_MS: Final = 50.0
KIND: Final = "bench.durable_transactional"
QUEUE: Final = "flagship:usage"

GENERATE: Final = """
INSERT INTO jobs_job (
    id, kind, version, queue, payload, state, attempts, failures, crashes, losses, backoff_s,
    timeout_s, next_attempt_at, published_at, delivery_no, lease_token, lease_owner, request_id,
    correlation_id, created_at
)
SELECT uuidv7(), %(kind)s, 1, %(queue)s, jsonb_build_object('number', number), 'queued',
    0, 0, 0, 0, '{1,2,4,8,16}', 60, now(), now(), 1, 0, '', '', '', now()
FROM generate_series(0, %(count)s - 1) AS number
RETURNING id, (payload ->> 'number')::int
"""
SIZES_OF: Final = """
SELECT relname, pg_relation_size(oid) FROM pg_class
WHERE relkind IN ('r', 'i') AND relname ~ '^(jobs_job|jobs_jobattempt|job_)' AND relname !~ 'seq'
ORDER BY relname
"""


def main(options: Sequence[str] = ()) -> None:
    """Measure and print. Exit code 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench growth")
    parser.add_argument("--json", action="store_true", help="print one object, not tables")
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, help="jobs that wait")
    chosen = parser.parse_args(options)
    with ground() as servers:
        found = [_measure(servers, size) for size in chosen.sizes]
    rates = [each["jobs_per_s"] for each in found]
    spread = 1 - min(rates) / max(rates)
    slowest = max(each["pass_ms"] for each in found)
    told = {
        "machine": machine(),
        "load": os.getloadavg()[0],
        "sizes": found,
        "spread": round(spread, 3),
        "met": spread <= SPREAD and slowest < PASS_MS,
    }
    print(json.dumps(told, indent=2) if chosen.json else _report(told))
    sys.exit(not told["met"])


def sweep() -> None:
    """Time the sweeper's passes, in the process that calls; prints milliseconds as JSON."""
    import django

    django.setup()
    from jobs.services.sweep import Sweeper

    sweeper = Sweeper(lost_after_s=0.0)
    sweeper.run()  # Connections, statements, caches.
    passes = []
    for _ in range(PASSES):
        started = time.perf_counter()
        sweeper.run()
        passes.append((time.perf_counter() - started) * 1000)
    print(json.dumps(passes))


def _measure(servers: Ground, waiting: int) -> dict[str, Any]:
    contender = BY_NAME["transactional"]
    print(f"{waiting:,} waiting", file=sys.stderr, flush=True)
    servers.empty(contender, DRAINED + waiting)
    stamps = Stamps.new(servers.stamps, DRAINED, waiting)
    _generate(servers, DRAINED + waiting)
    servers.settle()
    before = _disk(servers)
    with working(servers, contender):
        until = time.monotonic() + LIMIT_S
        while stamps.missing() and time.monotonic() < until:
            time.sleep(0.02)
    first, last = stamps.span()
    passes = _passes(servers)
    return {
        "waiting": waiting,
        "jobs_per_s": round((DRAINED - stamps.missing()) / (last - first)),
        "pass_ms": round(statistics.median(passes), 1),
        "slowest_pass_ms": round(max(passes), 1),
        "bytes_per_job": {name: size // (DRAINED + waiting) for name, size in before.items()},
        "valkey_bytes_per_job": _valkey(servers) // (DRAINED + waiting),
    }


def _generate(servers: Ground, count: int) -> None:
    """Store so many queued jobs and ring for each, the lowest number first."""
    from redis.exceptions import RedisError

    from jobs.clients.doorbells import CHUNK, Ring, ring

    with servers.admin("flagship") as connection:
        rows = connection.execute(GENERATE, {"kind": KIND, "queue": QUEUE, "count": count})
        ids: list[uuid.UUID] = [job_id for job_id, _ in sorted(rows.fetchall(), key=lambda r: r[1])]
        connection.execute("VACUUM ANALYZE jobs_job")
    for start in range(0, count, CHUNK):
        rings = [Ring(job_id, QUEUE, 1, 60.0, "t") for job_id in ids[start : start + CHUNK]]
        # A producer waits 0.3 s for Redis and no longer; a doorbell rung twice does no harm.
        for attempt in range(20):
            try:
                ring(rings)
                break
            except RedisError:
                time.sleep(0.1 * attempt)


def _passes(servers: Ground) -> list[float]:
    """Return milliseconds of the sweeper's passes, lost doorbells looked for in each."""
    done = subprocess.run(
        [sys.executable, "-c", "from bench.growth import sweep; sweep()"],
        cwd=ROOT,
        env=servers.environment(BY_NAME["transactional"]),
        check=True,
        capture_output=True,
        text=True,
    )
    return [float(each) for each in json.loads(done.stdout.strip().splitlines()[-1])]


def _disk(servers: Ground) -> dict[str, int]:
    with servers.admin("flagship") as connection:
        return {name: int(size) for name, size in connection.execute(SIZES_OF).fetchall() if size}


def _valkey(servers: Ground) -> int:
    from redis import Redis

    with Redis.from_url(servers.redis_url) as client:
        return int(client.info("memory")["used_memory"])


def _report(told: dict[str, Any]) -> str:
    rows = [["waiting", "durable jobs/s", "sweeper's pass, ms", "slowest", "Valkey bytes a job"]]
    for each in told["sizes"]:
        rows.append(
            [
                f"{each['waiting']:,}",
                f"{each['jobs_per_s']:,}",
                f"{each['pass_ms']}",
                f"{each['slowest_pass_ms']}",
                f"{each['valkey_bytes_per_job']}",
            ]
        )
    largest = told["sizes"][-1]["bytes_per_job"]
    disk = [["on disk", "bytes a waiting job"]]
    disk += [[name, str(size)] for name, size in largest.items()]
    disk.append(["together", str(sum(largest.values()))])
    met = "yes" if told["met"] else "NO"
    return (
        f"{told['machine']}; load average {told['load']:.1f}\n\n{table(rows)}\n\n{table(disk)}\n\n"
        f"rates within {told['spread']:.0%} of each other (bar 20 %), pass under 50 ms: met {met}"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
