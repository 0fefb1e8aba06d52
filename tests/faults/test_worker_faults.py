"""Real workers, killed, frozen and cut off: nothing is lost, nothing is done twice.

Leases are short here, so that what was lost is taken over within the test.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import time
import zlib
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import redis
from django.db import connection, connections, transaction

from jobs.clients.doorbells import Ring, ring
from jobs.models import FailedJob, Job, JobAttempt
from jobs.payloads import Probe
from jobs.services.enqueue import enqueue
from tests.asserts import wait_until
from tests.drills.models import Effect
from tests.drills.payloads import Touch
from tests.processes import Processes, Running
from tests.servers import Servers

pytestmark = pytest.mark.usefixtures("live_db")

FAST = {
    "JOB_LEASE_S": "1",
    "JOB_LEASE_RENEWAL_S": "0.3",
    "SWEEP_INTERVAL_S": "0.2",
    "JOB_LOST_AFTER_S": "2",
}


def start(processes: Processes, command: str = "rqworker", **env: str) -> Running:
    """A worker or scheduler that is ready."""
    process = processes.start(command, env=FAST | env)
    process.wait_for("Listening on" if command == "rqworker" else "sweeping every")
    return process


def submit(count: int, **payload: Any) -> list[Job]:
    """Jobs that each leave one effect under their own key."""
    with transaction.atomic():
        return [enqueue(Touch(key=f"effect-{n}", **payload)) for n in range(count)]


def count(state: str) -> int:
    """How many of the drills are in a state; the schedules have jobs of their own."""
    return Job.objects.filter(state=state, kind=Touch.KIND).count()


def wait_for_count(state: str, number: int, *processes: Running, timeout_s: float = 60.0) -> None:
    """Wait until so many jobs are in a state."""
    wait_until(
        lambda: count(state) >= number,
        timeout_s,
        lambda: "\n".join(process.output()[-2000:] for process in processes),
    )


def assert_each_effect_once(number: int) -> None:
    """Every job has ended well and left exactly one effect."""
    assert count("succeeded") == number
    effects = Counter(Effect.objects.values_list("key", flat=True))
    assert effects == Counter({f"effect-{n}": 1 for n in range(number)})
    assert not FailedJob.objects.exists()


def test_worker__killed_with_forty_jobs_running__loses_and_doubles_none(
    processes: Processes,
) -> None:
    # W-04, W-13, P08
    submit(40, sleep_s=1.5)
    first = start(processes)
    wait_for_count("running", 40, first)
    first.kill(signal.SIGKILL)
    first.wait()

    scheduler = start(processes, "rqscheduler")
    second = start(processes)
    wait_for_count("succeeded", 40, second, scheduler)

    assert_each_effect_once(40)
    attempts = JobAttempt.objects.filter(job__kind=Touch.KIND)  # the schedules have jobs too
    outcomes = Counter(attempts.values_list("outcome", flat=True))
    assert outcomes == {"lost": 40, "succeeded": 40}
    ours = Job.objects.filter(kind=Touch.KIND)
    assert set(ours.values_list("failures", "crashes")) == {(0, 1)}


def test_redis__emptied_with_jobs_queued_and_running__loses_none(
    processes: Processes, valkey: redis.Redis
) -> None:
    # P10
    scheduler = start(processes, "rqscheduler")
    worker = start(processes, WORKER_SLOTS="5")
    submit(60, sleep_s=0.3)
    wait_for_count("running", 5, worker)
    valkey.flushall()

    wait_for_count("succeeded", 60, worker, scheduler)

    assert_each_effect_once(60)


def test_worker__frozen_past_its_lease__is_fenced_off_when_it_wakes(
    processes: Processes,
) -> None:
    # P09
    submit(10, sleep_s=2.0)
    zombie = start(processes)
    wait_for_count("running", 10, zombie)
    zombie.kill(signal.SIGSTOP)
    scheduler = start(processes, "rqscheduler")
    ours = JobAttempt.objects.filter(job__kind=Touch.KIND)
    wait_until(lambda: ours.filter(outcome="lost").count() == 10)
    other = start(processes)
    wait_for_count("running", 10, other, scheduler)
    # Now both run them: the zombie's sleep is over, and it goes straight on to write.
    zombie.kill(signal.SIGCONT)
    zombie.kill(signal.SIGTERM)
    assert zombie.wait() == 0
    wait_for_count("succeeded", 10, other, scheduler)

    assert_each_effect_once(10)
    attempts = JobAttempt.objects.filter(job__kind=Touch.KIND)
    outcomes = Counter(attempts.values_list("outcome", flat=True))
    assert outcomes == {"lost": 10, "succeeded": 10}
    owners = set(attempts.filter(outcome="succeeded").values_list("worker", flat=True))
    assert len(owners) == 1


def test_doorbells__four_of_each__run_each_job_once(processes: Processes) -> None:
    # P08
    jobs = submit(40, sleep_s=0.05)
    for delivery in range(2, 5):
        ring([Ring(job.id, job.queue, delivery, job.timeout_s) for job in jobs])
    worker = start(processes)
    wait_for_count("succeeded", 40, worker)
    worker.kill(signal.SIGTERM)
    assert worker.wait() == 0

    assert_each_effect_once(40)
    assert JobAttempt.objects.count() == 40


class Bomb:
    """A pickle that leaves a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def test_redis__written_by_somebody_else__makes_a_worker_run_nothing(
    processes: Processes, valkey: redis.Redis, tmp_path: Path
) -> None:
    # rq.md section 7
    boom = tmp_path / "boom"
    call = zlib.compress(json.dumps(["os.system", None, [f"touch {boom}"], {}]).encode())
    bomb = pickle.dumps((Bomb(boom), None, (), {}))
    planted: dict[str, dict[str, Any]] = {
        "call": {"data": call},
        "pickle": {"data": zlib.compress(bomb)},
        "meta": {"data": call, "meta": bomb},
        "callback": {"data": call, "failure_callback_name": "os.abort"},
        "nonsense": {"status": "?", "data": b"?"},
    }
    for rq_id, fields in planted.items():
        mapping: Any = {"origin": "flagship:usage", "status": "queued"} | fields
        valkey.hset(f"rq:job:{rq_id}", mapping=mapping)
        valkey.rpush("rq:queue:flagship:usage", rq_id)
    worker = start(processes)
    submit(3)
    valkey.publish(f"rq:pubsub:{_name_of(valkey)}", json.dumps({"command": "shutdown"}))

    wait_for_count("succeeded", 3, worker)

    wait_until(lambda: valkey.llen("rq:queue:flagship:usage") == 0)
    assert not boom.exists()
    assert worker.popen.poll() is None
    assert "no doorbell" in worker.output()
    assert_each_effect_once(3)


