"""Death, and the operator's two answers (D-01 to D-04)."""

from __future__ import annotations

import json

import pytest
from django.db import connection

from jobs import signals
from jobs.errors import (
    DeadLetterNotFound,
    DeadLetterNotOpen,
    InvalidPayload,
    ReasonRequired,
)
from jobs.models import FailedJob, Job
from jobs.services.dead_letters import discard, requeue
from jobs.services.enqueue import enqueue
from jobs.worker.execute import Executor
from tests.drills.handlers import NotAgain
from tests.drills.models import Effect
from tests.drills.payloads import Mortal, Touch


def die(executor: Executor, **payload: object) -> FailedJob:
    """Run a mortal job to its death."""
    job = enqueue(Mortal(**payload))  # type: ignore[arg-type]
    assert executor.run(job.id)
    return FailedJob.objects.get(job=job)


def effects() -> list[str]:
    """Keys of the effects, in the order they were stored."""
    return list(Effect.objects.order_by("id").values_list("key", flat=True))


def test_death__of_a_job__runs_on_dead_in_its_transaction(executor: Executor) -> None:
    # W-06, D-01
    letter = die(executor, key="a")

    assert effects() == ["a:on_dead"]
    assert (letter.state, letter.error_class, letter.message) == (
        "open",
        "RuntimeError",
        "as it must",
    )
    assert "in mortal" in letter.traceback
    assert Job.objects.get().state == "dead"


def test_on_dead__that_raises__is_owed_by_a_job_and_paid_once(executor: Executor) -> None:
    # The death is stored without it; nothing it wrote before it raised is.
    letter = die(executor, key="b", on_dead_fails=1)

    assert effects() == []
    assert letter.state == "open"
    owed = Job.objects.get(kind="jobs.run_on_dead")
    assert executor.run(owed.id)
    assert effects() == ["b:on_dead"]
    owed.refresh_from_db()
    assert owed.state == "succeeded"
    assert executor.run(owed.id) is False


def test_on_dead__owed_to_a_job_that_lives_again__is_dropped(executor: Executor) -> None:
    letter = die(executor, key="c", on_dead_fails=1, lives_from_attempt=2)
    owed = Job.objects.get(kind="jobs.run_on_dead")
    requeue(failed_job_id=letter.id, actor="op")

    executor.run(owed.id)

    assert effects() == ["c:on_requeue"]
    owed.refresh_from_db()
    assert owed.state == "succeeded"


def test_receiver_of_buried__that_raises__keeps_the_death_from_half_happening(
    executor: Executor,
) -> None:
    def refuse(**_: object) -> None:
        raise RuntimeError("audit is full")

    signals.buried.connect(refuse)
    try:
        job = enqueue(Mortal(key="d"))
        executor.run(job.id)
    finally:
        signals.buried.disconnect(refuse)

    job.refresh_from_db()
    assert job.state == "running"
    assert not FailedJob.objects.exists()
    assert effects() == []


def test_requeue__of_a_dead_letter__runs_it_with_a_new_budget_and_its_history(
    executor: Executor,
) -> None:
    # D-03
    letter = die(executor, key="e", lives_from_attempt=2)

    job = requeue(failed_job_id=letter.id, actor="user:ada")

    assert (job.state, job.failures, job.crashes, job.attempts) == ("pending", 0, 0, 1)
    assert executor.run(job.id)
    job.refresh_from_db()
    letter.refresh_from_db()
    assert (job.state, job.attempts) == ("succeeded", 2)
    assert [run.outcome for run in job.attempt_set.all()] == ["failed", "succeeded"]
    assert (letter.state, letter.resolved_by) == ("requeued", "user:ada")
    assert letter.resolved_at is not None


def test_requeued_job__that_dies_again__leaves_a_second_letter(executor: Executor) -> None:
    first = die(executor, key="f")
    job = requeue(failed_job_id=first.id, actor="op")
    executor.run(job.id)

    letters = list(FailedJob.objects.order_by("id").values_list("state", "attempts"))
    assert letters == [("requeued", 1), ("open", 2)]


def test_requeue__of_a_payload_that_no_longer_fits__is_refused_with_the_field(
    executor: Executor,
) -> None:
    letter = die(executor, key="g")
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE jobs_failedjob SET payload = %s::jsonb", [json.dumps({"key": "g", "old": 1})]
        )

    with pytest.raises(InvalidPayload) as refused:
        requeue(failed_job_id=letter.id, actor="op")

    assert refused.value.data["field"] == "old"
    letter.refresh_from_db()
    assert (letter.state, Job.objects.get().state) == ("open", "dead")


def test_requeue__that_the_kind_refuses__changes_nothing(executor: Executor) -> None:
    letter = die(executor, key="h", refuse_requeue=True)

    with pytest.raises(NotAgain):
        requeue(failed_job_id=letter.id, actor="op")

    letter.refresh_from_db()
    assert (letter.state, Job.objects.get().state) == ("open", "dead")
    assert effects() == ["h:on_dead"]


def test_discard__of_a_dead_letter__needs_a_reason_and_is_final(executor: Executor) -> None:
    # D-04
    letter = die(executor, key="i")

    with pytest.raises(ReasonRequired):
        discard(failed_job_id=letter.id, actor="op", reason="  ")
    letter.refresh_from_db()
    assert letter.state == "open"

    discarded = discard(failed_job_id=letter.id, actor="op", reason="known outage")
    assert (discarded.state, discarded.reason) == ("discarded", "known outage")
    with pytest.raises(DeadLetterNotOpen) as refused:
        requeue(failed_job_id=letter.id, actor="op")
    assert refused.value.data == {"state": "discarded"}
    with pytest.raises(DeadLetterNotFound):
        discard(failed_job_id=letter.id + 1, actor="op", reason="x")
    assert Job.objects.get().state == "dead"


@pytest.mark.parametrize(
    ("change", "error_class"),
    [("kind = 'drills.gone'", "UnknownKind"), ("payload = '{}'::jsonb", "InvalidPayload")],
)
def test_run__of_what_today_cannot_read__is_buried_without_spending_retries(
    executor: Executor, change: str, error_class: str
) -> None:
    # W-03
    job = enqueue(Touch(key="k"))
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE jobs_job SET {change}")

    executor.run(job.id)

    job.refresh_from_db()
    letter = FailedJob.objects.get()
    assert (job.state, job.attempts, job.failures) == ("dead", 1, 0)
    assert letter.error_class == error_class
    assert effects() == []
