"""Claims whose answers were lost, and runs that are claimed for the record only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, connections
from django.db.models.functions import Now

from jobs.models import Job
from jobs.services.claim import Lease, claim, claim_many
from jobs.services.complete import complete
from jobs.services.endings import failed
from jobs.services.enqueue import enqueue
from jobs.services.release import release
from jobs.worker import claims as module
from jobs.worker.claims import Claims
from jobs.worker.database import discard
from jobs.worker.execute import Executor
from tests.drills.models import Effect
from tests.drills.payloads import Touch
from tests.faults.proxy import Proxy

WORKER = "host:1:abc"


@pytest.fixture
def proxy(live_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """What stands between this thread and PostgreSQL."""
    database = connections.settings["default"]
    standing = Proxy(int(database["PORT"]))
    connections.close_all()
    monkeypatch.setitem(database, "HOST", "127.0.0.1")
    monkeypatch.setitem(database, "PORT", standing.port)
    yield standing
    connections.close_all()
    standing.close()


def touch() -> Job:
    return enqueue(Touch(key="k"))


def lose_the_answer(proxy: Proxy, ask: Callable[[], Any]) -> None:
    """Have the connection break when the server has done what is asked for."""
    proxy.cut(0)
    with pytest.raises(OperationalError):
        ask()
    assert proxy.cuts == 1
    discard()


@pytest.fixture
def claims(proxy: Proxy) -> Claims:
    """With the plan of its statement in the connection, so that a claim is one exchange."""
    warm = Claims(WORKER, lease_s=60.0)
    for held in warm.take([touch().id]):
        complete(lease=Lease(held.job_id, held.token), result=None)
        warm.end(held)
    return warm


def read(job: Job) -> tuple[str, int, int]:
    job.refresh_from_db()
    return job.state, job.attempts, job.crashes


def test_claim__whose_answer_was_lost__is_handed_back_at_once_and_costs_nothing(
    proxy: Proxy, claims: Claims
) -> None:
    # W-04, P08: nobody runs it, and its lease lasts for a minute.
    jobs = [touch(), touch()]
    lose_the_answer(proxy, lambda: claims.take([job.id for job in jobs]))
    assert [read(job) for job in jobs] == [("running", 1, 0)] * 2

    claims.recall()

    assert [read(job) for job in jobs] == [("pending", 1, 0)] * 2
    run = jobs[0].attempt_set.get()
    assert (run.outcome, run.message) == ("handed_back", "the answer to its claim was lost")
    assert [held.attempt for held in claims.take([job.id for job in jobs])] == [2, 2]


def test_recall__of_a_lost_claim__leaves_alone_what_the_worker_runs(
    proxy: Proxy, claims: Claims
) -> None:
    # W-04: a second doorbell of what it runs already, and a job of another worker.
    mine, foreign, lost = touch(), touch(), touch()
    (held,) = claims.take([mine.id])
    assert claim(job_id=foreign.id, worker="another", lease_s=60) is not None
    lose_the_answer(proxy, lambda: claims.take([mine.id, foreign.id, lost.id]))

    claims.recall()

    assert [read(job)[0] for job in (mine, foreign, lost)] == ["running", "running", "pending"]
    complete(lease=Lease(mine.id, held.token), result=None)


def test_recall__of_a_claim_that_the_server_had_still_in_hand__finds_it_later(
    proxy: Proxy, claims: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    # W-04
    job = touch()
    Job.objects.filter(id=job.id).update(next_attempt_at=Now() + timedelta(hours=1))
    lose_the_answer(proxy, lambda: claims.take([job.id]))
    claims.recall()
    Job.objects.filter(id=job.id).update(next_attempt_at=Now())
    claim_many(job_ids=[job.id], worker=WORKER, lease_s=60.0)

    claims.recall()
    assert read(job) == ("running", 1, 0)
    monkeypatch.setattr(module, "LOOK_S", 0.0)
    claims.recall()

    assert read(job) == ("pending", 1, 0)


def test_recall__while_the_database_is_away__is_tried_again(proxy: Proxy, claims: Claims) -> None:
    # W-04
    job = touch()
    lose_the_answer(proxy, lambda: claims.take([job.id]))
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    proxy.cut(0)
    claims.recall()
    assert (proxy.cuts, read(job)[0]) == (2, "running")

    claims.recall()

    assert read(job) == ("pending", 1, 0)


def test_run__whose_claim_got_no_answer__is_done_all_the_same(proxy: Proxy) -> None:
    # W-04: in the process of a job that runs alone.
    executor = Executor(WORKER, lease_s=60.0, renewal_s=20.0)
    (warm,) = executor.claims.take([touch().id])
    complete(lease=Lease(warm.job_id, warm.token), result=None)
    job = touch()

    proxy.cut(0)
    assert executor.run(job.id) is True

    assert (proxy.cuts, read(job)) == (1, ("succeeded", 2, 0))
    assert list(Effect.objects.values_list("attempt", flat=True)) == [2]
    assert executor.run(job.id) is False


@pytest.mark.django_db
def test_claim__for_the_record__says_when_the_run_began() -> None:
    # W-05
    job = touch()
    Job.objects.filter(id=job.id).update(next_attempt_at=Now() - timedelta(seconds=60))
    job.refresh_from_db()
    assert job.next_attempt_at is not None
    began = job.next_attempt_at + timedelta(seconds=20)

    held = claim(job_id=job.id, worker=WORKER, lease_s=60, started_at=began)
    assert held is not None
    release(lease=Lease(job.id, held.token), ending=failed(RuntimeError("no")))

    run = job.attempt_set.get()
    job.refresh_from_db()
    assert run.started_at == job.started_at == held.started_at == began
    assert run.ended_at is not None and timedelta(seconds=39) < run.ended_at - began


@pytest.mark.django_db
@pytest.mark.parametrize("off_s", [-3600.0, 3600.0])
def test_claim__for_the_record__never_begins_before_the_job_was_due_nor_later_than_now(
    off_s: float,
) -> None:
    # W-05: a retry is never early, nor does a run end before it has begun.
    job = touch()
    job.refresh_from_db()
    assert job.next_attempt_at is not None
    due_at = job.next_attempt_at

    began = due_at + timedelta(seconds=off_s)
    held = claim(job_id=job.id, worker=WORKER, lease_s=60, started_at=began)

    assert held is not None
    assert due_at <= held.started_at < due_at + timedelta(seconds=60)