def _name_of(valkey: Any) -> str:
    """Name of the one worker that is registered."""
    (key,) = valkey.smembers("rq:workers")
    return str(key.decode()).removeprefix("rq:worker:")


def test_redis__down_at_submit__costs_no_time_and_no_job(
    processes: Processes, servers: Servers
) -> None:
    # P10, W-09
    if servers.valkey is None:
        pytest.skip("the server is not ours to stop")
    scheduler = start(processes, "rqscheduler")
    worker = start(processes)
    servers.valkey.crash()
    try:
        started = time.monotonic()
        submit(1)
        took_s = time.monotonic() - started
        time.sleep(0.5)
        assert count("pending") == 1
    finally:
        servers.valkey.start()
    wait_for_count("succeeded", 1, worker, scheduler)

    assert took_s < 1.0
    assert_each_effect_once(1)


def test_postgres__crashed_with_jobs_running__loses_and_doubles_none(
    processes: Processes, servers: Servers
) -> None:
    # P08
    if servers.postgres is None:
        pytest.skip("the server is not ours to crash")
    scheduler = start(processes, "rqscheduler")
    worker = start(processes)
    submit(15, sleep_s=1.0)
    wait_for_count("running", 15, worker)
    servers.postgres.crash()
    time.sleep(2)
    servers.postgres.launch()
    connections.close_all()

    wait_for_count("succeeded", 15, worker, scheduler)

    assert_each_effect_once(15)
    assert worker.popen.poll() is None
    assert scheduler.popen.poll() is None


def test_worker__whose_database_stays_away__leaves_with_an_error(
    processes: Processes, servers: Servers
) -> None:
    if servers.postgres is None:
        pytest.skip("the server is not ours to crash")
    worker = start(processes, WORKER_AWAY_LIMIT_S="2")
    servers.postgres.crash()
    try:
        assert worker.wait(20) == 1
        late = processes.start("rqworker")
        assert late.wait(20) == 1
        assert "the database cannot be used" in late.output()
    finally:
        servers.postgres.launch()
        connections.close_all()


def test_poison__that_kills_its_process__kills_two_workers_and_then_only_itself(
    processes: Processes,
) -> None:
    # W-06, P12: the third time it runs alone.
    poison = enqueue(Probe(action="exit"))
    scheduler = start(processes, "rqscheduler")
    for _ in range(2):
        worker = start(processes)
        assert worker.wait() == 70
    third = start(processes)
    wait_until(lambda: FailedJob.objects.exists(), 30, lambda: scheduler.output() + third.output())

    poison.refresh_from_db()
    assert (poison.state, poison.attempts, poison.crashes, poison.failures) == ("dead", 3, 3, 0)
    submit(3)
    wait_until(lambda: Effect.objects.count() == 3, 30, third.output)
    assert third.popen.poll() is None


def test_retries__by_a_real_worker_and_scheduler__are_never_early(processes: Processes) -> None:
    # W-02, P11: 1 s, then 2 s; the sweep may add its own half second, never take away.
    scheduler = start(processes, "rqscheduler")
    worker = start(processes)
    job = enqueue(Touch(key="effect-0", fail_times=2))
    wait_for_count("succeeded", 1, worker, scheduler)

    runs = list(job.attempt_set.order_by("number"))
    gaps = [
        (later.started_at - earlier.ended_at).total_seconds()
        for earlier, later in pairwise(runs)
        if earlier.ended_at
    ]
    print(f"gaps of 1 s and 2 s: {gaps}")
    assert [run.outcome for run in runs] == ["failed", "failed", "succeeded"]
    assert 1.0 <= gaps[0] < 3.0
    assert 2.0 <= gaps[1] < 4.0


def test_submit_to_start__in_calm__is_quick(processes: Processes) -> None:
    # W-09
    worker = start(processes)
    for number in range(10):
        enqueue(Touch(key=f"effect-{number}"))
        wait_for_count("succeeded", number + 1, worker)
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(started_at - created_at) FROM jobs_job")
        (slowest,) = cursor.fetchone()
    print(f"slowest submit to start: {slowest.total_seconds() * 1000:.0f} ms")
    assert slowest.total_seconds() < 2.0
