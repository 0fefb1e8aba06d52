"""Timeouts, cancels and lost leases reach the handler, once, and nobody else (W-07)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from django.db import OperationalError, connection
from psycopg_pool import PoolTimeout

from jobs import registry
from jobs.errors import InvalidPayload, JobAlreadyFinished
from jobs.models import FailedJob, Job
from jobs.payloads import Probe
from jobs.services.cancel import cancel_job
from jobs.services.enqueue import enqueue
from jobs.services.rescue import rescue_expired
from jobs.worker.execute import Executor
from tests.asserts import wait_until
from tests.drills.models import Effect
from tests.drills.payloads import Stubborn, Touch


def in_thread(executor: Executor, job: Job) -> threading.Thread:
    """Run a job in a thread, as the worker does."""
    thread = threading.Thread(target=executor.run, args=[job.id])
    thread.start()
    return thread


@contextmanager
def handled_by(kind: str, function: Callable[..., Any]) -> Iterator[None]:
    """Let another function handle a kind inside the block."""
    original = registry._names[kind]
    registry._names[kind] = replace(original, function=function)
    try:
        yield
    finally:
        registry._names[kind] = original


def is_running(job: Job) -> bool:
    """Whether a run of the job has begun."""
    return Job.objects.filter(id=job.id, state="running").exists()


def test_timeout__of_a_handler_that_swallows_every_exception__kills_only_its_job(
    executor: Executor,
) -> None:
    # W-07
    stubborn = enqueue(Stubborn())
    neighbours = [enqueue(Touch(key=f"n{n}", sleep_s=1.0)) for n in range(5)]
    started = time.monotonic()

    threads = [in_thread(executor, job) for job in (stubborn, *neighbours)]
    threads[0].join(10)
    took_s = time.monotonic() - started
    for thread in threads:
        thread.join(10)

    assert took_s < 2.0
    letter = FailedJob.objects.get()
    assert (letter.job_id, letter.error_class) == (stubborn.id, "JobTimedOut")
    assert letter.message == "ran longer than 0.3 s"
    assert Job.objects.filter(state="succeeded").count() == 5
    assert Effect.objects.count() == 5


def test_timeout__that_even_a_bare_except_swallowed__counts_all_the_same(
    executor: Executor,
) -> None:
    job = enqueue(Stubborn(swallow_everything=True))

    executor.run(job.id)

    job.refresh_from_db()
    assert job.state == "dead"
    assert FailedJob.objects.get().error_class == "JobTimedOut"


def test_cancel__of_a_running_job__is_confirmed_by_its_worker(executor: Executor) -> None:
    # W-15
    job = enqueue(Touch(key="k", sleep_s=20.0))
    thread = in_thread(executor, job)
    wait_until(lambda: is_running(job))

    asked = cancel_job(job_id=job.id)
    assert (asked.state, asked.cancel_requested_at is None) == ("running", False)
    thread.join(5)

    job.refresh_from_db()
    assert (job.state, thread.is_alive()) == ("cancelled", False)
    assert job.attempt_set.get().outcome == "cancelled"
    assert not Effect.objects.exists()
    with pytest.raises(JobAlreadyFinished):
        cancel_job(job_id=job.id)


def test_cancel__of_a_running_job_that_then_fails__ends_it_without_a_retry(
    executor: Executor,
) -> None:
    job = enqueue(Probe(action="fail", sleep_s=0.4))
    Job.objects.filter(id=job.id).update(backoff_s=[1.0, 1.0])
    thread = in_thread(executor, job)
    wait_until(lambda: is_running(job))
    cancel_job(job_id=job.id)
    thread.join(5)

    job.refresh_from_db()
    assert (job.state, job.attempts) == ("cancelled", 1)
    assert not FailedJob.objects.exists()


def test_run__whose_job_another_worker_took__is_interrupted_and_writes_nothing(
    executor: Executor,
) -> None:
    # P09
    job = enqueue(Touch(key="k", sleep_s=20.0))
    thread = in_thread(executor, job)
    wait_until(lambda: is_running(job))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_job SET lease_token = lease_token + 1")
    thread.join(5)

    assert not thread.is_alive()
    job.refresh_from_db()
    assert job.state == "running"
    assert not Effect.objects.exists()


def test_lease__of_a_run_longer_than_it__is_renewed(executor: Executor) -> None:
    job = enqueue(Touch(key="k", sleep_s=3.5))
    thread = in_thread(executor, job)  # leases last 2 s here
    wait_until(lambda: is_running(job))
    time.sleep(2.7)

    assert rescue_expired() == 0
    thread.join(10)

    job.refresh_from_db()
    assert (job.state, job.attempts, job.crashes) == ("succeeded", 1, 0)


def test_stuck_thread__past_its_timeout__loses_its_lease(executor: Executor) -> None:
    # W-07: what blocks in C cannot be interrupted, but it cannot keep the job either.
    job = enqueue(Touch(key="k"))
    Job.objects.filter(id=job.id).update(timeout_s=0.1, payload={"key": "k", "fail_times": 0})
    blocked = threading.Event()

    def block(*_: object) -> None:
        time.sleep(5)
        blocked.set()

    with handled_by("drills.touch", block):
        thread = in_thread(executor, job)
        wait_until(lambda: is_running(job))
        wait_until(
            lambda: Job.objects.extra(where=["lease_until < clock_timestamp()"]).exists(), 10
        )
        assert not blocked.is_set()
        thread.join(10)


def test_result__that_is_not_json__fails_the_job(executor: Executor) -> None:
    job = enqueue(Probe())

    with handled_by("jobs.probe", lambda payload, context: {"when": object()}):
        executor.run(job.id)

    assert FailedJob.objects.get().error_class == "TypeError"


def test_run__that_got_no_connection_of_the_pool__comes_back_at_no_cost(
    executor: Executor,
) -> None:
    def starve(*_: object) -> None:
        raise OperationalError("no connection") from PoolTimeout("15 s")

    job = enqueue(Probe())

    with handled_by("jobs.probe", starve):
        executor.run(job.id)

    job.refresh_from_db()
    assert (job.state, job.failures, job.crashes) == ("retry_wait", 0, 0)
    assert job.attempt_set.get().outcome == "snoozed"


@pytest.mark.django_db
def test_enqueue__of_what_cannot_be_stored__is_refused_and_stores_nothing() -> None:
    # W-03
    with pytest.raises(InvalidPayload) as refused:
        enqueue(Probe(note="a\x00b"))

    assert refused.value.status == 422
    assert not Job.objects.exists()
