"""What each queue ran lately, counted or estimated (W-17)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now

from jobs.models import Job, JobAttempt
from jobs.queues import AUDIT, CONTENT, QUEUES
from jobs.selectors import activity as selector
from jobs.selectors.activity import Activity, queue_activity
from tests.integration.jobs.rows import make_job

pytestmark = pytest.mark.django_db


def ran(queue: str, outcome: str = "succeeded", *, minutes_ago: float = 1.0) -> Job:
    """A job of a queue whose only run began so long ago."""
    run = {"started_at": Now() - timedelta(minutes=minutes_ago), "ended_at": Now()}
    return make_job("succeeded", queue=queue, run={**run, "outcome": outcome})


def make_runs(runs: int, *, failed_each: int, over_s: float) -> None:
    """Many runs of one job, the oldest first, every so-manieth of them failed."""
    job = make_job("pending", queue=AUDIT)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO jobs_jobattempt
                (job_id, number, token, worker, outcome, started_at, ended_at, error_class,
                 message, traceback)
            SELECT %(job)s, n, n, 'w',
                CASE WHEN n %% %(each)s = 0 THEN 'failed' ELSE 'succeeded' END,
                started_at, started_at, '', '', ''
            FROM (SELECT n, clock_timestamp() - make_interval(
                    secs => %(over_s)s * (%(runs)s - n) / %(runs)s) AS started_at
                FROM generate_series(1, %(runs)s) AS n) AS run
            ORDER BY n
            """,
            {"job": job.id, "runs": runs, "each": failed_each, "over_s": over_s},
        )


def test_activity__of_nothing__is_nothing_of_every_queue() -> None:
    found = queue_activity(bars=4)

    assert list(found) == list(QUEUES)
    assert found[AUDIT] == Activity([0] * 4, [0] * 4)


def test_activity__of_runs__is_told_by_queue_and_time() -> None:
    ran(AUDIT, minutes_ago=55)
    ran(CONTENT, minutes_ago=20)
    ran(CONTENT, "failed", minutes_ago=20)
    ran(CONTENT, "lost", minutes_ago=2)

    found = queue_activity(window_s=3600, bars=4)

    assert found[AUDIT] == Activity([1, 0, 0, 0], [0, 0, 0, 0])
    assert found[CONTENT] == Activity([0, 0, 2, 1], [0, 0, 1, 1])


def test_activity__of_runs_before_the_window__is_not_told() -> None:
    for minutes_ago in (300, 200, 61, 59, 1):
        ran(AUDIT, minutes_ago=minutes_ago)

    assert sum(queue_activity(window_s=3600)[AUDIT].runs) == 2
    assert sum(queue_activity(window_s=10)[AUDIT].runs) == 0


def test_activity__with_holes_in_the_ids__is_found_all_the_same() -> None:
    jobs = [ran(AUDIT, minutes_ago=90 - number) for number in range(60)]
    JobAttempt.objects.filter(job__in=jobs[10:25]).delete()
    JobAttempt.objects.filter(job__in=jobs[40:55]).delete()

    # Begun less than an hour ago: those from the 31st on, of which 15 are gone.
    assert sum(queue_activity(window_s=3600)[AUDIT].runs) == 29 - 15


def test_activity__of_more_than_is_looked_at__is_estimated(monkeypatch: Any) -> None:
    # What is looked at stays the same; each run that is picked stands for many.
    monkeypatch.setattr(selector, "SAMPLE", 500)
    make_runs(20_000, failed_each=5, over_s=7200)

    found = queue_activity(window_s=3600, bars=6)[AUDIT]

    assert not found.is_exact
    assert sum(found.runs) == pytest.approx(10_000, rel=0.05)
    assert all(runs == pytest.approx(10_000 / 6, rel=0.1) for runs in found.runs)
