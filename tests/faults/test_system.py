"""Proof of the promise: whatever is killed, every accepted build ends once and is charged once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
import redis
from django.db import connections

from tests.ledger import assert_ledger_adds_up, read_rows
from tests.processes import Processes, wait_until
from tests.servers import Servers
from tests.system import Load, System, kill_group, make_system

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("live_db")]

SETTLED = {"deployed": "commit", "failed": "release", "cancelled": "release"}


@pytest.fixture
def system(processes: Processes, servers: Servers, live_db: None) -> Iterator[System]:
    """An API process and an organization; each test starts the workers it needs."""
    running = make_system(processes, servers.owner_url())
    running.start_api()
    yield running


def assert_everything_ended_once(system: System) -> None:
    """Compare what was acknowledged with what the database holds (P01, P08, P16, P17)."""
    connections.close_all()  # this process's own may have ended with a crashed server
    builds = {f"build_{row['id'].hex}": row for row in read_rows("SELECT * FROM builds_build")}
    closing: dict[str, list[str]] = {}
    for entry in read_rows(
        "SELECT * FROM credits_entry WHERE kind IN ('commit','release','expire')"
    ):
        closing.setdefault(str(entry["reservation_id"]), []).append(entry["kind"])
    assert set(system.accepted) <= set(builds)
    for build in builds.values():
        assert closing.get(str(build["reservation_id"])) == [SETTLED[build["state"]]], build
    jobs = read_rows("SELECT * FROM jobs_job WHERE kind = 'builds.run_build'")
    assert sorted(str(job["id"]) for job in jobs) == sorted(
        str(build["job_id"]) for build in builds.values()
    )
    assert {job["state"] for job in jobs} <= {"succeeded", "cancelled"}
    audits = read_rows(
        "SELECT subject_id, count(*) AS n FROM flagship_auditevent"
        " WHERE action IN ('build.deployed', 'build.failed', 'build.cancelled') GROUP BY subject_id"
    )
    assert {row["subject_id"]: row["n"] for row in audits} == dict.fromkeys(builds, 1)
    assert_ledger_adds_up()


def test_worker__killed_while_a_build_runs__is_replaced_and_the_charge_made_once(
    system: System,
) -> None:
    # W-04, W-13, B-06
    targets = [system.make_project("starlette-docs.tar.gz") for _ in range(3)]
    worker = system.start_worker()
    system.start_scheduler()
    for target in targets:
        system.submit(*target, "mkdocs")
    wait_until(lambda: system.states().get("building", 0) > 0, 60, lambda: str(system.states()))
    kill_group(worker)

    system.start_worker()
    system.wait_for_the_end()

    assert system.states() == {"deployed": 3}
    assert_everything_ended_once(system)
    lost = read_rows("SELECT count(*) AS n FROM jobs_jobattempt WHERE outcome = 'lost'")
    assert lost[0]["n"] >= 1


def test_api__killed_between_commit_and_publish__has_accepted_the_build(
    system: System, servers: Servers
) -> None:
    # W-04, B-01: with Valkey frozen, the publisher waits on it after the COMMIT.
    assert servers.valkey and servers.valkey.process and system.api
    target = system.make_project()
    valkey_pid = servers.valkey.process.pid
    os.kill(valkey_pid, signal.SIGSTOP)
    try:
        request = threading.Thread(target=_submit_unanswered, args=(system, target))
        request.start()
        wait_until(lambda: system.states() == {"queued": 1}, 10, poll_s=0.002)
        kill_group(system.api)
        request.join(15)
    finally:
        os.kill(valkey_pid, signal.SIGCONT)
    # Its last words to Valkey may still be read there; the worst is that they never were.
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        for key in client.scan_iter("rq:*"):
            client.delete(key)
    assert system.sql("SELECT state FROM jobs_job WHERE kind LIKE 'builds.%%'") == [("queued",)]

    system.start_api()
    system.start_scheduler()
    system.start_worker()
    system.wait_for_the_end()

    assert system.states() == {"deployed": 1}
    assert_everything_ended_once(system)


def _submit_unanswered(system: System, target: tuple[str, str]) -> None:
    with pytest.raises(Exception):  # noqa: B017 - the server is killed under the request
        system.submit(*target, "static")


def test_valkey__emptied_with_jobs_queued__loses_none(system: System) -> None:
    # W-04
    targets = [system.make_project() for _ in range(5)]
    for target in targets:
        system.submit(*target, "static")
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        client.flushall()

    system.start_scheduler()
    system.start_worker()
    system.wait_for_the_end()

    assert system.states() == {"deployed": 5}
    assert_everything_ended_once(system)


def test_valkey__down_at_submit__still_accepts_and_builds_later(
    system: System, servers: Servers
) -> None:
    # W-09, E-01
    assert servers.valkey
    targets = [system.make_project() for _ in range(3)]
    servers.valkey.stop()
    try:
        started = time.monotonic()
        first = system.submit(*targets[0], "static")
        assert time.monotonic() - started < 2
        again = system.submit(*targets[0], "static", key=system.accepted[first])
        assert again == first
        for target in targets[1:]:
            system.submit(*target, "static")
    finally:
        servers.valkey.start()

    system.start_scheduler()
    system.start_worker()
    system.wait_for_the_end()

    assert system.states() == {"deployed": 3}
    assert_everything_ended_once(system)


def test_postgresql__crashed_under_load__keeps_every_acknowledged_build(
    system: System, servers: Servers
) -> None:
    # W-04, C-04
    if servers.postgres is None:
        pytest.skip("needs the embedded PostgreSQL, to crash it")
    targets = [system.make_project() for _ in range(12)]
    loads = [Load(system, targets[number::3]) for number in range(3)]
    system.start_scheduler()
    workers = [system.start_worker() for _ in range(2)]
    for load in loads:
        load.start()
    for _ in range(2):
        time.sleep(1.5)
        servers.postgres.crash()
        servers.postgres.launch()
    for load in loads:
        load.join(60)
        load.stopping.set()
    for worker in workers:
        if worker.popen.poll() is not None:  # a worker that left is started again, as `up` does
            system.start_worker()
    system.wait_for_the_end(90)

    assert len(system.accepted) == 12
    assert system.states() == {"deployed": 12}
    assert_everything_ended_once(system)
