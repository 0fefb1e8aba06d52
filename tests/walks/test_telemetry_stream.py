"""Telemetry followed over HTTP from the process that streams, while others publish (O-02)."""

from __future__ import annotations

import json
import socket
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from django.db import connections

from flagship.management.embedded.home import free_port
from jobs import telemetry
from jobs.models import TelemetryEvent
from tests.asserts import wait_until
from tests.clients import ApiCaller
from tests.processes import Processes

ROOT = Path(__file__).resolve().parents[2]
Connection = psycopg.Connection[Any]
LIMITS = {"STREAMS_PER_KEY": "2", "STREAM_STALL_S": "1", "STREAMS_DB_CONNECTIONS": "3"}
RESTORED = (
    "INSERT INTO jobs_telemetryevent (key, name, at, source, request_id, correlation_id, data)"
    " VALUES (gen_random_uuid(), 'a.third', now(), 'test', '', '', '{}')"
)


class Streams:
    """The process that streams."""

    def __init__(self, processes: Processes, **more: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "granian", "--interface", "asginl", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--workers", "1", "--no-ws", "--http", "1"]
        self.process = processes.spawn([*command, "config.asgi:application"], env=LIMITS | more)
        wait_until(self.is_up, 60, self.process.output)

    def is_up(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def open(self, api: ApiCaller, query: str = "", last_event_id: str = "") -> Any:
        headers = {"Authorization": f"Bearer {api.secret}", "Accept": "text/event-stream"}
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        return httpx.stream(
            "GET", f"{self.url}/api/telemetry/stream?{query}", headers=headers, timeout=60
        )


@pytest.fixture(scope="module")
def one_process(
    django_db_setup: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Streams]:
    """One for all tests: that it survives their databases is part of what it has to do."""
    processes = Processes(ROOT, tmp_path_factory.mktemp("streams"))
    yield Streams(processes)
    processes.close()


@pytest.fixture
def streams(one_process: Streams, live_db: None) -> Iterator[Streams]:
    assert telemetry.flush(10)
    TelemetryEvent.objects.all().delete()
    yield one_process
    assert telemetry.flush(10)


def blocks(response: Any) -> Iterator[dict[str, str]]:
    """Yield the blocks of a stream as fields; a comment's name is empty."""
    assert response.status_code == 200, response.read()
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            yield fields
            fields = {}


def events(found: Iterator[dict[str, str]], count: int) -> list[tuple[int, str]]:
    """Read until `count` events have come; return their ids and names."""
    got: list[tuple[int, str]] = []
    while len(got) < count:
        fields = next(found)
        if "data" in fields and "event" not in fields:
            body = json.loads(fields["data"])
            assert int(fields["id"]) == body["sequence"]
            got.append((body["sequence"], body["name"]))
    return got


def begun(found: Iterator[dict[str, str]]) -> int:
    """Read the beginning of a stream; return where it begins."""
    while "id" not in (fields := next(found)):
        continue
    return int(fields["id"])


def test_stream__cut_off_and_resumed__shows_every_event_once_in_order(
    streams: Streams, api: ApiCaller
) -> None:
    # O-02
    with streams.open(api) as response:
        found = blocks(response)
        begun(found)
        for number in range(3):
            telemetry.publish(f"a.n{number}", organization_id=api.organization.id)
        first = events(found, 3)
    for number in range(3, 700):
        telemetry.publish(f"a.n{number}", organization_id=api.organization.id)
    with streams.open(api, last_event_id=str(first[-1][0])) as response:
        found = blocks(response)
        rest = events(found, 697)
        telemetry.publish("a.live")
        live = events(found, 1)

    assert [name for _, name in first + rest + live] == [*(f"a.n{n}" for n in range(700)), "a.live"]
    numbers = [number for number, _ in first + rest + live]
    assert numbers == sorted(set(numbers))


def test_stream__of_each_key__shows_what_it_may_see_and_asks_for(
    streams: Streams, api: ApiCaller, issue_key: Any
) -> None:
    # O-02, P24
    tenant = issue_key(scopes=("telemetry:read",))
    with streams.open(tenant, "after=0") as mine, streams.open(api, "name=worker.*") as platform:
        found, seen = blocks(mine), blocks(platform)
        begun(found), begun(seen)
        telemetry.publish("worker.started")
        telemetry.publish("job.dead", organization_id=api.organization.id)
        telemetry.publish("job.dead", organization_id=uuid.uuid4())
        telemetry.publish("job.lost", organization_id=tenant.organization.id)
        telemetry.publish("worker.stopped")

        assert [name for _, name in events(found, 1)] == ["job.lost"]
        assert [name for _, name in events(seen, 2)] == ["worker.started", "worker.stopped"]


def test_stream__resumed_from_before_what_is_kept__tells_of_the_gap(
    streams: Streams, api: ApiCaller
) -> None:
    # O-02
    for number in range(5):
        telemetry.publish(f"a.n{number}")
    assert telemetry.flush(10)
    kept = TelemetryEvent.objects.order_by("sequence").values_list("sequence", flat=True)[3]
    TelemetryEvent.objects.filter(sequence__lt=kept).delete()

    with streams.open(api, last_event_id="1") as response:
        found = blocks(response)
        next(found)
        told = next(found)
        assert told["event"] == "gap"
        assert json.loads(told["data"]) == {"after": 1, "resumesBehind": kept - 1}
        assert [name for _, name in events(found, 2)] == ["a.n3", "a.n4"]
    with streams.open(api, last_event_id="999999") as response:
        found = blocks(response)
        next(found)
        assert json.loads(next(found)["data"])["resumesBehind"] == kept + 1


def test_stream__many_that_wait__leave_the_pool_alone(
    streams: Streams, issue_key: Any, owner_db: Connection
) -> None:
    # O-02: they hold no connection; the three of the pool are idle.
    keys = [issue_key() for _ in range(10)]
    opened, heard = threading.Semaphore(0), threading.Semaphore(0)

    def follow(key: ApiCaller) -> None:
        with streams.open(key) as response:
            found = blocks(response)
            begun(found)
            opened.release()
            events(found, 1)
            heard.release()

    readers = [threading.Thread(target=follow, args=(keys[n // 2],)) for n in range(20)]
    for reader in readers:
        reader.start()
    for _ in readers:
        assert opened.acquire(timeout=60)
    connections.close_all()

    wait_until(lambda: sessions(owner_db) <= 3, 5, lambda: str(sessions(owner_db)))
    telemetry.publish("a.woken")
    for _ in readers:
        assert heard.acquire(timeout=60)
    for reader in readers:
        reader.join(20)


def sessions(owner_db: Connection) -> int:
    row = owner_db.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'flagship'"
    ).fetchone()
    assert row
    return int(row[0])


def test_stream__one_more_than_a_key_may_have__is_refused_until_one_closes(
    streams: Streams, api: ApiCaller, issue_key: Any
) -> None:
    # O-02
    with streams.open(api) as one, streams.open(api) as two:
        kept = [blocks(one), blocks(two)]
        for found in kept:
            begun(found)
        with streams.open(api) as three:
            three.read()
            assert (three.status_code, three.json()["error"]) == (429, "TOO_MANY_STREAMS")
            assert three.json()["data"] == {"limit": 2, "open": 2, "per": "key"}
            assert three.headers["Retry-After"] == "10"
        with streams.open(issue_key()) as other:
            begun(blocks(other))

    wait_until(lambda: is_open_to(streams, api), 20)


def is_open_to(streams: Streams, api: ApiCaller) -> bool:
    with streams.open(api) as response:
        return bool(response.status_code == 200)


def test_stream__whose_reader_does_not_read__is_cut_off(
    streams: Streams, api: ApiCaller, owner_db: Connection
) -> None:
    # O-02: its place is free again, and the process has not kept what nobody takes.
    stalled = [stall(streams, api) for _ in range(2)]
    assert not is_open_to(streams, api)

    # More than the kernel keeps for a reader.
    owner_db.execute(
        "INSERT INTO jobs_telemetryevent (key, name, at, source, request_id, correlation_id, data)"
        " SELECT gen_random_uuid(), 'a.flood', now(), '', '', '',"
        " jsonb_build_object('text', repeat('x', 20000)) FROM generate_series(1, 600)"
    )
    telemetry.publish("a.end")

    wait_until(lambda: is_open_to(streams, api), 60, streams.process.output)
    for connection in stalled:
        connection.close()


def stall(streams: Streams, api: ApiCaller) -> socket.socket:
    """Open a stream, read its beginning and then nothing more."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", streams.port))
    head = f"GET /api/telemetry/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.secret}"
    connection.sendall(f"{head}\r\n\r\n".encode())
    got = b""
    while b"heartbeat" not in got:
        got += connection.recv(1024)
    return connection


def test_stream__with_redis_away__is_told_by_polling(
    live_db: None, processes: Processes, api: ApiCaller
) -> None:
    # O-02
    streams = Streams(processes, REDIS_URL="redis://127.0.0.1:1/0")
    # The process tells of its own trouble as well.
    with streams.open(api, "name=a.*") as response:
        found = blocks(response)
        begun(found)
        telemetry.publish("a.polled")

        assert [name for _, name in events(found, 1)] == ["a.polled"]
    assert telemetry.flush(10)


def test_stream__of_a_sink_that_is_set_back__tells_and_goes_on(
    streams: Streams, api: ApiCaller, owner_db: Connection
) -> None:
    # O-02: a backup was restored below a running process.
    telemetry.publish("a.first")
    with streams.open(api) as response:
        found = blocks(response)
        begun(found)
        telemetry.publish("a.second")
        assert telemetry.flush(10)
        assert events(found, 1)[0][1] == "a.second"
        # At once, as a backup comes back: what it holds falls into the gap.
        with owner_db.transaction():
            owner_db.execute("TRUNCATE jobs_telemetryevent RESTART IDENTITY")
            owner_db.execute(RESTORED)

        while "event" not in (told := next(found)):
            continue
        assert told["event"] == "gap"
        telemetry.publish("a.fourth")
        assert events(found, 1)[0][1] == "a.fourth"
