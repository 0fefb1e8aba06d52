"""When a failed job runs again, and when it does not (W-02, W-06, P11)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection

from jobs.models import FailedJob, Job
from jobs.payloads import Probe
from jobs.queues import QUEUES
from jobs.services.cancel import cancel_job
from jobs.services.claim import Claimed, Lease, claim
from jobs.services.endings import Ending, failed, handed_back, lost, snoozed
from jobs.services.enqueue import enqueue
from jobs.services.release import release
from jobs.states import JobState
from tests.drills.payloads import Touch

pytestmark = pytest.mark.django_db


def take(job: Job) -> Claimed:
    """Claim a job at once, its wait being over."""
    waiting = "state IN ('pending', 'queued', 'retry_wait')"
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE jobs_job SET next_attempt_at = clock_timestamp() WHERE id = %s AND {waiting}",
            [job.id],
        )
    claimed = claim(job_id=job.id, worker="w", lease_s=15)
    assert claimed is not None
    return claimed


def lease_of(claimed: Claimed) -> Lease:
    """The right to write of one run."""
    return Lease(claimed.job_id, claimed.token)


@pytest.mark.parametrize("queue", QUEUES.values(), ids=list(QUEUES))
def test_failures__by_the_policy_of_each_queue__wait_exactly_and_end_in_a_dead_letter(
    queue: object,
) -> None:
    # W-02, W-06: the waits are equal to the microsecond, because one statement with one reading
    # of the database's clock writes both times.
    policy = queue.retry  # type: ignore[attr-defined]
    job = enqueue(Probe())
    Job.objects.filter(id=job.id).update(backoff_s=list(policy.backoff_s))

    for number, wait_s in enumerate(policy.backoff_s, start=1):
        claimed = take(job)
        assert release(lease=lease_of(claimed), ending=failed(RuntimeError("no"))) == "retry_wait"
        job.refresh_from_db()
        attempt = job.attempt_set.get(number=number)
        assert job.next_attempt_at is not None and attempt.ended_at is not None
        assert job.next_attempt_at - attempt.ended_at == timedelta(seconds=wait_s)
        assert attempt.retry_at == job.next_attempt_at
        assert not FailedJob.objects.exists()
    last = take(job)

    assert release(lease=lease_of(last), ending=failed(RuntimeError("no"))) == "dead"
    job.refresh_from_db()
    letter = FailedJob.objects.get()
    assert job.attempts == job.failures == policy.max_attempts == letter.attempts
    assert letter.died_at == job.finished_at == job.attempt_set.get(number=job.attempts).ended_at


@pytest.mark.parametrize("failures", range(8))
def test_usage_job__that_fails_k_times__succeeds_within_six_runs_or_dies(failures: int) -> None:
    # W-02: "5 retries" are 6 runs at most
    job = enqueue(Touch(key="k"))
    state = JobState.PENDING
    for _ in range(failures):
        if state == JobState.DEAD:
            break
        state = release(lease=lease_of(take(job)), ending=failed(RuntimeError("no")))

    assert state == (
        JobState.DEAD if failures >= 6 else JobState.RETRY_WAIT if failures else JobState.PENDING
    )
    job.refresh_from_db()
    assert job.attempts == min(failures, 6)
    assert job.attempt_set.count() == job.attempts


def test_claim__before_the_wait_is_over__gets_nothing() -> None:
    job = enqueue(Touch(key="k"))
    release(lease=lease_of(take(job)), ending=failed(RuntimeError("no")))

    assert claim(job_id=job.id, worker="w", lease_s=15) is None
    job.refresh_from_db()
    assert (job.state, job.attempts) == ("retry_wait", 1)


def test_lost_runs__three_of_them__kill_the_job_and_spend_no_retry() -> None:
    # W-06, P12
    job = enqueue(Touch(key="k"))
    states = [
        release(lease=lease_of(take(job)), ending=lost("gone", expired_only=False))
        for _ in range(3)
    ]

    assert states == ["pending", "pending", "dead"]
    job.refresh_from_db()
    assert (job.attempts, job.failures, job.crashes) == (3, 0, 3)
    assert [run.outcome for run in job.attempt_set.all()] == ["lost"] * 3
    assert FailedJob.objects.get().error_class == "WorkerLost"


@pytest.mark.parametrize(
    "ending", [failed(RuntimeError("no")), failed(RuntimeError("no"), permanent=True), lost("gone")]
)
def test_run__that_a_cancel_has_overtaken__is_cancelled_and_no_failure(ending: Ending) -> None:
    # W-05, W-15: a job's failures are its attempts that failed.
    job = enqueue(Touch(key="k"))
    release(lease=lease_of(take(job)), ending=failed(RuntimeError("before")))
    held = take(job)
    cancel_job(job_id=job.id)

    assert release(lease=lease_of(held), ending=ending) == "cancelled"

    job.refresh_from_db()
    assert (job.attempts, job.failures, job.crashes) == (2, 1, 0)
    assert [run.outcome for run in job.attempt_set.all()] == ["failed", "cancelled"]


def test_snooze_and_hand_back__of_a_run__cost_nothing() -> None:
    # W-14, W-16
    job = enqueue(Touch(key="k"))

    assert release(lease=lease_of(take(job)), ending=snoozed(90.0, "busy")) == "retry_wait"
    job.refresh_from_db()
    run = job.attempt_set.get(number=1)
    assert job.next_attempt_at is not None and run.ended_at is not None
    assert job.next_attempt_at - run.ended_at == timedelta(seconds=90)
    assert release(lease=lease_of(take(job)), ending=handed_back()) == "pending"

    job.refresh_from_db()
    assert (job.attempts, job.failures, job.crashes) == (2, 0, 0)
    assert [run.outcome for run in job.attempt_set.all()] == ["snoozed", "handed_back"]


def test_permanent_error__on_the_first_run__is_a_dead_letter_at_once() -> None:
    # W-06
    job = enqueue(Touch(key="k"))

    state = release(lease=lease_of(take(job)), ending=failed(RuntimeError("never"), permanent=True))

    assert state == "dead"
    letter = FailedJob.objects.get()
    assert (letter.kind, letter.error_class, letter.message) == (
        "drills.touch",
        "RuntimeError",
        "never",
    )
    assert letter.payload == {"key": "k", "sleep_s": 0.0, "fail_times": 0}


def test_death__of_the_same_cause__shares_a_fingerprint() -> None:
    # D-01
    def die(error: Exception) -> str:
        job = enqueue(Touch(key="k"))
        release(lease=lease_of(take(job)), ending=failed(error, permanent=True))
        return FailedJob.objects.get(job=job).fingerprint

    assert die(RuntimeError("1")) == die(RuntimeError("2")) != die(ValueError("1"))


def test_error_text__that_postgresql_cannot_hold__is_stored_readable() -> None:
    job = enqueue(Touch(key="k"))

    release(
        lease=lease_of(take(job)),
        ending=failed(RuntimeError("nul \x00 and \ud800 half"), permanent=True),
    )

    assert FailedJob.objects.get().message == "nul \\x00 and \\ud800 half"
