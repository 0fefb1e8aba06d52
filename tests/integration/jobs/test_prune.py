"""What is deleted when it has ended long ago, and what never is (D-04, issue 3 proof 6)."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from jobs.ids import new_id
from jobs.models import FailedJob, Job, JobAttempt
from jobs.payloads import PruneJobs, RunOnDead
from jobs.registry import get_handler, scheduled
from jobs.services import prune as prune_module
from jobs.services.prune import Pruned, first_id, prune_jobs, referrers

pytestmark = pytest.mark.django_db

MONTH = timedelta(days=30)

_INSERT = """
INSERT INTO jobs_job (id, kind, version, queue, payload, state, attempts, failures, crashes, losses,
    backoff_s, timeout_s, next_attempt_at, delivery_no, published_at, lease_token, lease_owner,
    lease_until, request_id, correlation_id, created_at, started_at, finished_at)
SELECT id, 'jobs.probe', 1, 'flagship:maintenance', '{}', %(state)s, %(runs)s, 0, 0, 0, '{}', 60,
    CASE WHEN %(state)s IN ('pending', 'queued', 'retry_wait') THEN ended END, 1,
    CASE WHEN %(state)s = 'queued' THEN ended END, %(runs)s,
    CASE WHEN %(state)s = 'running' THEN 'w' ELSE '' END,
    CASE WHEN %(state)s = 'running' THEN ended END, '', '', made, ended,
    CASE WHEN %(state)s IN ('succeeded', 'dead', 'cancelled') THEN ended END
FROM (SELECT %(id)s::uuid AS id, clock_timestamp() - %(made)s AS made,
    clock_timestamp() - %(ended)s AS ended) AS moments
"""
_ATTEMPTS = """
INSERT INTO jobs_jobattempt (job_id, number, token, worker, outcome, started_at, ended_at,
    error_class, message, traceback)
