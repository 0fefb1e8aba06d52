"""Depth, age and times of the queues (W-17)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now

from jobs.models import Job
from jobs.queues import AUDIT, CONTENT, MAINTENANCE, QUEUES
from jobs.selectors import queues as selector
from jobs.selectors.queues import QueueFacts, queue_facts, queue_times
from tests.integration.jobs.rows import STATES, make_job

pytestmark = pytest.mark.django_db


def facts_of(queue: str, **options: Any) -> QueueFacts:
    return next(facts for facts in queue_facts(**options) if facts.queue == queue)


def test_facts__of_jobs_in_every_state__count_each_once() -> None:
    for state in STATES:
        make_job(state)
    make_job("pending", next_attempt_at=Now() + timedelta(hours=1))
    make_job("queued", queue=CONTENT)

    facts = facts_of(MAINTENANCE)

    counts = (facts.waiting, facts.delayed, facts.running, facts.retrying, facts.is_exact)
    assert counts == (2, 1, 1, 1, True)
    assert facts_of(CONTENT).waiting == 1
    assert facts_of(AUDIT) == QueueFacts(AUDIT)
    assert [facts.queue for facts in queue_facts()] == list(QUEUES)


@pytest.mark.parametrize("state", ["pending", "queued", "retry_wait"])
def test_facts__of_a_job_that_could_have_started__tell_its_age(state: str) -> None:
    make_job(state, next_attempt_at=Now() - timedelta(minutes=5))
    make_job(state, next_attempt_at=Now() - timedelta(minutes=1))
    make_job("running")

    assert 300 <= facts_of(MAINTENANCE).oldest_age_s < 400


def test_facts__of_a_job_whose_time_has_not_come__have_no_age() -> None:
    make_job("pending", next_attempt_at=Now() + timedelta(hours=1))

    assert facts_of(MAINTENANCE).oldest_age_s == 0.0


def test_facts__beyond_what_is_counted__are_lower_bounds() -> None:
    for _ in range(5):
        make_job("queued")

    assert facts_of(MAINTENANCE, count_max=3).waiting == 3
    assert not facts_of(MAINTENANCE, count_max=3).is_exact
    assert facts_of(MAINTENANCE, count_max=6).is_exact


def test_facts__of_any_backlog__walk_the_partial_indexes_only() -> None:
    # Nothing reads the table itself: the cost does not grow with the jobs that have ended.
    for _ in range(50):
        make_job("succeeded")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE jobs_job; SET LOCAL enable_seqscan = off")
        asked: dict[str, Any] = {
            "queues": list(QUEUES),
            "most": 10_000,
            "oldest_of": selector.OLDEST_OF,
        }
        cursor.execute(f"EXPLAIN {selector._FACTS}", asked)
        plan = "\n".join(row[0] for row in cursor.fetchall())

    assert "Seq Scan" not in plan
    for index in ("job_due_idx", "job_published_idx", "job_lease_idx"):
        assert index in plan


def test_times__of_runs_in_the_window__are_those_of_first_waits_and_ended_runs() -> None:
    now = datetime.now(UTC)
    for seconds in (1, 2, 3, 4, 5):
        created = now - timedelta(seconds=60)
        started = created + timedelta(seconds=seconds)
        ended = started + timedelta(seconds=2 * seconds)
        make_job("succeeded", None, {"started_at": started, "ended_at": ended}, created_at=created)
    make_job("running")
    long_ago = now - timedelta(hours=2)
    make_job("succeeded", None, {"started_at": long_ago, "ended_at": long_ago})

    times = queue_times(window_s=900)[MAINTENANCE]

    assert times.runs == 6
    assert times.run_p50_s == pytest.approx(6.0)
    assert times.run_p95_s == pytest.approx(9.6)
    assert times.wait_p50_s == pytest.approx(2.5)
    assert queue_times(window_s=3 * 3600)[MAINTENANCE].runs == 7
    assert queue_times()[AUDIT].run_p50_s is None


def test_times__of_a_flood__look_at_the_latest_runs_only(monkeypatch: Any) -> None:
    monkeypatch.setattr(selector, "SAMPLE", 3)
    for _ in range(5):
        make_job("succeeded", queue=CONTENT)

    assert queue_times()[CONTENT].runs == 3
    assert Job.objects.count() == 5
