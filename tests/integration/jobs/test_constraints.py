"""What the database refuses to store about jobs, by raw SQL, as owner and as application role."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from jobs.models import Job
from jobs.services.claim import Lease, claim
from jobs.services.endings import failed
from jobs.services.enqueue import enqueue
from jobs.services.release import release
from tests.drills.payloads import Mortal

ATTACKS = {
    "job_state_known": "UPDATE jobs_job SET state = 'lost', next_attempt_at = NULL",
    "job_next_attempt_at_while_waiting": "UPDATE jobs_job SET next_attempt_at = NULL",
    "job_published_at_in_queued": "UPDATE jobs_job SET state = 'queued'",
    "job_lease_while_running": "UPDATE jobs_job SET lease_until = now()",
    "job_lease_owner_while_running": "UPDATE jobs_job SET lease_owner = 'me'",
    "job_finished_at_in_final_states": "UPDATE jobs_job SET finished_at = now()",
    "job_timeout_positive": "UPDATE jobs_job SET timeout_s = 0",
    "job_result_only_of_succeeded": "UPDATE jobs_job SET result = '{}'",
    "job_cancel_requested_only_of_running": "UPDATE jobs_job SET cancel_requested_at = now()",
    "job_failures_within_attempts": "UPDATE jobs_job SET failures = 2, backoff_s = '{1,1,1}'",
    "job_started_at_after_first_run": "UPDATE jobs_job SET attempts = 1, lease_token = 1",
    "job_fence_grows_with_attempts": "UPDATE jobs_job SET attempts = 9, started_at = now()",
    "job_failures_within_budget": "UPDATE jobs_job SET failures = 2, attempts = 2, lease_token = 2,"
    " started_at = now(), backoff_s = '{}'",
    "job_counts_not_negative": "UPDATE jobs_job SET failures = -1",
    "job_fence_only_grows": "UPDATE jobs_job SET state = 'running', lease_until = now(),"
    " lease_owner = 'me', next_attempt_at = NULL",
    "job_move_legal": "UPDATE jobs_job SET state = 'dead', finished_at = now(),"
    " next_attempt_at = NULL",
    "schedule_every_s_or_cron": "INSERT INTO jobs_schedule (name, kind, payload, cron, timezone,"
    " enabled, next_run_at) VALUES ('a', 'b', '{}', '', 'UTC', true, now())",
    "failed_job_discard_has_reason": "UPDATE jobs_failedjob SET state = 'discarded',"
    " resolved_at = now(), resolved_by = 'me'",
    "failed_job_resolved_when_not_open": "UPDATE jobs_failedjob SET state = 'requeued'",
    "failed_job_edited_when_requeued": "UPDATE jobs_failedjob SET edited_payload = '{}'",
    "failed_job_state_known": "UPDATE jobs_failedjob SET state = 'gone', resolved_at = now(),"
    " resolved_by = 'me'",
    "failed_job_one_open_per_job": "INSERT INTO jobs_failedjob (job_id, kind, queue, state,"
    " error_class, message, traceback, fingerprint, attempts, payload, request_id, correlation_id,"
    " died_at, resolved_by, reason) SELECT job_id, kind, queue, state, error_class, message,"
    " traceback, fingerprint, attempts, payload, request_id, correlation_id, died_at, resolved_by,"
    " reason FROM jobs_failedjob",
    "job_attempt_closed_once": "UPDATE jobs_jobattempt SET message = 'never mind'",
    "job_attempt_counts_from_one": "INSERT INTO jobs_jobattempt (job_id, number, token, worker,"
    " outcome, started_at, error_class, message, traceback) SELECT job_id, 0, 99, worker,"
    " 'running', started_at, '', '', '' FROM jobs_jobattempt",
    "job_attempt_ended_at_when_closed": "INSERT INTO jobs_jobattempt (job_id, number, token,"
    " worker, outcome, started_at, error_class, message, traceback) SELECT job_id, 2, 99, worker,"
    " 'lost', started_at, '', '', '' FROM jobs_jobattempt",
    "job_attempt_outcome_known": "INSERT INTO jobs_jobattempt (job_id, number, token, worker,"
    " outcome, started_at, ended_at, error_class, message, traceback) SELECT job_id, 2, 99, worker,"
    " 'fine', started_at, now(), '', '', '' FROM jobs_jobattempt",
    "job_attempt_one_per_number": "INSERT INTO jobs_jobattempt (job_id, number, token, worker,"
    " outcome, started_at, error_class, message, traceback) SELECT job_id, number, 99, worker,"
    " 'running', started_at, '', '', '' FROM jobs_jobattempt",
    "job_dedupe_key_unique": "UPDATE jobs_job SET dedupe_key = 'same'",
}


@pytest.fixture
def rows(live_db: None) -> None:
    """A waiting job, and a dead one with its attempt and letter."""
    dead = enqueue(Mortal(key="dead"))
    claimed = claim(job_id=dead.id, worker="w", lease_s=15)
    assert claimed is not None
    release(lease=Lease(dead.id, claimed.token), ending=failed(RuntimeError("no")))
    enqueue(Mortal(key="waiting"), delay_s=60)


def refusal_of(session: psycopg.Connection[Any], statement: str) -> str | None:
    """Name of the constraint that refused a statement."""
    try:
        session.execute(statement)
    except psycopg.errors.IntegrityError as error:
        return error.diag.constraint_name
    return None


def test_illegal_row__by_raw_sql__is_refused_by_its_constraint(
    rows: None, owner_db: psycopg.Connection[Any], app_db: psycopg.Connection[Any]
) -> None:
    before = list(Job.objects.order_by("id").values())
    for name, statement in ATTACKS.items():
        for session in (owner_db, app_db):
            target = statement
            if statement.startswith("UPDATE jobs_job ") and name != "job_dedupe_key_unique":
                target += " WHERE state = 'pending'"
            assert refusal_of(session, target) == name

    assert list(Job.objects.order_by("id").values()) == before


STATES = ("pending", "queued", "running", "retry_wait", "succeeded", "dead", "cancelled")
LEGAL = {
    "pending": {"queued", "running", "succeeded", "cancelled"},
    "queued": {"pending", "running", "succeeded", "cancelled"},
    "retry_wait": {"queued", "running", "succeeded", "cancelled"},
    "running": {"pending", "retry_wait", "succeeded", "dead", "cancelled"},
    "dead": {"pending"},
    "succeeded": set(),
    "cancelled": set(),
}
SHAPE = """attempts = 1, lease_token = %(token)s, started_at = now(),
    next_attempt_at =
        CASE WHEN %(state)s::text IN ('pending', 'queued', 'retry_wait') THEN now() END,
    published_at = CASE WHEN %(state)s::text = 'queued' THEN now() END,
    lease_until = CASE WHEN %(state)s::text = 'running' THEN now() END,
    lease_owner = CASE WHEN %(state)s::text = 'running' THEN 'me' ELSE '' END,
    finished_at = CASE WHEN %(state)s::text IN ('succeeded', 'dead', 'cancelled') THEN now() END"""


@pytest.mark.parametrize("role", ["origin", "replica"])
def test_move__between_any_two_states__is_legal_or_refused_by_name(
    live_db: None, servers: Any, role: str
) -> None:
    # W-05
    enqueue(Mortal(key="moved"))
    with psycopg.connect(servers.owner_url(), autocommit=True) as owner:
        superuser = servers.superuser_url() if servers.postgres else servers.owner_url()
        with psycopg.connect(superuser, autocommit=True) as session:
            session.execute(f"SET session_replication_role = {role}")
            for old in STATES:
                for new in STATES:
                    # Put the row where it starts from, with the guard of moves off.
                    owner.execute("ALTER TABLE jobs_job DISABLE TRIGGER jobs_job_2_move")
                    owner.execute(
                        f"UPDATE jobs_job SET state = %(state)s::text, {SHAPE}",
                        {"state": old, "token": 1},
                    )
                    owner.execute("ALTER TABLE jobs_job ENABLE ALWAYS TRIGGER jobs_job_2_move")
                    move = f"UPDATE jobs_job SET state = %(state)s::text, {SHAPE}"
                    facts = {"state": new, "token": 2}
                    if new == "succeeded":
                        move = move.replace("attempts = 1", "attempts = 2")
                    name = None
                    try:
                        session.execute(move, facts)
                    except psycopg.errors.CheckViolation as error:
                        name = error.diag.constraint_name
                    legal = new == old or new in LEGAL[old]
                    assert name == (None if legal else "job_move_legal"), (old, new)
