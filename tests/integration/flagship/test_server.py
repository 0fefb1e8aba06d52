"""The edge behind the real servers, byte by byte (E-02, E-04, P31, P32)."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from flagship.management.embedded.home import free_port
from flagship.models import IdempotencyRecord
from jobs.models import Job
from tests.clients import ApiCaller
from tests.integration.flagship.conftest import new_caller
from tests.processes import Processes, wait_until

FOUR = ("x-request-id", "x-correlation-id", "x-worker-version", "x-processing-time-ms")
PROBE = b'{"kind": "jobs.probe", "payload": {}}'


def start(processes: Processes, interface: str, **env: str) -> int:
    """Start a server of the interface; return its port once it answers."""
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", interface, "--http", "1"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--no-ws"]
    module = "config.wsgi" if interface == "wsgi" else "config.asgi"
    running = processes.spawn([*command, f"{module}:application"], env=env)

    def is_up() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    wait_until(is_up, 60, running.output)
    return port


@pytest.fixture(params=["wsgi", "asginl"])
def port(request: pytest.FixtureRequest, live_db: None, processes: Processes) -> int:
    return start(processes, request.param)


@pytest.fixture
def caller(live_db: None) -> ApiCaller:
    return new_caller()


def exchange(port: int, head: str, body: bytes = b"", *, shut: bool = False) -> Any:
    """Send raw bytes; return status, headers and body of the answer (status 0: none)."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body)
        if shut:
            connection.shutdown(socket.SHUT_WR)
        raw = b"".join(received(connection))
    top, _, content = raw.partition(b"\r\n\r\n")
    lines = top.decode("latin-1").split("\r\n")
    headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}
    return int(lines[0].split(" ")[1]) if raw else 0, headers, content


def received(connection: socket.socket) -> Iterator[bytes]:
    try:
        while chunk := connection.recv(65536):
            yield chunk
    except (ConnectionResetError, TimeoutError):
        return


def head(method: str, path: str, caller: ApiCaller, *more: str) -> str:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
    return "\n".join([*lines, f"Authorization: Bearer {caller.secret}", *more])


def test_answers__of_a_real_server__have_envelope_and_headers(port: int, caller: ApiCaller) -> None:
    # E-02, E-04: both interfaces, pages and streams included
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", verify=False) as client:
        for method, path, status in (
            ("GET", "/healthz", 200),
            ("GET", "/v1/errors", 200),
            ("GET", "/v1/nothing", 404),
            ("POST", "/v1/errors", 405),
            ("GET", "/v1/audit-events", 401),
            ("GET", "/v1/streams/builds/build_x/log", 401),
            ("GET", "/admin/login/", 200),
            ("GET", "/admin/nothing", 302),
            ("GET", "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui.css", 200),
            ("GET", "/nothing", 404),
        ):
            response = client.request(method, path)
            assert response.status_code == status, (path, response.text)
            assert all(response.headers[name] for name in FOUR), path
            assert int(response.headers["x-processing-time-ms"]) < 10_000
            if status >= 400:
                assert response.json()["requestId"] == response.headers["x-request-id"]


def test_stream__while_it_is_open__has_had_its_headers(
    live_db: None, processes: Processes, caller: ApiCaller
) -> None:
    # E-04, E-07: the answer has begun and does not end.
    port = start(processes, "asginl")
    ids = {"x-request-id": "req-of-a-stream", "x-correlation-id": "reader-7"}
    headers = {"Authorization": f"Bearer {caller.secret}", **ids}
    url = f"http://127.0.0.1:{port}/api/telemetry/stream"
    with httpx.stream("GET", url, headers=headers, timeout=30, verify=False) as response:
        assert response.status_code == 200
        assert next(response.iter_lines()).startswith("retry:")
        assert {name: response.headers[name] for name in ids} == ids
        assert all(response.headers[name] for name in FOUR)
        assert '"key";r=' in response.headers["RateLimit"]


def test_body__larger_than_allowed__is_refused_before_it_is_sent(
    port: int, caller: ApiCaller
) -> None:
    # E-08: the client has sent its head only.
    sent = head("POST", "/api/jobs", caller, "Content-Type: application/json",
                "Content-Length: 1073741824")  # fmt: skip
    started = time.monotonic()

    status, headers, body = exchange(port, sent)

    assert (status, json.loads(body)["error"]) == (413, "PAYLOAD_TOO_LARGE")
    assert all(headers[name] for name in FOUR)
    assert time.monotonic() - started < 5


def test_body__in_chunks__is_refused(port: int, caller: ApiCaller) -> None:
    sent = head("POST", "/api/jobs", caller, "Content-Type: application/json",
                "Transfer-Encoding: chunked")  # fmt: skip
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(PROBE), PROBE)

    status, _, body = exchange(port, sent, chunked)

    assert (status, json.loads(body)["error"]) == (411, "LENGTH_REQUIRED")
    assert Job.objects.count() == 0


