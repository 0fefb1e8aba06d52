"""Signs of life: the statements, what health makes of them, a real worker that dies (O-03)."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from jobs import telemetry
from jobs.clients.process import host_name, memory_bytes, new_worker_name
from jobs.models import TelemetryEvent, WorkerHeartbeat
from jobs.selectors.workers import list_workers, worker_health
from jobs.services.heartbeats import WorkerFacts, beat, farewell, prune_workers, report_workers
from tests.asserts import wait_until
from tests.processes import Processes

STALE_S = 120.0


def facts(name: str = "one", **more: Any) -> WorkerFacts:
    return replace(
        WorkerFacts(name, "host", 1, "worker", ("a", "b"), 100, 3, 7, 5_000_000, "0.1.0"), **more
    )


def run(query: tuple[str, dict[str, Any]]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(*query)
        return int(cursor.rowcount)


def age(name: str, seconds: float) -> None:
    """Let the last beat be that long ago."""
    now = datetime.now(UTC)
    WorkerHeartbeat.objects.filter(name=name).update(beat_at=now - timedelta(seconds=seconds))


def published() -> list[tuple[str, str]]:
    assert telemetry.flush(10)
    rows = TelemetryEvent.objects.filter(name__startswith="worker.").order_by("sequence")
    return [(row.name, row.data["worker"]) for row in rows]


@pytest.mark.django_db
def test_beat__first_and_later__keeps_one_row_up_to_date() -> None:
    # O-03
    assert run(beat(facts())) == 1
    first = WorkerHeartbeat.objects.get()
    assert run(beat(facts(busy=4, jobs_done=9, stopping=True))) == 1
    second = WorkerHeartbeat.objects.get()

    assert (first.host, first.pid, first.role, first.queues) == ("host", 1, "worker", ["a", "b"])
    assert (first.slots, first.busy, first.jobs_done, first.version) == (100, 3, 7, "0.1.0")
    assert first.started_at == first.beat_at and not first.stopping
    assert (second.busy, second.jobs_done, second.stopping) == (4, 9, True)
    assert second.started_at == first.started_at and second.beat_at > first.beat_at


@pytest.mark.django_db
def test_beat__after_the_farewell__does_not_bring_the_worker_back() -> None:
    # O-03
    run(beat(facts()))

    assert run(farewell("one")) == 1
    assert run(farewell("one")) == 0
    assert run(beat(facts())) == 0
    row = WorkerHeartbeat.objects.get()
    assert (row.stopped_at, row.busy, row.stopping) == (row.beat_at, 0, True)


@pytest.mark.django_db
def test_health__by_the_newest_beat__is_ok_until_it_is_stale() -> None:
    # O-03: the seed's cases, at the limit and behind it
    none = worker_health(stale_after_s=STALE_S)
    assert (none.ok, none.last_heartbeat_at, none.age_ms) == (False, None, None)
    run(beat(facts("old")))
    run(beat(facts("new")))
    run(beat(facts("scheduler", role="scheduler")))
    age("old", 500)
    beat_at = WorkerHeartbeat.objects.get(name="new").beat_at

    at_limit = worker_health(stale_after_s=STALE_S, now=beat_at + timedelta(seconds=120))
    behind = worker_health(stale_after_s=STALE_S, now=beat_at + timedelta(seconds=120.001))
    early = worker_health(stale_after_s=STALE_S, now=beat_at - timedelta(seconds=9))

    assert (at_limit.ok, at_limit.age_ms, at_limit.stale_after_ms) == (True, 120_000, 120_000)
    assert at_limit.last_heartbeat_at == beat_at
    assert (behind.ok, behind.age_ms) == (False, 120_001)
    assert (early.ok, early.age_ms) == (True, 0)


@pytest.mark.django_db
def test_health__after_every_worker_said_farewell__is_not_ok_at_once() -> None:
    # O-03
    run(beat(facts("one")))
    run(beat(facts("two")))
    run(farewell("one"))
    assert worker_health(stale_after_s=STALE_S).ok
    run(farewell("two"))

    health = worker_health(stale_after_s=STALE_S)

    assert (health.ok, health.last_heartbeat_at, health.age_ms) == (False, None, None)


@pytest.mark.django_db
def test_list__of_living_silent_and_gone__says_which_is_stale() -> None:
    # O-03
    for name in ("gone", "silent", "alive"):
        run(beat(facts(name)))
    run(farewell("gone"))
    age("gone", 900)
    age("silent", 200)

    states = {state.heartbeat.name: state for state in list_workers(stale_after_s=STALE_S)}

    assert {name: state.is_stale for name, state in states.items()} == {
        "alive": False, "silent": True, "gone": False,
    }  # fmt: skip
    assert list(states)[-1] == "gone"
    assert states["silent"].age_s >= 200


@pytest.mark.django_db
def test_health__over_http__has_the_seeds_four_fields(api: Any, settings: Any) -> None:
    # O-03
    before = api.get("/api/worker/health")
    run(beat(facts()))
    alive = api.get("/api/worker/health")
    age("one", 121)
    stale = api.get("/api/worker/health")

    assert before.json() == {
        "ok": False, "lastHeartbeatAt": None, "ageMs": None, "staleAfterMs": 120_000,
    }  # fmt: skip
    body = alive.json()
    assert list(body) == ["ok", "lastHeartbeatAt", "ageMs", "staleAfterMs"]
    assert body["ok"] is True and 0 <= body["ageMs"] < 60_000
    assert body["lastHeartbeatAt"].endswith("Z")
    assert (stale.status_code, stale.json()["ok"]) == (200, False)
    assert stale.json()["ageMs"] > stale.json()["staleAfterMs"]


@pytest.fixture
def quiet(live_db: None) -> Iterator[None]:
    assert telemetry.flush(10)
    yield
    assert telemetry.flush(10)


def test_report__of_one_gone_silent_and_back__is_published_once_each(quiet: None) -> None:
    # O-02, O-03
    run(beat(facts("one")))
    run(beat(facts("two")))
    assert report_workers(stale_after_s=STALE_S) == 0
    age("one", 200)

    assert [report_workers(stale_after_s=STALE_S) for _ in range(2)] == [1, 0]
    run(beat(facts("one")))
    assert [report_workers(stale_after_s=STALE_S) for _ in range(2)] == [1, 0]
    run(farewell("two"))
    age("two", 900)
    assert report_workers(stale_after_s=STALE_S) == 0
    assert published() == [("worker.stale", "one"), ("worker.back", "one")]


@pytest.mark.django_db
def test_prune__of_old_rows__spares_the_living_and_the_unreported() -> None:
    # O-03
    for name in ("alive", "gone", "reported", "unreported"):
        run(beat(facts(name)))
    run(farewell("gone"))
    for name in ("gone", "reported", "unreported"):
        age(name, 5_000)
    WorkerHeartbeat.objects.filter(name="reported").update(stale_reported_at=datetime.now(UTC))

    assert prune_workers(older_than_s=3600) == 2
    assert set(WorkerHeartbeat.objects.values_list("name", flat=True)) == {"alive", "unreported"}


def test_worker__killed__is_stale_soon_and_one_that_stops_says_farewell(
    quiet: None, processes: Processes
) -> None:
    # O-03: real processes, real signals
    soon = {"WORKER_HEARTBEAT_S": "0.5", "WORKER_STALE_S": "3", "SWEEP_INTERVAL_S": "0.2"}
    scheduler = processes.start("rqscheduler", env=soon)
    doomed, polite = processes.start("rqworker", env=soon), processes.start("rqworker", env=soon)
    wait_until(lambda: rows() == {"worker": 2, "scheduler": 1}, 60, doomed.output)
    row = WorkerHeartbeat.objects.get(pid=doomed.popen.pid)
    assert row.name.startswith(f"{host_name()}:{row.pid}:")
    assert row.slots >= 100 and len(row.queues) >= 8 and row.memory_bytes > 10**7
    wait_until(lambda: WorkerHeartbeat.objects.get(name=row.name).beat_at > row.beat_at, 20)
    assert worker_health(stale_after_s=3.0).ok

    doomed.kill(signal.SIGKILL)
    polite.kill(signal.SIGTERM)
    assert polite.wait() == 0
    wait_until(lambda: not worker_health(stale_after_s=3.0).ok, 20)
    wait_until(lambda: ("worker.stale", row.name) in published(), 20, scheduler.output)

    health = worker_health(stale_after_s=3.0)
    assert health.age_ms is not None and health.age_ms > 3000
    stale = [each.heartbeat.name for each in list_workers(stale_after_s=3.0) if each.is_stale]
    assert stale == [row.name]
    gone = WorkerHeartbeat.objects.get(pid=polite.popen.pid)
    assert gone.stopped_at is not None
    seen = published()
    assert {("worker.started", row.name), ("worker.started", gone.name)} <= set(seen)
    assert ("worker.stopped", gone.name) in seen and ("worker.stale", gone.name) not in seen


def rows() -> dict[str, int]:
    return dict(Counter(WorkerHeartbeat.objects.values_list("role", flat=True)))


def test_process__about_itself__says_what_fits_a_row() -> None:
    # O-03
    name = new_worker_name()

    assert name.startswith(f"{host_name()}:{os.getpid()}:") and len(name) <= 100
    assert new_worker_name() != name
    assert 1_000_000 < memory_bytes() < 100 * 1024**3
