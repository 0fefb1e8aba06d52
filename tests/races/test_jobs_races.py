"""Many at once, over real transactions: one gets through (P08, P13)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from jobs.errors import DeadLetterNotOpen, JobAlreadyFinished, LeaseLost, Refusal
from jobs.models import FailedJob, Job, JobAttempt
from jobs.payloads import Probe
from jobs.services.cancel import cancel_job
from jobs.services.claim import Lease, claim
from jobs.services.complete import complete
from jobs.services.dead_letters import discard, requeue
from jobs.services.endings import failed
from jobs.services.enqueue import enqueue
from jobs.services.publisher import publish_due
from jobs.services.release import release
from jobs.services.rescue import rescue_expired
from jobs.worker.execute import Executor
from tests.drills.models import Effect
from tests.drills.payloads import Mortal, Touch
from tests.soak import soaked

ROUNDS = soaked(100)

pytestmark = pytest.mark.usefixtures("live_db")


def race(*calls: Callable[[], Any]) -> list[Any]:
    """Run calls at the same moment, each on its own connection; return values or exceptions."""
    barrier = threading.Barrier(len(calls))
    results: list[Any] = [None] * len(calls)

    def one(number: int, call: Callable[[], Any]) -> None:
        try:
            connection.ensure_connection()
            barrier.wait(10)
            results[number] = call()
        except BaseException as error:
            results[number] = error
        finally:
            connection.close()

    threads = [
        threading.Thread(target=one, args=[number, call]) for number, call in enumerate(calls)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def bury(key: str) -> FailedJob:
    """A dead letter."""
    job = enqueue(Mortal(key=key, lives_from_attempt=2))
    claimed = claim(job_id=job.id, worker="w", lease_s=15)
    assert claimed is not None
    release(lease=Lease(job.id, claimed.token), ending=failed(RuntimeError("no")))
    return FailedJob.objects.get(job=job)


def test_dead_letter__requeued_twice_at_once__runs_once() -> None:
    # D-03, P13
    executor = Executor("racer", lease_s=15, renewal_s=5)
    executor.watchdog.start()
    for number in range(ROUNDS):
        letter = bury(f"k{number}")

        results = race(
            lambda pk=letter.id: requeue(failed_job_id=pk, actor="ada"),  # type: ignore[misc]
            lambda pk=letter.id: requeue(failed_job_id=pk, actor="bob"),  # type: ignore[misc]
        )

        assert sorted(type(result).__name__ for result in results) == ["DeadLetterNotOpen", "Job"]
        ran = race(
            lambda job=letter.job_id: executor.run(job),  # type: ignore[misc]
            lambda job=letter.job_id: executor.run(job),  # type: ignore[misc]
        )
        assert sorted(ran) == [False, True]
    executor.watchdog.end()

    assert set(Job.objects.values_list("state", "attempts")) == {("succeeded", 2)}
    assert JobAttempt.objects.count() == 2 * ROUNDS
    assert Effect.objects.filter(key__endswith=":on_requeue").count() == ROUNDS


def test_dead_letter__requeued_and_discarded_at_once__has_one_answer() -> None:
    # D-03, D-04
    for number in range(ROUNDS // 4):
        letter = bury(f"k{number}")
        results = race(
            lambda pk=letter.id: requeue(failed_job_id=pk, actor="ada"),  # type: ignore[misc]
            lambda pk=letter.id: discard(failed_job_id=pk, actor="bob", reason="x"),  # type: ignore[misc]
        )
        assert sum(isinstance(result, DeadLetterNotOpen) for result in results) == 1
        letter.refresh_from_db()
        expected = {"requeued": "pending", "discarded": "dead"}[letter.state]
        assert Job.objects.get(id=letter.job_id).state in {expected, "queued"} - (
            {"queued"} if expected == "dead" else set()
        )


def test_claim__by_eight_at_once__is_one_attempt() -> None:
    # P08
    for number in range(20):
        job = enqueue(Touch(key=str(number)))
        results = race(
            *[lambda job=job: claim(job_id=job.id, worker="w", lease_s=15) for _ in range(8)]
        )
        assert sum(result is not None for result in results) == 1
        assert not any(isinstance(result, Exception) for result in results)
    assert JobAttempt.objects.count() == 20


def test_end_of_a_run__written_by_worker_and_sweeper_at_once__is_written_once() -> None:
    # P09
    outcomes = set()
    for number in range(ROUNDS // 2):
        job = enqueue(Touch(key=str(number)))
        claimed = claim(job_id=job.id, worker="w", lease_s=-1)
        assert claimed is not None
        lease = Lease(job.id, claimed.token)
        race(
            lambda lease=lease: complete(lease=lease, result=None),  # type: ignore[misc]
            rescue_expired,
            rescue_expired,
        )
        job.refresh_from_db()
        outcome = job.attempt_set.get().outcome
        assert (job.state, job.crashes, outcome) in {
            ("succeeded", 0, "succeeded"),
            ("pending", 1, "lost"),
            ("queued", 1, "lost"),
        }
        outcomes.add(outcome)
    assert outcomes <= {"succeeded", "lost"}


def test_death__declared_by_two_at_once__leaves_one_letter_and_one_on_dead() -> None:
    # D-01
    for number in range(ROUNDS // 4):
        job = enqueue(Mortal(key=f"k{number}"))
        claimed = claim(job_id=job.id, worker="w", lease_s=15)
        assert claimed is not None
        lease, error = Lease(job.id, claimed.token), failed(RuntimeError("no"))
        results = race(
            *[lambda: release(lease=lease, ending=error) for _ in range(3)]  # noqa: B023
        )
        assert sum(result == "dead" for result in results) == 1
        assert sum(isinstance(result, LeaseLost) for result in results) == 2
    assert FailedJob.objects.count() == ROUNDS // 4
    assert Effect.objects.count() == ROUNDS // 4


def test_enqueue__with_one_dedupe_key_by_eight_at_once__is_one_job() -> None:
    for number in range(20):
        results = race(
            *[lambda n=number: enqueue(Probe(), dedupe_key=f"key-{n}").id for _ in range(8)]
        )
        assert len(set(results)) == 1
    assert Job.objects.count() == 20


def test_publish__by_four_sweepers_at_once__rings_each_job_once(valkey: Any) -> None:
    for number in range(50):
        enqueue(Probe(note=str(number)))
    Job.objects.update(state="pending", published_at=None)
    valkey.flushall()

    results = race(*[lambda: publish_due(limit=20) for _ in range(8)])

    assert sum(results) + publish_due() == 50
    assert valkey.llen("rq:queue:flagship:maintenance") == 50


def test_cancel__racing_with_a_claim__has_one_outcome() -> None:
    # W-15
    for number in range(ROUNDS // 2):
        job = enqueue(Touch(key=str(number)))
        cancelled, claimed = race(
            lambda job=job: cancel_job(job_id=job.id),  # type: ignore[misc]
            lambda job=job: claim(job_id=job.id, worker="w", lease_s=15),  # type: ignore[misc]
        )
        job.refresh_from_db()
        assert not isinstance(cancelled, Exception), cancelled
        if claimed is None:
            assert (job.state, job.attempts) == ("cancelled", 0)
        else:
            assert (job.state, job.cancel_requested_at is None) == ("running", False)


def test_cancel__by_four_at_once__is_one_cancel() -> None:
    for number in range(20):
        job = enqueue(Touch(key=str(number)))
        results = race(*[lambda job=job: cancel_job(job_id=job.id) for _ in range(4)])
        assert sum(isinstance(result, Job) for result in results) == 1
        assert sum(isinstance(result, JobAlreadyFinished) for result in results) == 3
        assert all(isinstance(result, Job | Refusal) for result in results)
