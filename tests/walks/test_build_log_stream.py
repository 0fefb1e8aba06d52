"""A build's log followed over HTTP from the process that streams, while a worker builds."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from django.db import connections

from flagship.management.embedded.home import free_port
from jobs.ids import parse_public_id
from jobs.telemetry.writer import REST_AFTER_S
from tests.asserts import wait_until
from tests.clients import ApiCaller
from tests.processes import Processes, Running
from tests.walks.test_build_walk import large_docs, make_project, submit, upload

Connection = psycopg.Connection[Any]


class Streams:
    """The process that streams."""

    def __init__(self, processes: Processes, **limits: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "granian", "--interface", "asginl", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--workers", "1", "--no-ws", "--http", "1"]
        self.process = processes.spawn([*command, "config.asgi:application"], env=limits)
        wait_until(self.is_up, 60, self.process.output)

    def is_up(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def events(self, api: ApiCaller, build_id: str, last_event_id: str = "") -> Iterator[str]:
        """Yield the events of a build's stream until it ends."""
        headers = {"Authorization": f"Bearer {api.secret}", "Accept": "text/event-stream"}
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        path = f"{self.url}{path_of(build_id)}"
        with httpx.stream("GET", path, headers=headers, timeout=60) as response:
            assert response.status_code == 200, response.read()
            block = ""
            for line in response.iter_lines():
                if line:
                    block += f"{line}\n"
                    continue
                yield block
                block = ""


def path_of(build_id: str) -> str:
    return f"/v1/streams/builds/{build_id}/log"


@pytest.fixture
def streams(live_db: None, processes: Processes) -> Streams:
    return Streams(processes, STREAMS_PER_KEY="20")


@pytest.fixture
def narrow_streams(live_db: None, processes: Processes) -> Streams:
    return Streams(processes, STREAMS_PER_KEY="2", STREAM_STALL_S="1")


def waiting_build(api: ApiCaller) -> str:
    """A build that nobody runs."""
    project = make_project(api, "Waiting")
    return str(submit(api, project, upload(api, project, large_docs(1))).json()["id"])


def numbers(events: list[str]) -> list[int]:
    """The sequence numbers of the lines."""
    return [int(e.split("\n")[0].removeprefix("id: ")) for e in events if "event: line" in e]


def test_stream__followed_cut_off_and_resumed__shows_every_line_once_and_ends(
    streams: Streams, processes: Processes, api: ApiCaller
) -> None:
    # B-05
    worker: Running = processes.start("rqworker")
    project = make_project(api, "Streamed", defaultBuilder="mkdocs")
    build_id = submit(api, project, upload(api, project, large_docs(30))).json()["id"]

    first: list[str] = []
    for event in streams.events(api, build_id):
        first.append(event)
        if numbers(first):
            break
    state = api.get(f"/v1/builds/{build_id}").json()["state"]
    assert state == "building", f"the first line came when it was {state}\n{worker.output()}"
    rest = list(streams.events(api, build_id, last_event_id=str(numbers(first)[-1])))

    log = api.get(f"/v1/builds/{build_id}/log?limit=1000").json()
    assert numbers(first + rest) == list(range(1, log["lastSeq"] + 1))
    told = [e.split("data: ")[1] for e in first + rest if "event: line" in e]
    assert [json.loads(line) for line in told] == log["items"]
    assert "event: end" in rest[-1]
    assert '"state": "deployed"' in rest[-1]


