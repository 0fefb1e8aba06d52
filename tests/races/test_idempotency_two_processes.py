"""One key, many senders, two API processes: one effect (E-01, P02)."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from typing import Any

import psycopg
import pytest
import redis

from builds.models import Build
from flagship.models import IdempotencyRecord
from jobs.ids import public_id
from jobs.models import Job
from tests.clients import ApiCaller
from tests.factories import make_project, make_source
from tests.processes import Processes, wait_until
from tests.races.apis import Apis, all_at_once
from tests.soak import soaked

JOBS = "/api/jobs"
PROBE = {"kind": "jobs.probe", "payload": {"note": "raced"}}
CLIENTS = 16
ROUNDS = soaked(25)


@pytest.fixture
def caller(live_db: None, issue_key: Any) -> ApiCaller:
    client: ApiCaller = issue_key()
    return client


@pytest.fixture
def apis(caller: ApiCaller, processes: Processes) -> Apis:
    running = Apis(processes, caller.secret)
    running.start()
    return running


def new_key() -> str:
    return f"race-{uuid.uuid4().hex}"


def race(apis: Apis, path: str, bodies: list[Any], key: str) -> list[Any]:
    """Send one key from all clients at once, the bodies in turn over both processes."""

    def send(number: int) -> Any:
        body = bodies[number // 2 % len(bodies)]
        return apis.send_until_answered(number, path, body, key)

    return all_at_once(CLIENTS, send)


def assert_one_answer(answers: list[Any], status: int) -> None:
    """All were given the same bytes, and one of them first hand."""
    assert Counter(answer.status_code for answer in answers) == {status: len(answers)}
    assert len({answer.content for answer in answers}) == 1
    first_hand = [a for a in answers if "Idempotency-Replayed" not in a.headers]
    assert len(first_hand) == 1
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == len(answers)


def test_key__raced_by_16_clients_over_two_processes__makes_one_build(
    apis: Apis, caller: ApiCaller
) -> None:
    # E-01, P02
    project = make_project(caller.organization.id, max_active=10)
    source = make_source(project)
    body = {
        "projectId": public_id("proj", project.id),
        "sourceId": public_id("src", source.id),
    }
    for made in range(1, 6):
        key = new_key()
        answers = race(apis, "/v1/builds", [body], key)

        assert_one_answer(answers, 202)
        assert (Build.objects.count(), Job.objects.count()) == (made, made)


def test_key__raced_again_and_again__makes_one_job_each(apis: Apis, caller: ApiCaller) -> None:
    # P02
    for made in range(1, ROUNDS + 1):
        key = new_key()
        answers = race(apis, JOBS, [PROBE], key)

        assert_one_answer(answers, 202)
        assert Job.objects.count() == made
    assert IdempotencyRecord.objects.count() == ROUNDS


def test_key__raced_with_two_bodies__takes_one_and_refuses_the_other(apis: Apis) -> None:
    # P03
    other = {**PROBE, "payload": {"note": "other"}}
    for made in range(1, 6):
        key = new_key()
        answers = race(apis, JOBS, [PROBE, other], key)

        assert Counter(a.status_code for a in answers) == {202: CLIENTS // 2, 422: CLIENTS // 2}
        assert {a.json()["error"] for a in answers if a.status_code == 422} == {
            "IDEMPOTENCY_KEY_REUSED"
        }
        assert len({a.content for a in answers if a.status_code == 202}) == 1
        assert Job.objects.count() == made


def test_redis__wiped_between_the_two__the_other_process_replays(
    apis: Apis, valkey: redis.Redis
) -> None:
    # E-01, P02: 20 wipes
    for made in range(1, 21):
        key = new_key()
        first = apis.send(0, JOBS, PROBE, key)
        valkey.flushall()
        second = apis.send(1, JOBS, PROBE, key)

        assert (first.status_code, second.status_code) == (202, 202)
        assert second.content == first.content
        assert second.headers["Idempotency-Replayed"] == "true"
        assert Job.objects.count() == made


def test_redis__down_all_along__changes_nothing(caller: ApiCaller, processes: Processes) -> None:
    # E-01, research 3.7: nothing listens on port 1.
    apis = Apis(processes, caller.secret)
    apis.start(2, REDIS_URL="redis://127.0.0.1:1/0")
    key = new_key()

    answers = race(apis, JOBS, [PROBE], key)

    assert_one_answer(answers, 202)
    assert Job.objects.count() == 1


def test_answer__lost_on_its_way__is_given_again(apis: Apis) -> None:
    # P02: 20 answers lost after COMMIT
    for made in range(1, 21):
        key = new_key()
        with apis.send_unread(0, JOBS, PROBE, key):
            wait_until(lambda made=made: Job.objects.count() == made, 10)  # type: ignore[misc]
        again = apis.send(1, JOBS, PROBE, key)

        assert again.status_code == 202
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.json()["id"] == public_id("job", Job.objects.latest("id").id)
        assert Job.objects.count() == made


def test_process__killed_while_it_works__leaves_nothing_and_the_other_takes_over(
    apis: Apis, owner_db: psycopg.Connection[Any], servers: Any
) -> None:
    # P01, P02
    key = new_key()
    with psycopg.connect(servers.owner_url()) as blocker:
        blocker.execute("LOCK TABLE jobs_job IN EXCLUSIVE MODE")
        with apis.send_unread(0, JOBS, PROBE, key):
            wait_until(lambda: waits_for_lock(owner_db), 10, poll_s=0.005)
            apis.running[0].kill_group()
            assert apis.running[0].wait() != 0
    wait_until(lambda: not waits_for_lock(owner_db), 10)

    assert (Job.objects.count(), IdempotencyRecord.objects.count()) == (0, 0)
    answer = apis.send_until_answered(1, JOBS, PROBE, key)
    assert answer.status_code == 202
    assert "Idempotency-Replayed" not in answer.headers
    assert Job.objects.count() == 1


def waits_for_lock(owner_db: psycopg.Connection[Any]) -> bool:
    row = owner_db.execute(
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'jobs_job'::regclass"
    ).fetchone()
    return bool(row and row[0])


def test_subject__locked_by_others__is_a_409_to_send_again(apis: Apis, servers: Any) -> None:
    # P32: a request waits a second for a lock, not for ever.
    key = new_key()
    with psycopg.connect(servers.owner_url()) as blocker:
        blocker.execute("LOCK TABLE jobs_job IN EXCLUSIVE MODE")
        started = time.monotonic()
        busy = apis.send(0, JOBS, PROBE, key)
        waited_s = time.monotonic() - started

    assert (busy.status_code, busy.json()["error"]) == (409, "RESOURCE_BUSY")
    assert busy.headers["Retry-After"] == "1"
    assert 0.9 < waited_s < 5
    assert (Job.objects.count(), IdempotencyRecord.objects.count()) == (0, 0)
    assert apis.send(1, JOBS, PROBE, key).status_code == 202