def test_body__cut_off__makes_nothing(port: int, caller: ApiCaller) -> None:
    sent = head("POST", "/api/jobs", caller, "Content-Type: application/json",
                "Content-Length: 100", "Idempotency-Key: cut-off-on-its-way")  # fmt: skip

    status, _, _ = exchange(port, sent, PROBE, shut=True)

    assert status in {0, 400}  # Nobody may be left to read it.
    assert (Job.objects.count(), IdempotencyRecord.objects.count()) == (0, 0)


@pytest.mark.parametrize(
    "bad",
    [
        "GET /v1/%00%ff HTTP/1.1\nHost: localhost",
        "GET /v1/errors?%00=%ff%fe HTTP/1.1\nHost: localhost",
        "GET /v1/errors HTTP/1.1\nHost: \xff\xfe",
        "GET /v1/errors HTTP/1.1\nHost: localhost\nx-request-id: \xff\xfe\x80",
        "GET /v1/audit-events HTTP/1.1\nHost: localhost\nAuthorization: Bearer \xff",
        "GET /v1/audit-events HTTP/1.1\nHost: localhost\nAuthorization: \xe4\xb8\xad",
        "POST /api/jobs HTTP/1.1\nHost: localhost\nContent-Length: 0\nIdempotency-Key: \xff",
        "BREW /v1/errors HTTP/1.1\nHost: localhost",
        "TRACE /v1/errors HTTP/1.1\nHost: localhost",
        "GET //v1//errors HTTP/1.1\nHost: localhost",
        "GET /v1/../admin/ HTTP/1.1\nHost: localhost",
        "GET /v1/errors HTTP/1.1\nHost: localhost\nAccept: \xff/\xff;q=x",
        "GET /v1/errors?format=\xff HTTP/1.1\nHost: localhost",
        "GET /v1/audit-events?limit=1&limit=2 HTTP/1.1\nHost: localhost",
        "GET /v1/errors HTTP/1.1\nHost: localhost\nCookie: sessionid=\xff; csrftoken=\x01",
        "GET /v1/errors HTTP/1.1\nHost: localhost\nContent-Type: \xff; charset=nothing",
        "GET /v1/errors HTTP/1.1\nHost: localhost\nContent-Type: a/b; x*=nothing''y",
        "GET /v1/errors HTTP/1.1\nHost: localhost\nAccept: a/b; x*=nothing''y",
        "POST /api/jobs HTTP/1.1\nHost: localhost\nContent-Type: multipart/form-data\n"
        "Content-Length: 0",
        "GET /" + "x" * 20_000 + " HTTP/1.1\nHost: localhost",
        "GET /v1/errors HTTP/1.1\nHost: localhost\nX-Long: " + "x" * 60_000,
    ],
)
def test_request__of_odd_bytes__never_is_a_server_error(
    odd_port: int, caller: ApiCaller, bad: str
) -> None:
    # P31
    status, headers, body = exchange(odd_port, f"{bad}\nConnection: close")

    assert 200 <= status < 500, body
    if "x-request-id" in headers and status >= 400:
        assert json.loads(body)["error"]


@pytest.fixture(scope="module")
def odd_port(django_db_setup: None, servers: Any, tmp_path_factory: Any) -> Iterator[int]:
    """A server shared by the odd requests, which change nothing."""
    from tests.conftest import ROOT

    running = Processes(ROOT, tmp_path_factory.mktemp("odd"))
    yield start(running, "wsgi")
    running.close()


def test_readiness__without_database_or_redis__names_what_is_missing(
    live_db: None, processes: Processes
) -> None:
    # O-01: the API starts without them.
    nobody = "127.0.0.1:1"
    for env, checks in (
        ({"DATABASE_URL": f"postgresql://a:b@{nobody}/x"}, {"database": False, "redis": True}),
        ({"REDIS_URL": f"redis://{nobody}/0"}, {"database": True, "redis": False}),
    ):
        lame = start(processes, "wsgi", **env)
        response = httpx.get(f"http://127.0.0.1:{lame}/readyz", timeout=10)

        assert (response.status_code, response.json()["error"]) == (503, "NOT_READY")
        assert response.json()["data"] == {"checks": checks}
        keyed = {"Authorization": f"Bearer fs_{'a' * 12}_{'0' * 64}"}
        answer = httpx.get(f"http://127.0.0.1:{lame}/v1/audit-events", headers=keyed, timeout=10)
        assert answer.status_code == (401 if checks["database"] else 503)


def test_readiness__with_both__is_ready(port: int) -> None:
    response = httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=10)

    assert (response.status_code, response.json()["status"]) == (200, "ready")
