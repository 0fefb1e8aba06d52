"""Poisons beside steady work: one bad job harms no other (W-06, W-07, P12; issue 3, proof 2).

Two real workers, started anew when they leave as a supervisor would, take 20 innocent jobs a
second while others kill, bloat, freeze and block the processes that run them.
"""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator

import psutil
import pytest
from django.db import connection

from jobs.models import FailedJob, Job
from jobs.services.enqueue import enqueue
from tests.asserts import wait_until
from tests.drills.models import Effect
from tests.drills.payloads import Touch, TouchElsewhere
from tests.drills.poisons import MIB, Poison
from tests.faults.nursery import Child, Nursery
from tests.processes import Processes
from tests.soak import soaked

pytestmark = [pytest.mark.usefixtures("live_db"), pytest.mark.timeout(1800)]

ROUNDS = soaked(1)
PROBES_PER_S = 20
SETTINGS = {
    "JOB_LEASE_S": "2",
    "JOB_LEASE_RENEWAL_S": "0.4",
    "JOB_LOST_AFTER_S": "2",
    "SWEEP_INTERVAL_S": "0.2",
    "WORKER_FREEZE_LIMIT_S": "1.5",
    "WORKER_MEMORY_BYTES": str(1_000 * MIB),
}
WORST_P95_S = 1.0


class Supervisor(threading.Thread):
    """Starts a worker anew whenever it has left."""

    def __init__(self, nursery: Nursery) -> None:
        super().__init__(daemon=True)
        self.ends: Counter[int] = Counter()
        self._nursery = nursery
        self._over = threading.Event()
        self._workers = [nursery.start("rqworker") for _ in range(2)]
        for worker in self._workers:
            worker.wait_for("Listening on")
        self.logs = list(self._workers)

    def run(self) -> None:
        """Look often: what a restart takes is not what is measured."""
        while not self._over.wait(0.02):
            for place, worker in enumerate(self._workers):
                if psutil.Process(worker.pid).status() == psutil.STATUS_ZOMBIE:
                    self.ends[worker.wait()] += 1
                    self._workers[place] = self._nursery.start("rqworker")
                    self.logs.append(self._workers[place])

    def end(self) -> None:
        """Start none any more."""
        self._over.set()
        self.join()

    def output(self) -> str:
        """The ends of what the workers said."""
        return "\n".join(f"--- {child.pid}\n{child.output()[-1500:]}" for child in self.logs)


class Innocents(threading.Thread):
    """Asks for jobs at a steady rate, in turn on the queue of the poisons and on another."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.count = 0
        self._over = threading.Event()

    def run(self) -> None:
        """Keep to the clock, however long each takes."""
        started = time.monotonic()
        while not self._over.wait(max(0.0, started + self.count / PROBES_PER_S - time.monotonic())):
            kind = (Touch, TouchElsewhere)[self.count % 2]
            enqueue(kind(key=f"effect-{self.count}"))
            self.count += 1
        connection.close()

    def end(self) -> None:
        """Ask for no more."""
        self._over.set()
        self.join()


@contextlib.contextmanager
def system(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Supervisor, Innocents]]:
    """Workers, a scheduler and the steady work, ended in the right order."""
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    with Nursery(processes) as nursery:
        scheduler: Child = nursery.start("rqscheduler")
        scheduler.wait_for("sweeping every")
        supervisor, innocents = Supervisor(nursery), Innocents()
        supervisor.start()
        innocents.start()
        try:
            yield supervisor, innocents
        finally:
            innocents.end()
            supervisor.end()


def bury(*poisons: Job, explain: Supervisor) -> None:
    """Wait until every one of these is a dead letter."""
    ids = [poison.id for poison in poisons]
    wait_until(
        lambda: FailedJob.objects.filter(job_id__in=ids).count() == len(ids), 90, explain.output
    )


def unfinished() -> list[tuple[str, int]]:
    """States and attempts of the jobs that have not ended."""
    waiting = Job.objects.exclude(state__in=("succeeded", "dead"))
    return list(waiting.values_list("state", "attempts"))


def start_times_s() -> list[float]:
    """From enqueue to the start of the first run, of every innocent job, sorted."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM min(attempt.started_at) - job.created_at)::float8"
            " FROM jobs_job AS job JOIN jobs_jobattempt AS attempt ON attempt.job_id = job.id"
            " WHERE job.kind LIKE 'drills.touch%' GROUP BY job.id, job.created_at ORDER BY 1"
        )
        return [row[0] for row in cursor.fetchall()]


def test_poisons__beside_steady_work__are_buried_and_harm_no_other_job(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # W-06, W-07
    with system(processes, monkeypatch) as (supervisor, innocents):
        for _ in range(ROUNDS):
            # Those that take a process down one after the other, as a fleet is larger than two.
            quiet = [enqueue(Poison(way="spin")), enqueue(Poison(way="stick"))]
            for way in ("die", "freeze", "eat"):
                bury(enqueue(Poison(way=way)), explain=supervisor)
            bury(*quiet, explain=supervisor)
        innocents.end()
        wait_until(lambda: not unfinished(), 30, lambda: f"{unfinished()}\n{supervisor.output()}")

    times = start_times_s()
    p95_s = statistics.quantiles(times, n=20)[-1]
    for death in FailedJob.objects.select_related("job").order_by("died_at"):
        took_s = (death.died_at - death.job.created_at).total_seconds()
        print(f"{death.payload['way']} was buried after {took_s:.1f} s as {death.error_class}")
    print(
        f"{len(times)} innocents: P50 {statistics.median(times) * 1000:.0f} ms,"
        f" P95 {p95_s * 1000:.0f} ms, worst {times[-1]:.1f} s; workers ended: {supervisor.ends}"
    )
    assert len(times) == innocents.count
    assert p95_s < WORST_P95_S
    assert set(FailedJob.objects.values_list("kind", flat=True)) == {"drills.poison"}
    letters = FailedJob.objects.values_list("payload__way", "error_class", "job__crashes")
    buried = {way: (error, crashes) for way, error, crashes in letters}
    assert buried.keys() == {"die", "freeze", "eat", "stick", "spin"}
    assert buried["die"] == ("WorkerLost", 3)
    assert buried["freeze"] == ("WorkerLost", 3)
    assert buried["stick"] == ("WorkerLost", 3)
    assert buried["spin"][0] == "JobTimedOut"
    # Twice in a worker, the third time in a process of its own, which is no worker's end.
    assert supervisor.ends.total() >= 2 * 3 * ROUNDS - 1
    effects = Counter(Effect.objects.values_list("key", flat=True))
    assert effects == Counter({f"effect-{n}": 1 for n in range(innocents.count)})
