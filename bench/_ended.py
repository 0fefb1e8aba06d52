"""What a history costs: the size of ended jobs, their pruning, and the use of their room after it.

Half of the generated jobs ended longer ago than they are kept. Source: docs/adr/0010-retention.md.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import psycopg

from bench._filling import DAY_S, fill_ended, fill_waiting, room, vacuum
from bench.jobs.contenders import BY_NAME
from bench.jobs.ground import Ground
from bench.jobs.report import table
from bench.jobs.rounds import working
from bench.jobs.stamps import Stamps

CONTENDER: Final = BY_NAME["transactional"]
DAYS: Final = 60
KEPT: Final = timedelta(days=30)
BATCHES: Final = (200, 1_000, 5_000)
SHARE: Final = 8
"""With each size of batch this part of what may go is pruned, while nothing else runs."""
LIMIT_S: Final = 120.0

_MAY_GO: Final = "SELECT count(*) FROM jobs_job WHERE finished_at < now() - %s"
_LEFT: Final = """
SELECT (SELECT count(*) FROM jobs_job WHERE finished_at < now() - interval '1 hour'),
    (SELECT count(*) FROM jobs_jobattempt WHERE ended_at < now() - interval '1 hour')
"""


@dataclass(slots=True)
class Pruning:
    """What one stretch of pruning did. `batches` holds the milliseconds of each."""

    jobs: int = 0
    took_s: float = 0.0
    batches: list[float] = field(default_factory=list)

    def to_json(self) -> dict[str, float]:
        """Return the numbers that are told."""
        return {
            "jobs": self.jobs,
            "jobs_per_s": round(self.jobs / self.took_s) if self.took_s else 0,
            "median_batch_ms": round(statistics.median(self.batches), 1) if self.batches else 0,
            "slowest_batch_ms": round(max(self.batches, default=0), 1),
        }


def measure(servers: Ground, ended: int, *, drained: int, pairs: int) -> dict[str, Any]:
    """Generate so many ended jobs, prune those that are too old, fill their room again.

    So many durable jobs are drained in `pairs`, without and with a prune beside.
    Raises: RuntimeError when what is left is not exactly what had to stay.
    """
    print(f"{ended:,} ended", file=sys.stderr, flush=True)
    with servers.admin("flagship") as connection:
        servers.empty(CONTENDER, drained)
        drain(servers, drained, nullcontext())
        run = sum(map(sum, room(connection).values())) / drained
        servers.empty(CONTENDER, drained)
        fill_ended(connection, ended, oldest_s=DAYS * DAY_S, newest_s=DAY_S)
        vacuum(connection)
        sizes = room(connection)
        may_go = _scalar(connection, _MAY_GO, KEPT)
        servers.settle()
        dry_run_s = _clocked(lambda: _prune(dry_run=True))
        alone = {str(each): _prune(batch=each, most=may_go // SHARE) for each in BATCHES}
        drains = _drains(servers, drained, pairs)
        rest = _prune()
        _check(connection, ended, may_go, [*alone.values(), *drains["prunes"], rest])
        return {
            "ended": ended,
            "bytes_per_row": {
                name: {"table": round(each[0] / ended), "indexes": round(each[1] / ended)}
                for name, each in sizes.items()
            },
            "bytes_per_job": round(sum(map(sum, sizes.values())) / ended),
            "bytes_per_job_just_run": round(run),
            "may_go": may_go,
            "dry_run_s": round(dry_run_s, 2),
            "prune_by_batch": {name: each.to_json() for name, each in alone.items()},
            "prune_beside": _together(drains["prunes"]).to_json(),
            "drain_jobs_per_s": drains["rates"],
            **_fill_again(connection, may_go // 2, sum(map(sum, sizes.values())) / ended),
        }


def drain(servers: Ground, count: int, beside: AbstractContextManager[None]) -> float:
    """Return the durable jobs a second that two workers end; `beside` is entered with the first."""
    stamps = Stamps.new(servers.stamps, count)
    fill_waiting(servers, count)
    servers.settle()
    with working(servers, CONTENDER):
        _wait(stamps, count - 1)
        with beside:
            _wait(stamps, 0)
    first, last = stamps.span()
    return count / (last - first)


def report(found: dict[str, Any]) -> str:
    """Return the tables of one measurement."""
    rows = [["ended jobs", ""], ["generated", f"{found['ended']:,}"]]
    for name, each in found["bytes_per_row"].items():
        rows.append([f"bytes a row of {name}", f"{each['table']} and {each['indexes']} of indexes"])
    rows.append(["bytes a job with its attempt", f"{found['bytes_per_job']}"])
    rows.append(["the same, just run, no vacuum yet", f"{found['bytes_per_job_just_run']}"])
    rows.append([f"dry run over {found['may_go']:,} that may go", f"{found['dry_run_s']} s"])
    for batch, each in found["prune_by_batch"].items():
        rows.append([f"prune in batches of {batch}", _words(each)])
    rows.append(["prune beside a drain, in batches of 1000", _words(found["prune_beside"])])
    for name, rate in found["drain_jobs_per_s"].items():
        rows.append([f"drain of durable jobs, {name}", f"{rate:,} jobs/s"])
    rows.append(["vacuum after it", f"{found['vacuum_s']} s"])
    again = f"{found['filled_again']:,} new jobs after that"
    rows.append([again, f"grew by {found['grew_bytes'] / 1e6:.1f} MB ({found['grew']:.0%})"])
    return table(rows)


def _words(each: dict[str, float]) -> str:
    return (
        f"{each['jobs_per_s']:,} jobs/s, batch {each['median_batch_ms']} ms"
        f" (slowest {each['slowest_batch_ms']})"
    )


def _prune(
    *,
    batch: int | None = None,
    most: int | None = None,
    dry_run: bool = False,
    over: threading.Event | None = None,
) -> Pruning:
    """Prune until nothing may go, `most` jobs have gone, or it is `over`."""
    from jobs.services.prune import prune_jobs

    done, started = Pruning(), time.perf_counter()
    before = started
    for each in prune_jobs(older_than=KEPT, dry_run=dry_run, batch=batch):
        now = time.perf_counter()
        done.jobs += each.jobs
        done.batches.append((now - before) * 1000)
        before = now
        if (most is not None and done.jobs >= most) or (over is not None and over.is_set()):
            break
    done.took_s = time.perf_counter() - started
    return done


def _drains(servers: Ground, drained: int, pairs: int) -> dict[str, Any]:
    """Drain without and with a prune beside, in turn; medians, and every stretch of pruning."""
    alone, beside = [], []
    prunes: list[Pruning] = []
    for _ in range(pairs):
        alone.append(drain(servers, drained, nullcontext()))
        beside.append(drain(servers, drained, _pruning(prunes)))
    rates = {"nothing beside": alone, "a prune beside": beside}
    medians = {name: round(statistics.median(each)) for name, each in rates.items() if each}
    return {"rates": medians, "prunes": prunes}


@contextmanager
def _pruning(done: list[Pruning]) -> Iterator[None]:
    """Prune inside the block; what was done is added to the list.

    Raises: RuntimeError when there was nothing left to prune before the block was over.
    """
    over = threading.Event()

    def run() -> None:
        from django.db import connection

        done.append(_prune(over=over))
        connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
        if not thread.is_alive():
            raise RuntimeError("all was pruned before the drain was over: generate more ended rows")
    finally:
        over.set()
        thread.join()


def _wait(stamps: Stamps, missing: int) -> None:
    """Wait until no more jobs than that have still to end. Raises: RuntimeError after LIMIT_S."""
    until = time.monotonic() + LIMIT_S
    while (found := stamps.missing()) > missing:
        if time.monotonic() > until:
            raise RuntimeError(f"{found} jobs did not end within {LIMIT_S:g} s")
        time.sleep(0.02)


def _together(prunes: list[Pruning]) -> Pruning:
    batches = [each for prune in prunes for each in prune.batches]
    return Pruning(sum(each.jobs for each in prunes), sum(each.took_s for each in prunes), batches)


def _check(
    connection: psycopg.Connection[Any], ended: int, may_go: int, prunes: list[Pruning]
) -> None:
    """Hold the prune to its word: all that may go has gone, with its attempts, and nothing else."""
    gone = sum(each.jobs for each in prunes)
    left = connection.execute(_LEFT).fetchone()
    if gone < may_go or left != (ended - gone, ended - gone):
        raise RuntimeError(f"{may_go} of {ended} could go, {gone} have gone, {left} are left")


def _fill_again(connection: psycopg.Connection[Any], count: int, usual: float) -> dict[str, Any]:
    """Vacuum, store new ended jobs, and tell how much the files grew, and of their usual size."""
    vacuum_s = _clocked(lambda: vacuum(connection))
    vacuum(connection)  # Emptied pages of indexes are free by the next one only.
    before = sum(map(sum, room(connection).values()))
    fill_ended(connection, count, oldest_s=3_000.0, newest_s=1.0)
    grew = sum(map(sum, room(connection).values())) - before
    return {
        "vacuum_s": round(vacuum_s, 1),
        "filled_again": count,
        "grew_bytes": grew,
        "grew": round(grew / (usual * count), 3) if count else 0.0,
    }


def _clocked(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def _scalar(connection: psycopg.Connection[Any], query: str, *parameters: Any) -> int:
    row = connection.execute(query, parameters).fetchone()
    return int(row[0]) if row else 0
