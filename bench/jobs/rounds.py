"""One measurement of one contender: a drain, an enqueueing, a series of latencies."""

from __future__ import annotations

import contextlib
import json
import shlex
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import psutil

from bench._system import pss_mib
from bench.jobs.contenders import Contender
from bench.jobs.ground import Ground
from bench.jobs.stamps import Stamps

LIMIT_S = 90.0
WARM = 20
RATE_PER_S = 20
OURS = "bench.%"
"""Our scheduler runs beside, and its own jobs with it; these are the ones measured."""


class Wrong(Exception):
    """A run of ours lacks a row, an attempt or an effect, or has one too many."""


@dataclass(slots=True)
class Drain:
    """How fast a full queue was emptied. `lost` and `doubled` count effects."""

    jobs_per_s: float
    pss_mib: float
    lost: int
    doubled: int


@dataclass(slots=True)
class Latency:
    """Milliseconds from the enqueue call to the start of the job, one for each job."""

    ms: list[float] = field(default_factory=list)


def drain(
    ground: Ground,
    contender: Contender,
    kind: str,
    told: dict[str, str] | None = None,
    *,
    until_exit: bool = False,
) -> Drain:
    """Fill the queue, start two workers, and wait until every job has ended.

    The rate is jobs / (last end - first start): starting the workers is not counted. For ours the
    last end is when an outside reader sees every job's row succeeded, so the last COMMIT is in.
    `told` is more environment for the workers; `until_exit` waits for workers that end by
    themselves. Raises: Wrong.
    """
    count = contender.jobs[kind]
    ground.empty(contender, count)
    ground.log.write_bytes(b"")
    stamps = Stamps.new(ground.stamps, count)
    with _running(ground, contender, contender.support):
        _client(ground, contender, "fill", kind, str(count))
        ground.settle()
        extra = {"BENCH_COUNT": str(count), "BENCH_START_AT": str(time.monotonic() + 1.5)}
        extra |= told or {}
        with _running(ground, contender, contender.workers, extra) as workers:
            _wait(ground, contender, stamps, workers)
            seen = _wait_for_rows(ground, contender, count)
            memory = pss_mib(*(worker.pid for worker in workers))
            if until_exit:
                for worker in workers:
                    worker.wait(LIMIT_S)
    first, last = stamps.span()
    took = max(last, seen) - first
    lost, doubled = _effects(ground, contender, kind, count, stamps)
    if contender.is_ours:
        _check(ground, count, lost, doubled)
    return Drain((count - stamps.missing()) / took, memory, lost, doubled)


def enqueue(ground: Ground, contender: Contender, how: str) -> float | None:
    """Return jobs a second that one process enqueues, `one` by one or in `bulk`."""
    ground.empty(contender, 0)
    Stamps.new(ground.stamps, 1)
    told = _client(ground, contender, "enqueue", how, str(contender.enqueues[how]))
    return told["count"] / told["seconds"] if told else None


def latency(ground: Ground, contender: Contender, count: int) -> Latency:
    """Enqueue `count` empty jobs at 20 a second with idle workers; time each start."""
    ground.empty(contender, 0)
    ground.log.write_bytes(b"")
    stamps = Stamps.new(ground.stamps, count, WARM)
    ground.sent.write_bytes(bytes(8 * count))
    client = _start(
        ground, contender, contender.client, "latency", "noop", str(count), str(RATE_PER_S)
    )
    assert client.stdout is not None and client.stdin is not None
    if client.stdout.readline().strip() != b"reset":
        raise RuntimeError(f"{contender.name}: {_tail(ground)}")
    with working(ground, contender) as workers:
        client.stdin.write(b"\n")
        client.stdin.flush()
        if client.wait(LIMIT_S):
            raise RuntimeError(f"{contender.name}: {_tail(ground)}")
        _wait(ground, contender, stamps, workers)
    sent = struct.unpack(f"{count}d", ground.sent.read_bytes())
    pairs = zip(sent, stamps.pairs(), strict=True)
    return Latency([(start - at) * 1000 for at, (start, _) in pairs if start])


def _client(ground: Ground, contender: Contender, *arguments: str) -> dict[str, float]:
    """Run one command of a contender's client; return what it says."""
    if not contender.client:
        return {}
    process = _start(ground, contender, contender.client, *arguments)
    out, _ = process.communicate(timeout=LIMIT_S)
    if process.returncode:
        raise RuntimeError(f"{contender.name} {' '.join(arguments)}: {_tail(ground)}")
    return dict(json.loads(out.decode().strip().splitlines()[-1]))


