"""The waits between the runs of a failing handler, exact for every queue and shape (P11)."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from jobs import registry
from jobs.context import BatchItem, JobContext
from jobs.models import FailedJob, Job, JobAttempt
from jobs.queues import AUDIT, BUILDS, CONTENT, MAINTENANCE, NOTIFICATIONS, QUEUES
from jobs.registry import batch_handler, handler
from jobs.services.enqueue import enqueue
from jobs.states import Shape
from jobs.worker.execute import Executor
from jobs.worker.transactor import Transactor
from tests.drills.payloads import Touch

# As the rows say it (W-02, DESIGN), not as the code does.
WAITS = {
    "flagship:audit": [1, 2, 4, 8, 16],
    "flagship:usage": [1, 2, 4, 8, 16],
    "flagship:notifications": [5, 10, 15],
    "flagship:auto-actions": [1, 2, 4],
    "flagship:maintenance": [],
    "flagship:builds": [1, 5],
    "flagship:content": [60, 300, 900],
    "flagship:billing": [1, 2, 4, 8, 16],
}


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kinds declared in a test are gone after it."""
    for table in ("_handlers", "_names"):
        monkeypatch.setattr(registry, table, dict(getattr(registry, table)))


def kind_on(queue: str, shape: Shape) -> type[Touch]:
    """A new kind whose handler fails its first times, with the policy of its queue."""
    kind: type[Touch] = type("TouchHere", (Touch,), {"KIND": f"tests.{queue[9:]}.{shape}"})

    def fail(payload: Touch, context: JobContext) -> None:
        if context.attempt <= payload.fail_times:
            raise RuntimeError("not yet")

    def fail_together(items: Sequence[BatchItem[Any]]) -> None:
        if any(item.attempt <= item.payload.fail_times for item in items):
            raise RuntimeError("not yet")

    if shape is Shape.BATCH:
        batch_handler(kind, queue=queue, timeout_s=30, size=10)(fail_together)
    else:
        handler(kind, queue=queue, timeout_s=30, shape=shape)(fail)
    return kind


def let_wait_pass(job_id: uuid.UUID) -> None:
    """Move time to the job's next attempt."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE jobs_job SET next_attempt_at = clock_timestamp()"
            " WHERE id = %s AND next_attempt_at IS NOT NULL",
            [job_id],
        )


def run_to_its_end(job: Job, run: Callable[[uuid.UUID], object]) -> list[Any]:
    """Run a job until it has ended; return when it was to run next, after each run but the last."""
    planned: list[Any] = []
    while True:
        let_wait_pass(job.id)
        assert run(job.id)
        job.refresh_from_db()
        if job.finished_at is not None:
            return planned
        assert job.state == "retry_wait"
        planned.append(job.next_attempt_at)


def check(job: Job, waits: list[int], failing: int, planned: list[Any]) -> int:
    """The rows tell the schedule to the microsecond; return how many runs there were."""
    runs = list(JobAttempt.objects.filter(job=job).order_by("number"))
    died = failing > len(waits)
    told = [(run.error_class, run.message) for run in runs if run.outcome == "failed"]
    assert set(told) <= {("RuntimeError", "not yet")}
    assert len(runs) == job.attempts == min(failing, len(waits)) + 1
    assert [run.number for run in runs] == list(range(1, len(runs) + 1))
    assert [run.outcome for run in runs[:-1]] == ["failed"] * (len(runs) - 1)
    assert runs[-1].outcome == ("failed" if died else "succeeded")
    assert job.state == ("dead" if died else "succeeded")
    assert FailedJob.objects.filter(job=job).count() == died
    gaps = [run.retry_at - run.ended_at for run in runs[:-1] if run.retry_at and run.ended_at]
    assert gaps == [timedelta(seconds=wait) for wait in waits[: len(runs) - 1]]
    assert [run.retry_at for run in runs] == [*planned, None]
    return len(runs)


@pytest.mark.parametrize(
    ("shape", "queues", "least"),
    [
        (Shape.STEPWISE, list(QUEUES), 130),
        (Shape.TRANSACTIONAL, [AUDIT, NOTIFICATIONS, MAINTENANCE, BUILDS, CONTENT], 60),
        (Shape.BATCH, [AUDIT, MAINTENANCE], 25),
    ],
)
def test_handler__that_fails_k_times__waits_exactly_as_the_policy_of_its_queue(
    executor: Executor, shape: Shape, queues: list[str], least: int
) -> None:
    # P11, W-02: over 200 runs in all; k from none to one more than the policy allows.
    assert list(WAITS) == list(QUEUES)
    transactor = Transactor(executor)
    run: dict[Shape, Callable[[uuid.UUID], object]] = {
        Shape.STEPWISE: executor.run,
        Shape.TRANSACTIONAL: transactor.run,
        Shape.BATCH: lambda job_id: transactor.run_batch([job_id]),
    }
    total = 0
    for queue in queues:
        kind, waits = kind_on(queue, shape), WAITS[queue]
        for failing in range(len(waits) + 2):
            job = enqueue(kind(key="k", fail_times=failing))
            planned = run_to_its_end(job, run[shape])
            total += check(job, waits, failing, planned)
    assert total >= least