def test_stream__of_twenty_readers__is_served_by_a_pool_of_three_connections(
    live_db: None, processes: Processes, api: ApiCaller, owner_db: Connection
) -> None:
    # B-05: an open stream holds none, and a request gives its own back.
    streams = Streams(processes, STREAMS_PER_KEY="20", STREAMS_DB_CONNECTIONS="3")
    build_id = waiting_build(api)
    connections.close_all()  # Those of this process are counted too,
    time.sleep(2 * REST_AFTER_S)  # and what telemetry of the build was written on.
    opened = threading.Semaphore(0)

    def follow() -> None:
        for _ in streams.events(api, build_id):
            opened.release()

    readers = [threading.Thread(target=follow, daemon=True) for _ in range(20)]
    for reader in readers:
        reader.start()
    for _ in readers:
        assert opened.acquire(timeout=30)

    assert 1 <= connections_of(owner_db) <= 3
    api.post(f"/v1/builds/{build_id}/cancel")
    for reader in readers:
        reader.join(20)
        assert not reader.is_alive()


def connections_of(owner_db: Connection) -> int:
    row = owner_db.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'flagship'"
    ).fetchone()
    assert row
    return int(row[0])


def test_stream__without_a_key_or_of_another_organization__is_refused(
    streams: Streams, api: ApiCaller, issue_key: Any
) -> None:
    # F-01 P24
    path = f"{streams.url}{path_of(waiting_build(api))}"

    anonymous = httpx.get(path, timeout=10)
    foreign = httpx.get(path, headers={"Authorization": f"Bearer {issue_key().secret}"}, timeout=10)

    assert (anonymous.status_code, anonymous.json()["error"]) == (401, "UNAUTHENTICATED")
    assert (foreign.status_code, foreign.json()["error"]) == (404, "BUILD_NOT_FOUND")


def answer(streams: Streams, api: ApiCaller, path: str) -> tuple[int, str]:
    """Ask for a stream and leave; return the status, and what is refused with."""
    headers = {"Authorization": f"Bearer {api.secret}"}
    with httpx.stream("GET", f"{streams.url}{path}", headers=headers, timeout=60) as response:
        if response.status_code == 200:
            return 200, ""
        return response.status_code, str(json.loads(response.read())["error"])


def stall(streams: Streams, api: ApiCaller, path: str) -> socket.socket:
    """Open a stream, read its beginning and then nothing more."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", streams.port))
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.secret}"
    connection.sendall(f"{head}\r\n\r\n".encode())
    got = b""
    while b"retry: 1000" not in got:
        more = connection.recv(1024)
        assert more, got
        got += more
    return connection


def test_stream__one_more_than_a_key_may_have__is_refused_until_one_closes(
    narrow_streams: Streams, api: ApiCaller, issue_key: Any
) -> None:
    # B-05: of builds and of telemetry together.
    path, refused = path_of(waiting_build(api)), (429, "TOO_MANY_STREAMS")
    kept = [stall(narrow_streams, api, path), stall(narrow_streams, api, "/api/telemetry/stream")]

    assert answer(narrow_streams, api, path) == refused
    assert answer(narrow_streams, api, "/api/telemetry/stream") == refused
    other = issue_key()
    assert answer(narrow_streams, other, path_of(waiting_build(other))) == (200, "")

    kept[0].close()
    wait_until(lambda: answer(narrow_streams, api, path) == (200, ""), 20)
    kept[1].close()


def test_stream__whose_reader_does_not_read__is_cut_off(
    narrow_streams: Streams, api: ApiCaller, owner_db: Connection
) -> None:
    # B-05: its place is free again, and the process has not kept what nobody takes.
    build_id = waiting_build(api)
    path = path_of(build_id)
    stalled = [stall(narrow_streams, api, path) for _ in range(2)]
    assert answer(narrow_streams, api, path)[0] == 429

    # More than the kernel keeps for a reader.
    owner_db.execute(
        "INSERT INTO builds_buildlogline (build_id, seq, stream, text)"
        " SELECT %s, n, 'stdout', repeat('x', 20000) FROM generate_series(1, 600) AS n",
        [parse_public_id("build", build_id)],
    )

    wait_until(
        lambda: answer(narrow_streams, api, path)[0] == 200, 60, narrow_streams.process.output
    )
    for connection in stalled:
        connection.close()
