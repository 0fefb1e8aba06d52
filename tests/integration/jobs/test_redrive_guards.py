"""What the database refuses to store about redrives, by raw SQL, as owner and as application."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from jobs.models import Redrive
from jobs.queues import CONTENT, MAINTENANCE
from jobs.selectors.letters import LetterFilter
from jobs.services.redrives import abort_redrive
from tests.integration.jobs.letters import ask, make_letters

RUNNING = "WHERE state = 'running' AND queue = 'flagship:maintenance'"
PROPOSED = "WHERE state = 'proposed'"
OVER = "WHERE state = 'aborted'"
COLUMNS = (
    *("id", "state", "action", "wanted", "queue", "bound_died_at", "bound_id", "size"),
    *("rate_per_s", "ramp_s", "canary_size", "canary_wait_s", "returns_max", "reason"),
    *("requested_by", "is_approval_needed", "job_id", "started_at", "due_at", "free_at"),
    *("refusals", "canary_jobs", "returned"),
)
PASSED = "at_died_at = bound_died_at, at_id = bound_id"


def another(**values: str) -> str:
    """A statement that stores another one like the one that runs, but for these values."""
    values = {"id": "uuidv7()", "queue": "'other'"} | values
    chosen = ", ".join(values.get(name, name) for name in COLUMNS)
    into = f"INSERT INTO jobs_redrive ({', '.join(COLUMNS)})"
    return f"{into} SELECT {chosen} FROM jobs_redrive {RUNNING}"


ATTACKS = {
    "redrive_asked_for_stays": f"UPDATE jobs_redrive SET reason = 'another' {RUNNING}",
    "redrive_asked_for_stays/bound": f"UPDATE jobs_redrive SET bound_id = bound_id + 1 {RUNNING}",
    "redrive_asked_for_stays/filter": f"UPDATE jobs_redrive SET wanted = '{{}}' {RUNNING}",
    "redrive_asked_for_stays/rate": f"UPDATE jobs_redrive SET rate_per_s = 999 {PROPOSED}",
    "redrive_move_legal": f"UPDATE jobs_redrive SET state = 'proposed' {RUNNING}",
    "redrive_move_legal/unknown": f"UPDATE jobs_redrive SET state = 'done' {RUNNING}",
    "redrive_move_legal/unapproved": "UPDATE jobs_redrive SET state = 'finished', ended_at = now()"
    f" {PROPOSED}",
    "redrive_over_stays": f"UPDATE jobs_redrive SET note = 'never mind' {OVER}",
    "redrive_kept": f"DELETE FROM jobs_redrive {OVER}",
    "redrive_starts_once": f"UPDATE jobs_redrive SET job_id = uuidv7() {RUNNING}",
    "redrive_starts_once/approval": f"UPDATE jobs_redrive SET approved_by = 'me' {RUNNING}",
    "redrive_waits_for_approval": f"UPDATE jobs_redrive SET {PASSED} {PROPOSED}",
    "redrive_within_its_bound": "UPDATE jobs_redrive SET at_died_at = bound_died_at,"
    f" at_id = bound_id + 1 {RUNNING}",
    "redrive_approved_where_needed": "UPDATE jobs_redrive SET state = 'running',"
    f" job_id = uuidv7(), started_at = now(), due_at = now(), free_at = now() {PROPOSED}",
    "redrive_approved_by_another": "UPDATE jobs_redrive SET state = 'running',"
    " job_id = uuidv7(), started_at = now(), due_at = now(), free_at = now(),"
    f" approved_by = requested_by {PROPOSED}",
    "redrive_has_a_job_once_started": "UPDATE jobs_redrive SET state = 'running',"
    f" approved_by = 'me' {PROPOSED}",
    "redrive_ended_at_when_over": f"UPDATE jobs_redrive SET state = 'finished' {RUNNING}",
    "redrive_counts_what_it_passed": f"UPDATE jobs_redrive SET done = 1 {RUNNING}",
    "redrive_begins_at_its_beginning": another(returned="3"),
    "redrive_begins_at_its_beginning/over": another(state="'finished'"),
    "redrive_begins_at_its_beginning/unknown": another(state="'done'"),
    "redrive_action_known": another(action="'keep'"),
    "redrive_has_actor_and_reason": another(reason="''"),
    "redrive_has_actor_and_reason/actor": another(requested_by="''"),
    "redrive_numbers_sane": another(size="0"),
    "redrive_numbers_sane/rate": another(rate_per_s="0"),
    "redrive_one_running_per_queue": another(queue="queue"),
}
AFTERWARDS = {
    "redrive_cursor_only_moves_on": "UPDATE jobs_redrive SET at_id = at_id - 1",
    "redrive_cursor_only_moves_on/gone": "UPDATE jobs_redrive SET at_id = NULL, at_died_at = NULL",
    "redrive_counts_only_grow": "UPDATE jobs_redrive SET done = 1",
    "redrive_counts_only_grow/returned": "UPDATE jobs_redrive SET returned = 0",
}


@pytest.fixture
def rows(live_db: None, settings: Any) -> None:
    """One that runs, one that waits for approval, one that was aborted."""
    make_letters(1, queue=MAINTENANCE)
    make_letters(2, queue=CONTENT)
    ask(LetterFilter(queue=MAINTENANCE))
    abort_redrive(redrive_id=ask(LetterFilter(queue=CONTENT)).id, actor="user:ana")
    settings.REDRIVE_APPROVAL_SIZE = 1
    ask(LetterFilter(queue=CONTENT))


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
    # D-06, D-07
    before = list(Redrive.objects.order_by("id").values())

    for name, statement in ATTACKS.items():
        for session in (owner_db, app_db):
            assert refusal_of(session, statement) == name.partition("/")[0], name

    assert list(Redrive.objects.order_by("id").values()) == before


def test_progress__by_raw_sql__never_goes_back(
    rows: None, owner_db: psycopg.Connection[Any], app_db: psycopg.Connection[Any]
) -> None:
    # D-07
    owner_db.execute(f"UPDATE jobs_redrive SET {PASSED}, done = 2, returned = 1 {RUNNING}")

    for name, statement in AFTERWARDS.items():
        for session in (owner_db, app_db):
            told = refusal_of(session, f"{statement} {RUNNING}")
            assert told == name.partition("/")[0], name


def test_guard__in_the_replica_role__refuses_all_the_same(rows: None, servers: Any) -> None:
    # ADR 0003
    superuser = servers.superuser_url() if servers.postgres else servers.owner_url()
    with psycopg.connect(superuser, autocommit=True) as session:
        session.execute("SET session_replication_role = replica")

        assert refusal_of(session, ATTACKS["redrive_kept"]) == "redrive_kept"
        assert refusal_of(session, ATTACKS["redrive_over_stays"]) == "redrive_over_stays"


def test_constraint__of_redrives__has_an_attack_that_meets_it() -> None:
    # A proof must be able to see.
    named = {constraint.name for constraint in Redrive._meta.constraints}
    met = {name.partition("/")[0] for name in (*ATTACKS, *AFTERWARDS)}

    assert named - met == set()
