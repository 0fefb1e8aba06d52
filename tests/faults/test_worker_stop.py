"""Starting and stopping real workers (W-14)."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from jobs.models import FailedJob, Job, JobAttempt
from jobs.payloads import Payload, Probe
from jobs.services.enqueue import enqueue
from tests.asserts import wait_until
from tests.drills.models import Effect
from tests.drills.payloads import Touch, TouchElsewhere
from tests.faults.matrix.tally import TALLY
from tests.faults.nursery import Nursery
from tests.processes import Processes, Running
from tests.soak import soaked

pytestmark = pytest.mark.usefixtures("live_db")

ROUNDS = soaked(50)
SIDE_BY_SIDE = 3


def start(processes: Processes, *arguments: str, **env: str) -> Running:
    """A worker that is ready."""
    worker = processes.start("rqworker", *arguments, env=env)
    worker.wait_for("Listening on")
    return worker


def test_sigterm__at_random_moments_in_many_rounds__loses_no_job(processes: Processes) -> None:
    # W-14: stock RQ loses jobs here (rq/rq#2079, #2236).
    seed = int(os.environ.get("SEED", str(time.time_ns() % 1_000_000)))
    print(f"SEED={seed}")
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        shares = [pool.submit(_stop_some, processes, seed, each) for each in range(SIDE_BY_SIDE)]
        keys = [key for share in shares for key in share.result()]
    # Nobody sweeps here: what a stop left behind is still there to be taken.
    assert not Job.objects.filter(state="running").exists()
    time.sleep(0.2)
    last = processes.start("rqworker", "--burst", env={"JOB_LOST_AFTER_S": "0.1"})
    assert last.wait(120) == 0

    assert len(keys) == 6 * ROUNDS
    states = Counter(Job.objects.values_list("state", flat=True))
    assert states == {"succeeded": len(keys)}, last.output()[-3000:]
    effects = Counter(Effect.objects.values_list("key", flat=True))
    assert effects == Counter(keys)
    assert not FailedJob.objects.exists()
    assert set(JobAttempt.objects.values_list("outcome", flat=True)) == {"succeeded"}
    TALLY.faults["sigterm"] += ROUNDS


def _stop_some(processes: Processes, seed: int, share: int) -> list[str]:
    """Stop one worker after the other, each with work of its own or a neighbour's.

    Most of a stop is waiting for the pop that is under way, so several of these run side by side.
    Returns the keys of the jobs.
    """
    chance = random.Random(seed + share)
    keys: list[str] = []
    directory = processes.directory / f"share-{share}"
    directory.mkdir()
    try:
        with Nursery(Processes(processes.root, directory)) as nursery:
            for number in range(share, ROUNDS, SIDE_BY_SIDE):
                worker = nursery.start("rqworker", "flagship:usage", "flagship:notifications")
                worker.wait_for("Listening on")
                keys += _enqueue_some(chance, 6 * number)
                time.sleep(chance.uniform(0, 0.06))
                os.kill(worker.pid, signal.SIGTERM)
                assert worker.wait() == 0, worker.output()
    finally:
        connection.close()
    return keys


def _enqueue_some(chance: random.Random, first: int) -> list[str]:
    """Six jobs on two queues, in one transaction; return their keys."""
    keys = [f"k{number}" for number in range(first, first + 6)]
    with transaction.atomic():
        for key in keys:
            kind: type[Payload] = chance.choice([Touch, TouchElsewhere])
            sleep_s = chance.choice([0.0, 0.0, 0.05])
            enqueue(kind.model_validate({"key": key, "sleep_s": sleep_s}))
    return keys


def test_sigterm__with_jobs_longer_than_the_drain__hands_them_back_uncounted(
    processes: Processes,
) -> None:
    # W-14
    worker = start(processes, WORKER_DRAIN_LIMIT_S="0.5")
    with transaction.atomic():
        for number in range(10):
            enqueue(Touch(key=f"k{number}", sleep_s=20.0))
    wait_until(lambda: Job.objects.filter(state="running").count() == 10)

    started = time.monotonic()
    worker.kill(signal.SIGTERM)
    assert worker.wait() == 0

    assert time.monotonic() - started < 6.0
    assert set(Job.objects.values_list("state", "attempts", "failures", "crashes")) == {
        ("pending", 1, 0, 0)
    }
    assert set(JobAttempt.objects.values_list("outcome", flat=True)) == {"handed_back"}
    assert not Effect.objects.exists()


def test_sigterm__with_a_job_that_ends_in_time__lets_it_end(processes: Processes) -> None:
    worker = start(processes)
    enqueue(Touch(key="k", sleep_s=3.0))
    wait_until(lambda: Job.objects.filter(state="running").exists())
    worker.kill(signal.SIGINT)
    time.sleep(1.5)  # a pop that is under way may still take one
    enqueue(Probe())

    assert worker.wait() == 0
    assert sorted(Job.objects.values_list("kind", "state")) == [
        ("drills.touch", "succeeded"),
        ("jobs.probe", "queued"),
    ]


def test_second_sigterm__while_draining__cuts_it_short(processes: Processes) -> None:
    worker = start(processes)
    enqueue(Touch(key="k", sleep_s=20.0))
    wait_until(lambda: Job.objects.filter(state="running").exists())
    worker.kill(signal.SIGTERM)
    time.sleep(0.5)
    assert worker.popen.poll() is None
    started = time.monotonic()
    worker.kill(signal.SIGTERM)

    assert worker.wait() == 0
    assert time.monotonic() - started < 5.0
    assert Job.objects.get().state == "pending"


def test_burst__with_jobs_that_wait__runs_them_and_leaves(processes: Processes) -> None:
    with transaction.atomic():
        for number in range(20):
            enqueue(Touch(key=f"k{number}", sleep_s=0.1))

    assert processes.start("rqworker", "--burst").wait() == 0
    assert Job.objects.filter(state="succeeded").count() == 20


def test_max_jobs__of_a_worker__is_how_many_it_runs(processes: Processes) -> None:
    with transaction.atomic():
        for number in range(5):
            enqueue(Touch(key=f"k{number}", sleep_s=0.1))

    assert processes.start("rqworker", "--max-jobs", "3").wait() == 0
    assert Job.objects.filter(state="succeeded").count() == 3
    assert processes.start("rqworker", "--max-idle-time", "1").wait() == 0
    assert Job.objects.filter(state="succeeded").count() == 5


def test_with_scheduler__asked_of_a_worker__is_refused(processes: Processes) -> None:
    worker = processes.start("rqworker", "--with-scheduler")

    assert worker.wait() == 1
    assert "rqscheduler" in worker.output()


def test_scheduler__told_to_stop__leaves_with_zero(processes: Processes) -> None:
    scheduler = processes.start("rqscheduler")
    scheduler.wait_for("sweeping every")
    scheduler.kill(signal.SIGTERM)

    assert scheduler.wait(10) == 0
