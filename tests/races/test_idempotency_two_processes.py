"""One key, many senders, two API processes: one effect (E-01, P02)."""

from __future__ import annotations

import os
import time
import uuid
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
import redis

from builds.models import Build
from flagship.models import IdempotencyRecord
from jobs.ids import public_id
from jobs.models import Job
from tests.clients import ApiCaller
from tests.factories import make_project, make_source
from tests.faults.proxy import Proxy
from tests.processes import Processes, wait_until
from tests.races.apis import Apis, all_at_once
from tests.soak import full

JOBS = "/api/jobs"
PROBE = {"kind": "jobs.probe", "payload": {"note": "raced"}}
CLIENTS = 16
CROWDS = (2, 3, 5, 8, 16, 32)
ROUNDS = full(24, 2000)
LOST = full(20, 300)
WIPES = full(20, 100)


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


def race(
    apis: Apis, path: str, bodies: list[Any], key: str, *, clients: int = CLIENTS
) -> list[Any]:
    """Send one key from all clients at once, the bodies in turn over both processes."""

    def send(number: int) -> Any:
        body = bodies[number // 2 % len(bodies)]
        return apis.send_until_answered(number, path, body, key)

    return all_at_once(clients, send)


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


def test_key__raced_again_and_again__makes_one_job_each(
    apis: Apis, caller: ApiCaller, settings: Any
) -> None:
    # P02: 2,000 races in the soak, of 2 to 32 clients
    for made in range(1, ROUNDS + 1):
        key, clients = new_key(), CROWDS[made % len(CROWDS)]
        answers = race(apis, JOBS, [PROBE], key, clients=clients)

        assert_one_answer(answers, 202)
        assert Job.objects.count() == 1
        assert IdempotencyRecord.objects.get().request_id == first_hand(answers)
        # The organization's jobs in flight stay below their limit.
        IdempotencyRecord.objects.all().delete()
        Job.objects.all().delete()


def first_hand(answers: list[Any]) -> str:
    """Return the id of the request that did it; all the others name it."""
    [done] = [a for a in answers if "Idempotency-Replayed" not in a.headers]
    told = {a.headers["Idempotency-Original-Request-Id"] for a in answers if a is not done}
    assert told == {done.headers["x-request-id"]}
    return str(done.headers["x-request-id"])


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
    # E-01, P02: 100 wipes in the soak, before and after Redis has the answer
    for number in range(WIPES):
        key = new_key()
        first = apis.send(0, JOBS, PROBE, key)
        for sent in range(4):
            if sent != number % 3:
                valkey.flushall()
            again = apis.send(sent // 2, JOBS, PROBE, key)

            assert (first.status_code, again.status_code) == (202, 202)
            assert again.content == first.content
            assert again.headers["Idempotency-Replayed"] == "true"
        assert Job.objects.count() == 1
        Job.objects.all().delete()


def test_redis__down_all_along__changes_nothing(caller: ApiCaller, processes: Processes) -> None:
    # E-01, research 3.7: nothing listens on port 1.
    apis = Apis(processes, caller.secret)
    apis.start(2, REDIS_URL="redis://127.0.0.1:1/0")
    key = new_key()

    answers = race(apis, JOBS, [PROBE], key)

    assert_one_answer(answers, 202)
    assert Job.objects.count() == 1


def test_answer__lost_on_its_way__is_given_again(apis: Apis) -> None:
    # P02: the client is gone before it reads a byte, with the answer committed
    for _ in range(LOST // 2):
        key = new_key()
        with apis.send_unread(0, JOBS, PROBE, key):
            wait_until(lambda: Job.objects.count() == 1, 10, poll_s=0.01)

        assert_given_again(apis, key)


def test_answer__cut_off_on_its_way__is_given_again(apis: Apis) -> None:
    # P02: the connection breaks somewhere in the answer, after COMMIT
    proxy = Proxy(apis.ports[0])
    apis.ports.append(proxy.port)
    try:
        for number in range(LOST // 2):
            key = new_key()
            proxy.cut(after=number * 7 % 300)
            with pytest.raises(httpx.TransportError):
                apis.send(2, JOBS, PROBE, key)
            assert proxy.cuts == number + 1

            assert_given_again(apis, key)
    finally:
        proxy.close()


def test_commit__whose_reply_is_lost__is_unknown_to_the_client_until_it_sends_again(
    caller: ApiCaller, processes: Processes
) -> None:
    # P02, P01: the process cannot know whether it was done; the key does.
    address = urlsplit(os.environ["DATABASE_URL"])
    proxy = Proxy(int(address.port or 0))
    try:
        moved = address._replace(
            netloc=address.netloc.replace(f":{address.port}", f":{proxy.port}")
        )
        apis = Apis(processes, caller.secret)
        apis.start(2, DATABASE_URL=moved.geturl())
        for number in range(LOST // 4):
            key = new_key()
            proxy.lose_commit(b"flagship_store_answer")
            unknown = apis.send(0, JOBS, PROBE, key)

            assert (unknown.status_code, proxy.cuts) == (503, number + 1)
            assert (unknown.json()["error"], "Retry-After" in unknown.headers) == (
                "SERVICE_UNAVAILABLE",
                True,
            )
            assert_given_again(apis, key)
    finally:
        proxy.close()


def assert_given_again(apis: Apis, key: str) -> None:
    """Both processes answer with the bytes that were committed; the job is there once."""
    kept = IdempotencyRecord.objects.get()
    for number in (1, 0, 1):
        again = apis.send(number, JOBS, PROBE, key)

        assert (again.status_code, again.content) == (202, bytes(kept.body or b""))
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.headers["Idempotency-Original-Request-Id"] == kept.request_id
        assert again.json()["id"] == public_id("job", Job.objects.get().id)
    Job.objects.all().delete()
    kept.delete()


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
