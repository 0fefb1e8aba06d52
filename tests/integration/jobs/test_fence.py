"""Who may write the end of a run (P09)."""

from __future__ import annotations

import pytest
from django.db import connection, transaction

from jobs.errors import LeaseLost
from jobs.models import FailedJob, Job
from jobs.services.claim import Lease, claim
from jobs.services.complete import complete, hold, store_progress
from jobs.services.endings import failed, lost
from jobs.services.enqueue import enqueue
from jobs.services.release import release
from jobs.services.rescue import rescue_expired
from tests.drills.models import Effect
from tests.drills.payloads import Touch

pytestmark = pytest.mark.django_db


@pytest.fixture
def lapsed() -> tuple[Job, Lease]:
    """A running job whose lease is over."""
    job = enqueue(Touch(key="k"))
    claimed = claim(job_id=job.id, worker="slow", lease_s=-1)
    assert claimed is not None
    return job, Lease(job.id, claimed.token)


@pytest.mark.parametrize("state", ["pending", "running"])
def test_late_writer__after_a_rescue__is_refused_with_all_its_effects(
    lapsed: tuple[Job, Lease], state: str
) -> None:
    # W-04, P09: also while the next run is under way, whose row looks just like its own.
    job, stale = lapsed
    assert rescue_expired() == 1
    if state == "running":
        assert claim(job_id=job.id, worker="next", lease_s=15) is not None

    with pytest.raises(LeaseLost), transaction.atomic():
        Effect.objects.create(key="stale", attempt=1)
        complete(lease=stale, result={})
    for write in (
        lambda: hold(lease=stale),
        lambda: store_progress(lease=stale, report={"step": 1}),
        lambda: release(lease=stale, ending=failed(RuntimeError("late"))),
    ):
        with pytest.raises(LeaseLost), transaction.atomic():
            write()

    job.refresh_from_db()
    assert (job.state, job.crashes, job.failures, job.progress) == (state, 1, 0, None)
    assert not Effect.objects.exists()
    assert job.attempt_set.get(number=1).outcome == "lost"
    assert not job.attempt_set.exclude(outcome__in=["lost", "running"]).exists()


def test_late_writer__whose_lease_nobody_took__may_still_complete(
    lapsed: tuple[Job, Lease],
) -> None:
    job, lease = lapsed

    complete(lease=lease, result={"late": True})

    job.refresh_from_db()
    assert (job.state, job.result) == ("succeeded", {"late": True})
    assert rescue_expired() == 0


def test_rescue__of_a_lease_renewed_meanwhile__leaves_the_run_alone(
    lapsed: tuple[Job, Lease],
) -> None:
    job, lease = lapsed
    with connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_job SET lease_until = clock_timestamp() + interval '1 minute'")

    with pytest.raises(LeaseLost):
        release(lease=lease, ending=lost("gone", expired_only=True))

    job.refresh_from_db()
    assert (job.state, job.crashes) == ("running", 0)


def test_claim__of_a_held_or_finished_job__gets_nothing() -> None:
    job = enqueue(Touch(key="k"))
    first = claim(job_id=job.id, worker="a", lease_s=15)
    assert first is not None

    assert claim(job_id=job.id, worker="b", lease_s=15) is None
    complete(lease=Lease(job.id, first.token), result=None)
    assert claim(job_id=job.id, worker="b", lease_s=15) is None

    job.refresh_from_db()
    assert (job.attempts, job.attempt_set.count()) == (1, 1)
    assert not FailedJob.objects.exists()