SELECT %s, number, number, 'w', 'failed', now(), now(), '', '', ''
FROM generate_series(1, %s) AS number
"""


def make(state: str = "succeeded", days: float = 31, *, made_days: float = 0, runs: int = 2) -> Any:
    """A job that ended so many days ago, made then or longer ago, with its attempts."""
    made: Any = timedelta(days=max(made_days, days))
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp() - %s", [made])
        (moment,) = cursor.fetchone()
        job_id = type(new_id())(int=first_id(moment).int | (new_id().int & (1 << 80) - 1))
        ended: Any = timedelta(days=days)
        values = {"id": job_id, "state": state, "made": made, "ended": ended, "runs": runs}
        cursor.execute(_INSERT, values)
        cursor.execute(_ATTEMPTS, [job_id, runs])
    return job_id


def bury(job_id: Any, *, resolved_days: float | None = None, **columns: Any) -> FailedJob:
    """A dead letter of a job, open or answered so many days ago."""
    usual: dict[str, Any] = {
        "job_id": job_id,
        "kind": "jobs.probe",
        "queue": "flagship:maintenance",
        "error_class": "E",
        "attempts": 1,
        "payload": {},
        "died_at": "2026-01-01T00:00:00Z",
    }
    letter = FailedJob.objects.create(**usual | columns)
    return letter if resolved_days is None else answer(letter, resolved_days)


def answer(letter: FailedJob, days: float) -> FailedJob:
    """Discard a letter so many days ago."""
    ago: Any = timedelta(days=days)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE jobs_failedjob SET state = 'discarded', resolved_by = 'x', reason = 'x',"
            " resolved_at = clock_timestamp() - %s WHERE id = %s",
            [ago, letter.id],
        )
    return letter


def pruned(**options: Any) -> Pruned:
    """Prune; return the sum of the batches."""
    return sum(prune_jobs(older_than=MONTH, **options), Pruned())


def left() -> set[Any]:
    """The jobs that are still there."""
    return set(Job.objects.values_list("id", flat=True))


@pytest.mark.parametrize("state", ["succeeded", "cancelled"])
def test_prune__of_a_job_that_ended_long_ago__takes_its_attempts_with_it(state: str) -> None:
    make(state)
    young = make(state, days=29)

    assert pruned() == Pruned(jobs=1, attempts=2, letters=0)
    assert left() == {young}
    assert JobAttempt.objects.count() == 2


@pytest.mark.parametrize("state", ["pending", "queued", "retry_wait", "running"])
def test_prune__of_a_job_that_has_not_ended__never_happens(state: str) -> None:
    old = make(state, days=400)

    assert pruned() == Pruned()
    assert left() == {old}


def test_prune__counts_from_the_end__not_from_the_beginning() -> None:
    slow = make(days=2, made_days=90)

    assert pruned() == Pruned()
    assert left() == {slow}


def test_prune__of_a_dead_job__waits_for_the_answer_and_then_as_long_again() -> None:
    opened, lately, longago = make("dead"), make("dead"), make("dead")
    bury(opened)
    bury(lately, resolved_days=29)
    bury(longago, resolved_days=31)

    assert pruned() == Pruned(jobs=1, attempts=2, letters=1)
    assert left() == {opened, lately}
    assert FailedJob.objects.count() == 2


def test_prune__of_a_job_that_lived_again__takes_its_answered_letters() -> None:
    lived = make("succeeded")
    bury(lived, resolved_days=40)

    assert pruned() == Pruned(jobs=1, attempts=2, letters=1)


def test_prune__of_a_dead_job_whose_on_dead_is_owed__waits_for_it() -> None:
    dead = make("dead")
    bury(dead, resolved_days=31)
    owing = make("dead", days=31)
    owed = RunOnDead(job_id=dead.hex, error_class="E", message="", attempts=1)
    letter = bury(owing, kind=RunOnDead.KIND, payload=owed.to_json())

    assert pruned() == Pruned()
    answer(letter, 31)
    assert pruned().jobs == 2


def test_prune__dry__counts_the_same_and_deletes_nothing() -> None:
    old = {make() for _ in range(5)}
    dead = make("dead")
    bury(dead, resolved_days=31)

    assert pruned(dry_run=True) == Pruned(jobs=6, attempts=12, letters=1)
    assert left() == old | {dead}
    assert pruned(dry_run=True, batch=2) == pruned(batch=2) == Pruned(6, 12, 1)
    assert left() == set()


def test_prune__in_batches__passes_over_what_stays() -> None:
    stays = set()
    for number in range(20):
        job = make("dead" if number % 3 else "succeeded", days=31 + number)
        if number % 3:
            bury(job)
            stays.add(job)

    counts = [each.jobs for each in prune_jobs(older_than=MONTH, batch=3)]

    assert counts == [3, 3, 1]
    assert left() == stays


def test_prune__under_a_foreign_key_of_another_table__leaves_the_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = make()
    make()
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE holder (job uuid)")
        cursor.execute("INSERT INTO holder VALUES (%s), (NULL)", [held])
    monkeypatch.setattr(prune_module, "referrers", lambda: [('"holder"', '"job"')])

    assert pruned().jobs == 1
    assert left() == {held}


def test_prune__knows_every_foreign_key_to_a_job() -> None:
    # A key that only the database knows would make every batch fail that meets it.
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conrelid::regclass::text FROM pg_constraint"
            " WHERE contype = 'f' AND confrelid = 'jobs_job'::regclass"
        )
        tables = {row[0] for row in cursor.fetchall()}

    known = {table.strip('"') for table, _ in referrers()}
    assert tables == known | {"jobs_jobattempt", "jobs_failedjob"}


def test_prune_command__says_what_it_did() -> None:
    make(days=3)
    make(days=40)

    def say(*arguments: str) -> str:
        out = io.StringIO()
        call_command("prune_jobs", *arguments, stdout=out)
        return out.getvalue()

    assert say("--dry-run") == "1 jobs, 2 attempts, 0 dead letters would be deleted\n"
    assert say() == "1 jobs, 2 attempts, 0 dead letters deleted\n"
    assert say("--days", "2") == "1 jobs, 2 attempts, 0 dead letters deleted\n"


def test_prune_job__each_hour__prunes_by_the_setting_and_ends_in_time(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.JOB_RETENTION_DAYS = 2.0
    make(days=3)
    (declared,) = [each for each in scheduled() if each.name == "jobs.prune"]
    assert declared.payload == PruneJobs()
    handler = get_handler(PruneJobs.KIND)

    class Context:
        left_s = 1000.0

        def check(self) -> None:
            return None

        def remaining_s(self) -> float:
            return self.left_s

    result = handler.function(PruneJobs(), Context())
    assert result == {"jobs": 1, "attempts": 2, "letters": 0}
    monkeypatch.setattr(Context, "left_s", 1.0)
    monkeypatch.setattr(prune_module, "BATCH", 2)
    for _ in range(5):
        make(days=3)
    result = handler.function(PruneJobs(), Context())
    assert result == {"jobs": 2, "attempts": 4, "letters": 0}
