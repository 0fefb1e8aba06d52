"""Transactional and batch runs: one transaction, all of it or nothing (W-03, W-04)."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis
from django.db import connection, transaction

from jobs import registry
from jobs.clients.postgres import one_transaction, run, run_later
from jobs.context import JobContext
from jobs.errors import GiveUp, HandedBack, Snooze, Throttled
from jobs.models import Job, JobAttempt
from jobs.payloads import Payload
from jobs.registry import get_handler
from jobs.services import transact
from jobs.services.cancel import cancel_job
from jobs.services.enqueue import enqueue, enqueue_many
from jobs.states import Shape
from jobs.worker.execute import Executor
from jobs.worker.transactor import Line, NotDone, Transactor
from tests.drills.models import Effect
from tests.drills.payloads import Touch
from tests.drills.shapes import LEAVE, MarkInOne, MarkLater, MarkTogether


@pytest.fixture
def transactor(executor: Executor) -> Iterator[Transactor]:
    """A transactor in this process."""
    yield Transactor(executor)
    connection.close()


def stored(job_id: uuid.UUID) -> Job:
    """The job as it is now."""
    return Job.objects.get(id=job_id)


def test_transactional_run__that_succeeds__leaves_row_attempt_and_effect_of_one_instant(
    transactor: Transactor,
) -> None:
    # W-04, W-05
    job = enqueue(MarkInOne(key="a"))

    assert transactor.run(job.id)
    assert not transactor.run(job.id)

    done = stored(job.id)
    attempt = JobAttempt.objects.get()
    assert (done.state, done.attempts, done.lease_token) == ("succeeded", 1, 1)
    assert done.result == {"key": "a"}
    assert (attempt.outcome, attempt.number, attempt.token) == ("succeeded", 1, 1)
    assert (attempt.worker, attempt.ended_at) == ("test-worker", done.finished_at)
    assert attempt.started_at == done.started_at
    assert Effect.objects.get().key == "a"


def test_transactional_run__that_fails__leaves_a_failed_attempt_and_no_effect(
    transactor: Transactor,
) -> None:
    # W-04: the effect is written before the error.
    job = enqueue(MarkInOne(key="a", fail_times=1, sleep_s=0.2))

    assert transactor.run(job.id)

    failed, attempt = stored(job.id), JobAttempt.objects.get()
    assert attempt.ended_at and (attempt.ended_at - attempt.started_at).total_seconds() >= 0.2
    assert (failed.state, failed.attempts, failed.failures) == ("retry_wait", 1, 1)
    assert [attempt.outcome for attempt in JobAttempt.objects.all()] == ["failed"]
    assert not Effect.objects.exists()
    assert transactor.run(job.id)
    assert (stored(job.id).state, Effect.objects.get().attempt) == ("succeeded", 2)


@pytest.mark.parametrize(
    ("error", "state", "outcome", "failures"),
    [
        (Snooze(60.0, "later"), "retry_wait", "snoozed", 0),
        (Throttled(60.0, "mail"), "retry_wait", "throttled", 0),
        (GiveUp("never"), "dead", "failed", 1),
    ],
)
def test_transactional_run__ended_by_an_answer__is_recorded_as_a_leased_one_would_be(
    transactor: Transactor,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    state: str,
    outcome: str,
    failures: int,
) -> None:
    # W-06, W-16
    def answer(*_: Any) -> None:
        Effect.objects.create(key="undone", attempt=1)
        raise error

    monkeypatch.setattr(type(get_handler("drills.mark_in_one")), "function", answer)
    job = enqueue(MarkInOne(key="a"))

    assert transactor.run(job.id)

    after = stored(job.id)
    assert (after.state, after.failures) == (state, failures)
    assert JobAttempt.objects.get().outcome == outcome
    assert not Effect.objects.exists()


def test_line__of_transactional_jobs__is_a_transaction_each_with_one_that_fails(
    transactor: Transactor,
) -> None:
    # W-04: the end of one travels with the beginning of the next.
    jobs = [enqueue(MarkInOne(key=str(n), fail_times=1 if n == 1 else 0)) for n in range(4)]
    gone = enqueue(MarkInOne(key="gone"))
    cancel_job(job_id=gone.id)
    line = Line([jobs[0].id, jobs[1].id, gone.id, jobs[2].id, jobs[3].id])

    transactor.run_line(line, lambda: False)

    assert (line.ran, len(line.waiting)) == (4, 0)
    assert [stored(job.id).state for job in jobs] == [
        "succeeded",
        "retry_wait",
        "succeeded",
        "succeeded",
    ]
    assert sorted(Effect.objects.values_list("key", flat=True)) == ["0", "2", "3"]
    ends = JobAttempt.objects.filter(outcome="succeeded").order_by("ended_at")
    assert [attempt.job_id for attempt in ends] == [jobs[0].id, jobs[2].id, jobs[3].id]
    assert len({attempt.ended_at for attempt in ends}) == 3


def test_line__of_a_stopping_worker__begins_no_further_job(transactor: Transactor) -> None:
    # W-14
    jobs = [enqueue(MarkInOne(key=str(n))) for n in range(3)]
    line = Line(job.id for job in jobs)

    transactor.run_line(line, Effect.objects.exists)

    assert (line.ran, list(line.waiting)) == (1, [job.id for job in jobs[1:]])
    assert [stored(job.id).state for job in jobs] == ["succeeded", "queued", "queued"]


def test_line__whose_job_has_something_to_follow_its_commit__lets_it_follow(
    transactor: Transactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # W-04: what waits for a commit must not find itself in the next job's transaction.
    jobs = [enqueue(MarkInOne(key=str(n))) for n in range(2)]
    seen: list[tuple[int, bool]] = []
    real = get_handler(MarkInOne.KIND)

    def noting(payload: MarkInOne, context: JobContext) -> Any:
        answer = real.function(payload, context)
        transaction.on_commit(
            lambda: seen.append((Effect.objects.count(), connection.in_atomic_block))
        )
        return answer

    monkeypatch.setitem(registry._names, MarkInOne.KIND, replace(real, function=noting))
    line = Line(job.id for job in jobs)

    transactor.run_line(line, lambda: False)

    assert (line.ran, seen) == (2, [(1, False), (2, False)])


def test_transactional_run__held_by_another__is_passed_over(transactor: Transactor) -> None:
    # W-04: the row lock is the lease.
    job = enqueue(MarkInOne(key="a"))
    answers: list[bool] = []

    def try_to_run() -> None:
        answers.append(transactor.run(job.id))
        connection.close()

    with transaction.atomic():
        Job.objects.select_for_update(no_key=True).get(id=job.id)
        other = threading.Thread(target=try_to_run)
        other.start()
        other.join(20)

    assert answers == [False]
    assert transactor.run(job.id)
    assert Effect.objects.count() == 1


def test_transactional_run__that_moves_its_own_job__stores_nothing(
    transactor: Transactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # W-04: what cannot be completed must not be committed.
    def move(payload: MarkInOne, context: Any) -> None:
        Effect.objects.create(key="undone", attempt=1)
        run("UPDATE jobs_job SET lease_token = lease_token + 1 WHERE id = %s", (context.job_id,))

    monkeypatch.setattr(type(get_handler("drills.mark_in_one")), "function", move)
    job = enqueue(MarkInOne(key="a"))

    transactor.run(job.id)

    assert not Effect.objects.exists()
    assert stored(job.id).state != "succeeded"


def test_transactional_run__with_the_wrong_payload__is_buried_without_a_failure(
    transactor: Transactor,
) -> None:
    # W-03
    job = enqueue(MarkInOne(key="a"))
    Job.objects.filter(id=job.id).update(payload={"key": 1})

    assert transactor.run(job.id)

    buried = stored(job.id)
    assert (buried.state, buried.failures) == ("dead", 0)


def test_transactional_run__when_the_worker_stops__has_not_happened(
    transactor: Transactor, executor: Executor
) -> None:
    # W-14
    job = enqueue(MarkInOne(key="a", sleep_s=20.0))
    raised: list[BaseException] = []

    def work() -> None:
        try:
            transactor.run(job.id)
        except NotDone as error:
            raised.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    while not transactor.running():
        time.sleep(0.01)
    transactor.interrupt()
    thread.join(20)

    assert isinstance(raised[0].__cause__, HandedBack)
    untouched = stored(job.id)
    assert (untouched.state, untouched.attempts) == ("queued", 0)
    assert not JobAttempt.objects.exists()


def test_batch__with_one_bad_payload__runs_all_the_others(transactor: Transactor) -> None:
    # W-03, W-04
    ids = enqueue_many([MarkTogether(key=str(n)) for n in range(9)])
    Job.objects.filter(id=ids[4]).update(payload={"key": 4})

    assert transactor.run_batch(ids) == 9

    assert stored(ids[4]).state == "dead"
    assert Job.objects.filter(state="succeeded", attempts=1).count() == 8
    assert sorted(Effect.objects.values_list("key", flat=True)) == list("01235678")
    assert JobAttempt.objects.filter(outcome="succeeded").count() == 8


def test_batch__with_one_job_that_fails__fails_that_one_alone(transactor: Transactor) -> None:
    # W-04: halves are run again until the job that does not go is alone.
    ids = enqueue_many([MarkTogether(key=str(n), fail_times=int(n == 6)) for n in range(9)])

    assert transactor.run_batch(ids) == 9

    failed = stored(ids[6])
    assert (failed.state, failed.failures) == ("retry_wait", 1)
    assert Job.objects.filter(state="succeeded").count() == 8
    assert sorted(Effect.objects.values_list("key", flat=True)) == list("01234578")
    assert transactor.run_batch([ids[6]]) == 1
    assert Effect.objects.filter(key="6").count() == 1


def test_batch__of_jobs_taken_twice__runs_each_once(transactor: Transactor) -> None:
    # W-04
    ids = enqueue_many([MarkTogether(key=str(n)) for n in range(6)])

    assert transactor.run_batch([*ids, *ids[:3]]) == 6
    assert transactor.run_batch(ids) == 0

    assert Effect.objects.count() == 6


@pytest.mark.parametrize("payload", [MarkTogether(key="a"), MarkInOne(key="a"), Touch(key="a")])
def test_doorbell__with_the_letter_of_another_shape__is_rung_anew_and_nothing_runs(
    transactor: Transactor, valkey: redis.Redis, payload: Payload
) -> None:
    # W-06: a kind may have changed its shape since its job was rung for.
    job = enqueue(payload)
    valkey.flushall()
    letter = {Shape.BATCH: "b", Shape.TRANSACTIONAL: "t"}.get(get_handler(payload.KIND).shape, "s")

    if letter != "t":
        assert not transactor.run(job.id)
    else:
        assert transactor.run_batch([job.id]) == 0

    assert (stored(job.id).state, stored(job.id).attempts) == ("queued", 0)
    assert valkey.lrange(f"rq:queue:{job.queue}", 0, -1) == [f"{job.id.hex}-2{letter}".encode()]
    assert not JobAttempt.objects.exists()


def test_batch__with_a_stepwise_job_among_its_doorbells__runs_the_others(
    transactor: Transactor,
) -> None:
    ids = enqueue_many([Touch(key="s"), MarkTogether(key="a"), MarkTogether(key="b")])

    transactor.run_batch(ids)

    assert stored(ids[0]).state == "queued"
    transactor.run_batch(ids[1:])  # does nothing for those that the first call has run
    assert sorted(Effect.objects.values_list("key", flat=True)) == ["a", "b"]


def test_one_transaction__is_an_atomic_block_for_what_is_in_it(live_db: None) -> None:
    told: list[str] = []
    with one_transaction():
        transact.hold(job_id=uuid.uuid4())
        Effect.objects.create(key="kept", attempt=1)
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            Effect.objects.create(key="lost", attempt=1)
            raise ZeroDivisionError
        transaction.on_commit(lambda: told.append("committed"))
        with pytest.raises(RuntimeError, match="durable"), transaction.atomic(durable=True):
            pass
        assert told == []
        run_commit()
    assert told == ["committed"]
    assert not connection.in_atomic_block
    assert [effect.key for effect in Effect.objects.all()] == ["kept"]


def test_one_transaction__left_without_commit__is_rolled_back(live_db: None) -> None:
    told: list[str] = []
    with one_transaction():
        transact.hold(job_id=uuid.uuid4())
        Effect.objects.create(key="lost", attempt=1)
        transaction.on_commit(lambda: told.append("committed"))

    assert not Effect.objects.exists()
    assert told == []
    with transaction.atomic(), pytest.raises(RuntimeError), one_transaction():
        pass


def with_handler(monkeypatch: pytest.MonkeyPatch, function: Any) -> Job:
    """Enqueue a transactional job whose handler is this function of the context."""
    real = get_handler(MarkInOne.KIND)
    handled = replace(real, function=lambda payload, context: function(context))
    monkeypatch.setitem(registry._names, MarkInOne.KIND, handled)
    return enqueue(MarkInOne(key="a"))


def test_run_later__in_a_transactional_run__is_there_with_the_completion_or_not_at_all(
    transactor: Transactor,
) -> None:
    # W-04
    good, flaky = enqueue(MarkLater(key="good")), enqueue(MarkLater(key="bad", fail_times=1))
    line = Line([good.id, flaky.id])

    transactor.run_line(line, lambda: False)

    assert (stored(good.id).state, stored(flaky.id).state) == ("succeeded", "retry_wait")
    assert list(Effect.objects.values_list("key", "attempt")) == [("good", 1)]
    assert transactor.run(flaky.id)
    assert set(Effect.objects.values_list("key", "attempt")) == {("good", 1), ("bad", 2)}


def test_run_later__whose_statement_fails__fails_the_run_and_its_neighbours_go_on(
    transactor: Transactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # W-04, W-05
    bad = with_handler(monkeypatch, lambda context: run_later(LEAVE, ("x", -1)))
    after = enqueue(MarkLater(key="after"))
    line = Line([bad.id, after.id])

    transactor.run_line(line, lambda: False)

    assert (line.ran, stored(bad.id).state, stored(after.id).state) == (
        2,
        "retry_wait",
        "succeeded",
    )
    assert JobAttempt.objects.get(job=bad.id).error_class == "IntegrityError"
    assert [effect.key for effect in Effect.objects.all()] == ["after"]


def test_run_later__before_anything_else__is_seen_by_it(
    transactor: Transactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # W-04: Django and `run` come after what was put off, and so does a savepoint's end.
    seen: list[Any] = []

    def look(context: JobContext) -> None:
        run_later(LEAVE, ("100%% of 'it'", 1))
        seen.append(run("SELECT count(*) FROM drills_effect")[0][0])
        run_later(LEAVE, ("second", 1))
        seen.append(Effect.objects.count())
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            run_later(LEAVE, ("undone", 1))
            raise ZeroDivisionError
        run_later(LEAVE, ("last", 1))

    job = with_handler(monkeypatch, look)

    assert transactor.run(job.id)

    assert (stored(job.id).state, seen[-2:]) == ("succeeded", [1, 2])
    assert [each.key for each in Effect.objects.order_by("id")] == [
        "100%% of 'it'",
        "second",
        "last",
    ]
    assert connection.execute_wrappers == []


def test_run__before_a_savepoint_is_rolled_back__takes_no_plan_of_the_engine_along(
    transactor: Transactor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # W-04: psycopg deallocates every plan when it sees a ROLLBACK TO.
    def roll_back(context: JobContext) -> None:
        run(LEAVE, ("kept", 1))
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            raise ZeroDivisionError
        run(LEAVE, ("kept too", 1))

    jobs = [with_handler(monkeypatch, roll_back) for _ in range(2)]

    assert all(transactor.run(job.id) for job in jobs)

    assert [(stored(job.id).state, stored(job.id).attempts) for job in jobs] == [
        ("succeeded", 1)
    ] * 2
    assert Effect.objects.count() == 4


def test_run_later__outside_of_a_whole_transaction__is_run_at_once(live_db: None) -> None:
    run_later(LEAVE, ("at once", 1))

    assert Effect.objects.get().key == "at once"


def run_commit() -> None:
    """Commit as `settle` does."""
    from jobs.clients.postgres import run_together

    run_together(b"COMMIT")
