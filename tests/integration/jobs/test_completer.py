"""Ends that are written together: each as if it were written alone (W-05, W-08)."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import DataError, connection

from jobs.errors import LeaseLost
from jobs.models import Job, JobAttempt
from jobs.payloads import Probe
from jobs.services.claim import Lease, claim
from jobs.services.complete import complete_many
from jobs.services.enqueue import enqueue_many
from jobs.worker import completer as module
from jobs.worker.completer import Completer
from jobs.worker.database import dedicated
from tests.asserts import wait_until

pytestmark = pytest.mark.usefixtures("live_db")


def running(count: int) -> list[Lease]:
    """Leases of so many jobs, claimed."""
    ids = enqueue_many([Probe()] * count)
    claimed = [claim(job_id=job_id, worker="test-worker", lease_s=30.0) for job_id in ids]
    return [Lease(each.job_id, each.token) for each in claimed if each is not None]


@contextmanager
def held(job_id: uuid.UUID) -> Iterator[None]:
    """Somebody holds the row inside the block."""
    with dedicated() as somebody, somebody.transaction():
        somebody.execute("SELECT 1 FROM jobs_job WHERE id = %s FOR NO KEY UPDATE", (job_id,))
        yield


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many ends each statement for several was given."""
    sizes: list[int] = []
    real = complete_many

    def counting(*, leases: Sequence[Lease], results: Sequence[Any]) -> set[uuid.UUID]:
        sizes.append(len(leases))
        return real(leases=leases, results=results)

    monkeypatch.setattr(module, "complete_many", counting)
    return sizes


@pytest.fixture
def submit() -> Iterator[Callable[..., Future[None]]]:
    """Complete in a thread; calls that come before the writer is done wait for it."""
    completer = Completer()
    pool = ThreadPoolExecutor(20)

    def complete(lease: Lease, result: dict[str, Any] | None) -> None:
        try:
            completer.complete(lease, result)
        finally:
            connection.close()

    def start(lease: Lease, result: dict[str, Any] | None = None) -> Future[None]:
        waiting = len(completer._waiting)
        future = pool.submit(complete, lease, result)
        wait_until(
            lambda: len(completer._waiting) > waiting or completer._writing or future.done(), 5
        )
        return future

    yield start
    pool.shutdown()


def states(leases: Sequence[Lease]) -> list[str]:
    """The jobs' states, in the order of the leases."""
    found = dict(Job.objects.values_list("id", "state"))
    return [found[lease.job_id] for lease in leases]


def test_ends__that_come_while_one_is_written__are_written_in_one_statement(
    submit: Callable[..., Future[None]], batches: list[int]
) -> None:
    # W-08
    leases = running(12)
    with held(leases[0].job_id):
        first = submit(leases[0], {"n": 0})
        others = [submit(lease, {"n": n}) for n, lease in enumerate(leases[1:], start=1)]
        wait_until(lambda: threading.active_count() > 12, 5)
        assert not any(future.done() for future in (first, *others))
    for future in (first, *others):
        future.result(10)

    assert sum(batches) == 11 and len(batches) <= 2
    jobs = {job.id: job for job in Job.objects.all()}
    for n, lease in enumerate(leases):
        job, attempt = jobs[lease.job_id], JobAttempt.objects.get(job_id=lease.job_id)
        assert (job.state, job.result, job.lease_owner) == ("succeeded", {"n": n}, "")
        assert (attempt.outcome, attempt.ended_at) == ("succeeded", job.finished_at)


def test_end__whose_row_is_held__keeps_no_other_waiting(
    submit: Callable[..., Future[None]], batches: list[int]
) -> None:
    # W-08
    first, stuck, free, other = leases = running(4)
    with held(stuck.job_id):
        with held(first.job_id):
            futures = [submit(lease) for lease in leases]
        for future, lease in zip(futures, leases, strict=True):
            if lease is not stuck:
                future.result(10)
        assert not futures[1].done()
        assert states([first, free, other]) == ["succeeded"] * 3
    futures[1].result(10)

    assert states([stuck]) == ["succeeded"]


def test_end__of_a_lost_lease__is_refused_and_the_others_are_written(
    submit: Callable[..., Future[None]], batches: list[int]
) -> None:
    # W-07, P09
    leases = running(5)
    late = leases[2]
    with held(leases[0].job_id):
        futures = [
            submit(Lease(lease.job_id, lease.token - 1) if lease is late else lease)
            for lease in leases
        ]
    with pytest.raises(LeaseLost):
        futures[2].result(10)
    for n in (0, 1, 3, 4):
        futures[n].result(10)

    assert states(leases) == ["succeeded", "succeeded", "running", "succeeded", "succeeded"]


def test_end__with_a_result_that_cannot_be_stored__spoils_no_other(
    submit: Callable[..., Future[None]], batches: list[int]
) -> None:
    # W-05
    leases = running(5)
    with held(leases[0].job_id):
        futures = [
            submit(lease, {"text": "\x00"} if n == 2 else {"n": n})
            for n, lease in enumerate(leases)
        ]
    with pytest.raises(DataError):
        futures[2].result(10)
    for n in (0, 1, 3, 4):
        futures[n].result(10)

    assert states(leases) == ["succeeded", "succeeded", "running", "succeeded", "succeeded"]
