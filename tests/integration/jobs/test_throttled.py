"""A service that asks to wait is no failure (W-16), and neither is a snooze."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from django.db.models.functions import Now

from jobs import registry
from jobs.context import JobContext
from jobs.errors import Snooze, Throttled
from jobs.models import FailedJob, Job
from jobs.payloads import Payload
from jobs.queues import BILLING
from jobs.registry import handler
from jobs.retry import (
    THROTTLE_DEFAULT_S,
    THROTTLE_MAX_S,
    THROTTLE_MIN_S,
    WAIT_MAX_S,
    RetryPolicy,
    parse_retry_after,
)
from jobs.services.claim import Lease, claim
from jobs.services.dead_letters import requeue
from jobs.services.endings import lost
from jobs.services.enqueue import enqueue
from jobs.services.release import release
from jobs.states import Shape
from jobs.worker.execute import Executor
from tests.drills.models import Effect

Acts = list[Callable[[], Any]]


class Sync(Payload):
    """Ask a remote service."""

    KIND: ClassVar[str] = "drills.sync"


class SyncAtOnce(Payload):
    """The same, in one transaction."""

    KIND: ClassVar[str] = "drills.sync_at_once"


@pytest.fixture
def acts() -> Iterator[Acts]:
    """What the runs of `drills.sync` do, in turn; with the kinds registered while a test lasts."""
    todo: Acts = []

    def sync(payload: Payload, context: JobContext) -> dict[str, Any]:
        Effect.objects.create(key=str(context.attempt), attempt=context.attempt)
        todo.pop(0)()
        return {"attempt": context.attempt}

    once = RetryPolicy((1.0,))
    handler(Sync, queue=BILLING, timeout_s=10.0, retry=once)(sync)
    handler(SyncAtOnce, queue=BILLING, timeout_s=10.0, shape=Shape.TRANSACTIONAL)(sync)
    yield todo
    for kind in (Sync.KIND, SyncAtOnce.KIND):
        del registry._handlers[kind], registry._names[kind]


def throttle(retry_after_s: float | None, service: str = "identity") -> Callable[[], None]:
    def act() -> None:
        raise Throttled(retry_after_s, service)

    return act


def snooze(delay_s: float) -> Callable[[], None]:
    def act() -> None:
        raise Snooze(delay_s, "not my turn")

    return act


def fail() -> None:
    raise RuntimeError("no")


def run(executor: Executor, job: Job) -> Job:
    """Run the job although its wait is not over; return it as it is then."""
    Job.objects.filter(id=job.id).update(next_attempt_at=Now())
    assert executor.run(job.id) is True
    job.refresh_from_db()
    return job


def wait_of(job: Job) -> timedelta:
    """From the end of its last run to when it may run again."""
    last = job.attempt_set.latest("number")
    assert job.next_attempt_at is not None and last.ended_at is not None
    assert last.retry_at == job.next_attempt_at
    return job.next_attempt_at - last.ended_at


def test_throttled_job__waits_as_told_and_spends_nothing(
    executor: Executor, acts: Acts, caplog: pytest.LogCaptureFixture
) -> None:
    # W-16: exact to the microsecond, because one statement writes both times.
    acts.append(throttle(90.0))
    job = enqueue(Sync())

    with caplog.at_level(logging.INFO):
        run(executor, job)

    assert (job.state, job.attempts, job.failures, job.crashes) == ("retry_wait", 1, 0, 0)
    assert wait_of(job) == timedelta(seconds=90)
    attempt = job.attempt_set.get()
    assert (attempt.outcome, attempt.error_class) == ("throttled", "")
    assert attempt.message == "identity asked to wait 90 s"
    lines = [line for line in caplog.messages if line.startswith("job.throttled")]
    assert len(lines) == 1
    for told in (job.id.hex, "drills.sync", "identity", "90 s"):
        assert told in lines[0]


def test_throttled_job__before_its_wait_is_over__is_not_run(executor: Executor, acts: Acts) -> None:
    acts.append(throttle(90.0))
    job = run(executor, enqueue(Sync()))

    assert executor.run(job.id) is False

    job.refresh_from_db()
    assert (job.state, job.attempts) == ("retry_wait", 1)


def test_throttled_job__asked_to_wait_beyond_bounds__waits_within_them(
    executor: Executor, acts: Acts
) -> None:
    # W-16: whatever a service says, it is brought within bounds and costs no retry.
    bounded = {
        0.0: THROTTLE_MIN_S,
        -3.0: THROTTLE_MIN_S,
        3600.0: 3600.0,
        10.0 * 365 * 86400: THROTTLE_MAX_S,
        float("inf"): THROTTLE_MAX_S,
        float("nan"): THROTTLE_DEFAULT_S,
        None: THROTTLE_DEFAULT_S,
        1e300: THROTTLE_MAX_S,
    }
    acts.extend(throttle(asked_s) for asked_s in bounded)
    job = enqueue(Sync())

    waited = [wait_of(run(executor, job)).total_seconds() for _ in bounded]

    assert waited == list(bounded.values())
    assert (job.failures, job.crashes) == (0, 0)
    assert job.attempt_set.get(number=7).message == "identity asked to wait"


def test_throttled_job__time_and_again__keeps_its_whole_retry_budget(
    executor: Executor, acts: Acts
) -> None:
    # W-02: "one retry" is two runs that fail, however many were throttled between them.
    job = enqueue(Sync())
    for _ in range(2):
        acts.extend([throttle(5.0), throttle(5.0), fail])

    while job.state != "dead":
        run(executor, job)

    assert (job.attempts, job.failures, job.crashes) == (6, 2, 0)
    outcomes = list(job.attempt_set.order_by("number").values_list("outcome", flat=True))
    assert outcomes == ["throttled", "throttled", "failed"] * 2
    assert FailedJob.objects.get().attempts == 6


def test_throttled_job__let_through_at_last__succeeds(executor: Executor, acts: Acts) -> None:
    acts.extend([throttle(1.0)] * 3 + [lambda: None])
    job = enqueue(Sync())

    for _ in range(4):
        run(executor, job)

    assert (job.state, job.attempts, job.failures) == ("succeeded", 4, 0)
    assert job.result == {"attempt": 4}


def test_throttled_job__told_a_date__waits_until_then(executor: Executor, acts: Acts) -> None:
    # RFC 9110 10.2.3
    now = datetime(2026, 1, 15, 10, 0, 0, tzinfo=UTC)
    acts.append(throttle(parse_retry_after("Thu, 15 Jan 2026 10:02:30 GMT", now=now)))

    job = run(executor, enqueue(Sync()))

    assert wait_of(job) == timedelta(seconds=150)


def test_throttled_job__of_one_transaction__has_left_nothing(
    executor: Executor, acts: Acts
) -> None:
    acts.extend([throttle(30.0), lambda: None])
    job = run(executor, enqueue(SyncAtOnce()))

    assert (job.state, wait_of(job)) == ("retry_wait", timedelta(seconds=30))
    assert not Effect.objects.exists()
    run(executor, job)
    assert (job.state, job.failures) == ("succeeded", 0)
    assert list(Effect.objects.values_list("attempt", flat=True)) == [2]


def test_throttled_job__asked_to_stop_meanwhile__is_cancelled(
    executor: Executor, acts: Acts
) -> None:
    job = enqueue(Sync())

    def ask_to_stop() -> None:
        Job.objects.filter(id=job.id).update(cancel_requested_at=Now())
        raise Throttled(30.0, "identity")

    acts.append(ask_to_stop)
    run(executor, job)

    assert (job.state, job.next_attempt_at) == ("cancelled", None)


def test_snoozed_job__waits_as_it_asked_and_is_no_throttle(
    executor: Executor, acts: Acts, caplog: pytest.LogCaptureFixture
) -> None:
    acts.extend([snooze(45.0), snooze(0.0), lambda: None])
    job = enqueue(Sync())

    with caplog.at_level(logging.INFO):
        run(executor, job)
        assert (job.state, wait_of(job)) == ("retry_wait", timedelta(seconds=45))
        run(executor, job)
        assert wait_of(job) == timedelta(0)
        run(executor, job)

    assert (job.state, job.attempts, job.failures, job.crashes) == ("succeeded", 3, 0, 0)
    outcomes = list(job.attempt_set.order_by("number").values_list("outcome", "message"))
    assert outcomes[0] == ("snoozed", "not my turn")
    assert not [line for line in caplog.messages if "throttled" in line]


@pytest.mark.parametrize(
    ("asked_s", "waits_s"), [(-0.5, 0.0), (-1e300, 0.0), (1e300, WAIT_MAX_S), (1e12, WAIT_MAX_S)]
)
def test_snoozed_job__for_less_than_nothing_or_for_ever__waits_within_bounds(
    executor: Executor, acts: Acts, asked_s: float, waits_s: float
) -> None:
    # W-16: a time that has passed is no failure, and nothing is parked for longer than a year.
    acts.append(snooze(asked_s))

    job = run(executor, enqueue(Sync()))

    assert (job.state, job.failures, job.crashes) == ("retry_wait", 0, 0)
    assert wait_of(job).total_seconds() == waits_s


@pytest.mark.parametrize("asked_s", [float("nan"), float("inf"), float("-inf")])
def test_snoozed_job__for_what_is_no_number__has_failed_and_says_why(
    executor: Executor, acts: Acts, asked_s: float
) -> None:
    # W-16: a slip of the handler, shown with the line it stands in.
    acts.append(snooze(asked_s))

    job = run(executor, enqueue(Sync()))

    assert (job.state, job.failures, job.crashes) == ("retry_wait", 1, 0)
    attempt = job.attempt_set.get()
    assert (attempt.outcome, attempt.error_class) == ("failed", "ValueError")
    assert attempt.message == f"a snooze lasts a number of seconds, not {asked_s}"
    assert "raise Snooze(" in attempt.traceback


LONG_S = 0.3


@pytest.fixture
def impatient(settings: Any) -> None:
    """A job may be throttled for LONG_S seconds."""
    settings.JOB_THROTTLED_MAX_S = LONG_S


@pytest.mark.parametrize("payload", [Sync(), SyncAtOnce()])
def test_throttled_job__for_too_long__is_a_dead_letter_that_has_spent_no_retry(
    executor: Executor,
    acts: Acts,
    impatient: None,
    caplog: pytest.LogCaptureFixture,
    payload: Payload,
) -> None:
    # W-16, W-06: every job ends.
    acts.extend([throttle(1.0)] * 3)
    job = run(executor, enqueue(payload))
    assert job.state == "retry_wait"
    time.sleep(LONG_S)

    run(executor, job)

    assert (job.state, job.attempts, job.failures, job.crashes) == ("dead", 2, 0, 0)
    assert [each.outcome for each in job.attempt_set.all()] == ["throttled"] * 2
    letter = FailedJob.objects.get()
    assert letter.error_class == "ThrottledTooLong"
    assert letter.message.startswith("identity asked to wait 1 s, as others since 20")
    told = [line for line in caplog.messages if line.startswith("job.throttled")]
    assert told[-1].endswith("now dead")

    # An operator's requeue begins anew.
    requeue(failed_job_id=letter.id, actor="ann")
    assert run(executor, job).state == "retry_wait"


@pytest.mark.parametrize("between", [snooze(0.0), fail])
def test_throttled_job__that_got_through_in_between__is_counted_anew(
    executor: Executor, acts: Acts, impatient: None, between: Callable[[], None]
) -> None:
    # W-16
    acts.extend([throttle(1.0), between, throttle(1.0)])
    job = run(executor, enqueue(Sync()))
    time.sleep(LONG_S)

    for _ in range(2):
        run(executor, job)

    assert (job.state, job.attempts) == ("retry_wait", 3)


def test_throttled_job__that_lost_its_worker_in_between__is_not_counted_anew(
    executor: Executor, acts: Acts, impatient: None
) -> None:
    # W-16
    acts.extend([throttle(1.0)] * 2)
    job = run(executor, enqueue(Sync()))
    Job.objects.filter(id=job.id).update(next_attempt_at=Now())
    held = claim(job_id=job.id, worker="gone", lease_s=15.0)
    assert held is not None
    assert release(lease=Lease(job.id, held.token), ending=lost("gone")) == "pending"
    time.sleep(LONG_S)

    assert run(executor, job).state == "dead"


def test_throttled_job__where_no_end_is_set__is_never_dead(
    executor: Executor, acts: Acts, settings: Any
) -> None:
    # W-16
    settings.JOB_THROTTLED_MAX_S = 0.0
    acts.extend([throttle(1.0)] * 3)
    job = enqueue(Sync())

    for _ in range(3):
        assert run(executor, job).state == "retry_wait"


def test_failed_job__is_no_throttle(
    executor: Executor, acts: Acts, caplog: pytest.LogCaptureFixture
) -> None:
    acts.append(fail)

    with caplog.at_level(logging.INFO):
        job = run(executor, enqueue(Sync()))

    assert (job.state, job.failures) == ("retry_wait", 1)
    assert wait_of(job) == timedelta(seconds=1)
    assert not [line for line in caplog.messages if "throttled" in line]
