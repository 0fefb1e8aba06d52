"""What it costs when rows pile up: jobs that wait, and jobs that ended, up to a million of each.

Waiting rows are generated in the database, their doorbells are rung as always. At each size two
workers drain the first durable transactional jobs while all the others wait behind them; then the
sweeper passes over what is left. Ended rows are generated too, weighed, and pruned alone and beside
a drain. Bars: the rates within 20 % of each other, a pass under 50 ms, and a prune that deletes
more beside other work than such a machine commits at its best (ADR 0010).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

from bench import _ended, _partitions
from bench._filling import fill_waiting
from bench._system import ROOT, machine
from bench.jobs.contenders import BY_NAME
from bench.jobs.ground import Ground, ground
from bench.jobs.report import table
from bench.jobs.rounds import working
from bench.jobs.stamps import Stamps

SIZES: Final = (1_000, 100_000, 1_000_000)
ENDED: Final = 1_000_000
DRAINED: Final = 4_000
PAIRS: Final = 3
PASSES: Final = 20
LIMIT_S: Final = 60.0
SPREAD: Final = 0.2
PASS_MS: Final = 50.0
PRUNED_PER_S: Final = 3_000

SIZES_OF: Final = """
SELECT relname, pg_relation_size(oid) FROM pg_class
WHERE relkind IN ('r', 'i') AND relname ~ '^(jobs_job|jobs_jobattempt|job_)' AND relname !~ 'seq'
ORDER BY relname
"""


def main(options: Sequence[str] = ()) -> None:
    """Measure and print. Exit code 1 when a bar is missed."""
    chosen = _parse(options)
    started = time.monotonic()
    with ground() as servers:
        waiting = [_measure(servers, size, chosen.drained) for size in chosen.sizes]
        ended = (
            _ended.measure(servers, chosen.ended, drained=chosen.drained, pairs=chosen.pairs)
            if chosen.ended
            else None
        )
        parted = (
            _partitions.measure(servers, drained=chosen.drained, pairs=chosen.pairs)
            if chosen.partitions
            else None
        )
    bars = _bars(waiting, ended)
    told = {
        "machine": machine(),
        "load": round(os.getloadavg()[0], 1),
        "seconds": round(time.monotonic() - started),
        "sizes": waiting,
        "ended": ended,
        "partitions": parted,
        "bars": bars,
        "met": all(bar["met"] for bar in bars.values()),
    }
    print(json.dumps(told, indent=2) if chosen.json else _report(told))
    sys.exit(not told["met"])


def _parse(options: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench growth")
    parser.add_argument("--json", action="store_true", help="print one object, not tables")
    parser.add_argument("--sizes", nargs="*", type=int, default=SIZES, help="jobs that wait")
    parser.add_argument("--ended", type=int, default=ENDED, help="jobs that ended; 0 for none")
    parser.add_argument("--drained", type=int, default=DRAINED, help="jobs of each drain")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="drains without and with a prune")
    parser.add_argument("--partitions", action="store_true", help="attempts in partitions, too")
    return parser.parse_args(options)


def _bars(waiting: list[dict[str, Any]], ended: dict[str, Any] | None) -> dict[str, Any]:
    """Return each bar that this run can tell of: the value found, the bar, whether it is met."""
    bars: dict[str, Any] = {}
    if waiting:
        rates = [each["jobs_per_s"] for each in waiting]
        spread, slowest = 1 - min(rates) / max(rates), max(each["pass_ms"] for each in waiting)
        bars["drain rates apart"] = {"value": round(spread, 3), "bar": f"at most {SPREAD}"}
        bars["drain rates apart"]["met"] = spread <= SPREAD
        bars["sweeper's pass, ms"] = {"value": slowest, "bar": f"under {PASS_MS:g}"}
        bars["sweeper's pass, ms"]["met"] = slowest < PASS_MS
    if ended and ended["prune_beside"]["jobs"]:
        rate = ended["prune_beside"]["jobs_per_s"]
        bars["pruned beside a drain, jobs/s"] = {"value": rate, "bar": f"over {PRUNED_PER_S:,}"}
        bars["pruned beside a drain, jobs/s"]["met"] = rate > PRUNED_PER_S
    return bars


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


def _measure(servers: Ground, waiting: int, drained: int) -> dict[str, Any]:
    contender = BY_NAME["transactional"]
    print(f"{waiting:,} waiting", file=sys.stderr, flush=True)
    servers.empty(contender, drained + waiting)
    stamps = Stamps.new(servers.stamps, drained, waiting)
    fill_waiting(servers, drained + waiting)
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
        "jobs_per_s": round((drained - stamps.missing()) / (last - first)),
        "pass_ms": round(statistics.median(passes), 1),
        "slowest_pass_ms": round(max(passes), 1),
        "bytes_per_job": {name: size // (drained + waiting) for name, size in before.items()},
        "valkey_bytes_per_job": _valkey(servers) // (drained + waiting),
    }


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
    parts = [f"{told['machine']}; load average {told['load']}; {told['seconds']} s"]
    if told["sizes"]:
        parts += _waiting_tables(told["sizes"])
    if told["ended"]:
        parts.append(_ended.report(told["ended"]))
    if told["partitions"]:
        parts.append(_partitions.report(told["partitions"]))
    rows = [["bar", "found", "wanted", "met"]]
    for name, bar in told["bars"].items():
        rows.append([name, f"{bar['value']:,}", bar["bar"], "yes" if bar["met"] else "NO"])
    return "\n\n".join([*parts, table(rows)])


def _waiting_tables(sizes: list[dict[str, Any]]) -> list[str]:
    rows = [["waiting", "durable jobs/s", "sweeper's pass, ms", "slowest", "Valkey bytes a job"]]
    for each in sizes:
        rows.append(
            [
                f"{each['waiting']:,}",
                f"{each['jobs_per_s']:,}",
                f"{each['pass_ms']}",
                f"{each['slowest_pass_ms']}",
                f"{each['valkey_bytes_per_job']}",
            ]
        )
    largest = sizes[-1]["bytes_per_job"]
    disk = [["on disk", "bytes a waiting job"]]
    disk += [[name, str(size)] for name, size in largest.items()]
    disk.append(["together", str(sum(largest.values()))])
    return [table(rows), table(disk)]


if __name__ == "__main__":
    main(sys.argv[1:])
