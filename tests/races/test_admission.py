"""The limit of jobs in flight, stormed through two API processes (W-10, W-09)."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from typing import Any, Self

import psycopg
import pytest
from django.db.models.functions import Now

from flagship.services.limits import set_limits
from jobs.models import Job
from jobs.services.admission import usage_held
from tests.clients import ApiCaller
from tests.processes import Processes
from tests.races.apis import Apis, all_at_once
from tests.soak import soaked

JOBS = "/api/jobs"
PROBE = {"kind": "jobs.probe", "payload": {"note": "stormed"}}
CLIENTS = 32
LIMIT = 50
ROUNDS = soaked(2)
SHARE = 4
"""Requests of one client in a storm: with all of them far more than there is room for."""


@pytest.fixture
def caller(live_db: None, issue_key: Any) -> ApiCaller:
    client: ApiCaller = issue_key()
    return client


@pytest.fixture
def apis(caller: ApiCaller, processes: Processes) -> Apis:
    running = Apis(processes, caller.secret)
    running.start()
    return running


class Watch(threading.Thread):
    """Counts the unfinished jobs again and again; remembers the most there ever were."""

    def __init__(self, database: psycopg.Connection[Any]) -> None:
        super().__init__(daemon=True)
        self._database = database
        self._over = threading.Event()
        self.most = 0
        self.looks = 0

    def run(self) -> None:
        while not self._over.is_set():
            row = self._database.execute(
                "SELECT count(*) FROM jobs_job WHERE finished_at IS NULL"
            ).fetchone()
            self.most = max(self.most, row[0] if row else 0)
            self.looks += 1
            self._over.wait(0.002)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join(10)


class Ender(Watch):
    """Ends a job now and then, as workers do."""

    def __init__(self, database: psycopg.Connection[Any]) -> None:
        super().__init__(database)
        self.ended = 0

    def run(self) -> None:
        info = self._database.info
        with psycopg.connect(info.dsn, password=info.password, autocommit=True) as own:
            while not self._over.wait(0.04):
                self.ended += own.execute(
                    "UPDATE jobs_job SET state = 'cancelled', next_attempt_at = NULL,"
                    " published_at = NULL, finished_at = clock_timestamp() WHERE id ="
                    " (SELECT id FROM jobs_job WHERE finished_at IS NULL LIMIT 1 FOR UPDATE)"
                ).rowcount


def storm(apis: Apis, *, body: Any = PROBE, share: int = SHARE) -> list[Any]:
    """Send from all clients at once, each some requests in turn; all answers."""

    def send(number: int) -> list[Any]:
        return [
            apis.send_until_answered(number, JOBS, body, f"storm-{uuid.uuid4().hex}")
            for _ in range(share)
        ]

    return [answer for answers in all_at_once(CLIENTS, send) for answer in answers]


def finish(count: int) -> None:
    """End some of the jobs, as their workers would."""
    ids = Job.objects.filter(finished_at=None).values_list("id", flat=True)[:count]
    with_end = Job.objects.filter(id__in=list(ids))
    with_end.update(state="cancelled", finished_at=Now(), next_attempt_at=None, published_at=None)


def test_limit__stormed_by_32_clients__is_reached_and_never_passed(
    apis: Apis, owner_db: psycopg.Connection[Any]
) -> None:
    # W-10; W-09: a flood is answered, all of it, and never with a failure.
    free = LIMIT
    with Watch(owner_db) as watch:
        for round_no in range(ROUNDS):
            answers = storm(apis)

            counted = Counter(answer.status_code for answer in answers)
            assert counted == {202: free, 429: CLIENTS * SHARE - free}
            assert Job.objects.filter(finished_at=None).count() == LIMIT
            for answer in answers:
                assert answer.status_code == 202 or tells_the_usage(answer)
            free = 7 + round_no
            finish(free)

    assert watch.most == LIMIT
    assert watch.looks > 20


def test_limit__of_its_own__lowered_and_raised_in_the_storm__is_the_one_in_force(
    apis: Apis, caller: ApiCaller, owner_db: psycopg.Connection[Any]
) -> None:
    # W-10: both processes hear of it without a restart.
    for most in (70, 20, 60):
        set_limits(
            organization_id=caller.organization.id,
            limits={"jobs_in_flight_max": most},
            actor="user:ana",
            reason="a test",
        )
        finish(LIMIT * 2)
        with Watch(owner_db) as watch:
            counted = Counter(answer.status_code for answer in storm(apis))

        assert counted == {202: most, 429: CLIENTS * SHARE - most}
        assert watch.most == most


def tells_the_usage(answer: Any) -> bool:
    told = answer.json()
    assert told["error"] == "JOBS_IN_FLIGHT_LIMIT"
    assert (told["data"]["limit"], told["data"]["inFlight"]) == (LIMIT, LIMIT)
    return 1 <= int(answer.headers["Retry-After"]) <= 60


def test_limit__while_jobs_end__is_never_passed(
    apis: Apis, owner_db: psycopg.Connection[Any]
) -> None:
    # W-10: as many are accepted as there was ever room for.
    with Watch(owner_db) as watch, Ender(owner_db) as ender:
        answers = storm(apis, share=8)

    counted = Counter(answer.status_code for answer in answers)
    accepted = counted[202]
    assert counted.keys() == {202, 429}
    assert accepted == Job.objects.count()
    assert LIMIT < accepted <= LIMIT + ender.ended
    assert accepted - ender.ended == Job.objects.filter(finished_at=None).count()
    assert watch.most == LIMIT


def test_dedupe_key__stormed_at_the_limit__is_one_job_and_refuses_nobody(apis: Apis) -> None:
    # W-10, W-15
    once = PROBE | {"dedupeKey": "nightly"}
    for _ in range(LIMIT - 1):
        assert apis.send(0, JOBS, PROBE, f"fill-{uuid.uuid4().hex}").status_code == 202

    answers = storm(apis, body=once, share=1)

    assert Counter(answer.status_code for answer in answers) == {202: 1, 200: CLIENTS - 1}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert Job.objects.count() == LIMIT
    refused = apis.send(1, JOBS, PROBE, f"more-{uuid.uuid4().hex}")
    assert (refused.status_code, refused.json()["error"]) == (429, "JOBS_IN_FLIGHT_LIMIT")


def test_usage__outside_a_transaction__is_not_told(caller: ApiCaller) -> None:
    with pytest.raises(RuntimeError, match="transaction"):
        usage_held(organization_id=caller.organization.id)