def _start(
    ground: Ground,
    contender: Contender,
    command: str,
    *arguments: str,
    extra: dict[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    environment = ground.environment(contender) | (extra or {})
    with open(ground.log, "ab") as log:
        return subprocess.Popen(
            # `env` looks the command up in the PATH of the contender, not in ours.
            ["/usr/bin/env", *shlex.split(command), *arguments],
            cwd=ground.place(contender),
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if command == contender.client else log,
            stderr=log,
            start_new_session=True,
        )


@contextlib.contextmanager
def working(ground: Ground, contender: Contender) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run the workers, and what they need beside, inside the block; yield the workers."""
    with (
        _running(ground, contender, contender.support),
        _running(ground, contender, contender.workers) as workers,
    ):
        yield workers


@contextlib.contextmanager
def _running(
    ground: Ground,
    contender: Contender,
    commands: Sequence[str],
    extra: dict[str, str] | None = None,
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run these commands of a contender inside the block; yield their processes."""
    processes = [_start(ground, contender, each, extra=extra) for each in commands]
    try:
        yield processes
    finally:
        for process in processes:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all its children: their work is over."""
    with contextlib.suppress(psutil.NoSuchProcess):
        tree = psutil.Process(process.pid)
        for each in (tree, *tree.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
    process.wait()


def _wait(
    ground: Ground, contender: Contender, stamps: Stamps, workers: list[subprocess.Popen[bytes]]
) -> None:
    """Wait until every job has ended, or the limit is over.

    Raises: RuntimeError when a worker left that has not done its part, or nothing ran at all.
    """
    until = time.monotonic() + LIMIT_S
    while missing := stamps.missing():
        late = time.monotonic() > until
        if late and missing < stamps.count:
            return
        if late or any(worker.poll() for worker in workers):
            raise RuntimeError(f"{contender.name}: nothing runs: {_tail(ground)}")
        time.sleep(0.05)


def _wait_for_rows(ground: Ground, contender: Contender, count: int) -> float:
    """Wait until an outsider sees every job of ours succeeded; return when."""
    if not contender.is_ours:
        return 0.0
    until = time.monotonic() + LIMIT_S
    with ground.admin("flagship") as connection:
        while True:
            row = connection.execute(
                "SELECT count(*) FROM jobs_job WHERE state = 'succeeded' AND kind LIKE %s",
                (OURS,),
            ).fetchone()
            seen = time.monotonic()
            if (row is not None and row[0] >= count) or seen > until:
                return seen


def _effects(
    ground: Ground, contender: Contender, kind: str, count: int, stamps: Stamps
) -> tuple[int, int]:
    """Count the effects that are not there, and those that are there again."""
    if kind == "noop":
        return stamps.missing(), 0
    with ground.admin(ground.database(contender)) as connection:
        effects = connection.execute("SELECT count(*), count(DISTINCT job) FROM bench_effect")
        written, distinct = effects.fetchone() or (0, 0)
        rows = connection.execute("SELECT count(*) FROM bench_row WHERE done = 1")
        updated = (rows.fetchone() or (0,))[0]
    if not contender.is_ours:
        return count - distinct, written - distinct
    return count - min(distinct, updated), written - distinct


def _check(ground: Ground, count: int, lost: int, doubled: int) -> None:
    """Hold a run of ours to its word: each job a row, an attempt and an effect, once."""
    with ground.admin("flagship") as connection:
        jobs = connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE state = 'succeeded' AND attempts = 1)"
            " FROM jobs_job WHERE kind LIKE %s",
            (OURS,),
        ).fetchone()
        attempts = connection.execute(
            "SELECT count(*), count(DISTINCT job_id) FROM jobs_jobattempt AS attempt"
            " JOIN jobs_job AS job ON job.id = attempt.job_id"
            " WHERE outcome = 'succeeded' AND ended_at IS NOT NULL AND kind LIKE %s",
            (OURS,),
        ).fetchone()
    found = {"jobs": jobs, "attempts": attempts, "lost": lost, "doubled": doubled}
    if found != {"jobs": (count, count), "attempts": (count, count), "lost": 0, "doubled": 0}:
        raise Wrong(f"{count} jobs were enqueued, found {found}: {_tail(ground)}")


def _tail(ground: Ground) -> str:
    return ground.log.read_text(errors="replace")[-2000:] if ground.log.exists() else ""
