"""How often a request goes to PostgreSQL and to Valkey, counted between them and a real server."""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
import psycopg
import pytest

from bench.jobs.proxy import CountingProxy
from flagship.management.embedded.home import free_port
from tests.clients import ApiCaller, make_client
from tests.processes import Processes, wait_until
from tests.servers import Servers
from tests.signing import Signer, make_signer

REQUESTS = 5


@dataclass(slots=True)
class Counted:
    """A server of one thread, behind proxies that count what it asks others for."""

    url: str
    caller: ApiCaller
    postgres: CountingProxy
    valkey: CountingProxy

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str = "",
        signer: Signer | None = None,
    ) -> httpx.Response:
        """Send one request, a mutating one with an Idempotency-Key; signed, or with the API key."""
        url, raw = f"{self.url}{path}", b"" if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if raw else {}
        if method != "GET":
            headers["Idempotency-Key"] = key = key or f"key-{uuid.uuid4().hex}"
        if signer is None:
            headers["Authorization"] = f"Bearer {self.caller.secret}"
        else:
            media = headers.get("Content-Type", "")
            headers |= signer.headers(method, url, raw, content_type=media, key=key)
        return httpx.request(method, url, headers=headers, content=raw, timeout=10, trust_env=False)

    def trips(
        self, method: str, path: str, body: Any = None, signer: Signer | None = None
    ) -> tuple[float, float, float]:
        """Return PostgreSQL's round trips and statements, and Valkey's trips, of one request.

        What begins or ends a transaction is no statement. Medians of a few requests: an
        organization's own limits are read once in two seconds.
        """
        for _ in range(2):  # Plans are made, the key's last use is stamped.
            self._ask_well(method, path, body, signer)
        counts = []
        for _ in range(REQUESTS):
            postgres, valkey = self.postgres.now(), self.valkey.now()
            self._ask_well(method, path, body, signer)
            asked = self.postgres.now().since(postgres)
            calls = self.valkey.now().since(valkey).trips
            counts.append((asked.trips, asked.statements - asked.bounds, calls))
        trips, statements, calls_made = zip(*counts, strict=True)
        return median(trips), median(statements), median(calls_made)

    def _ask_well(self, method: str, path: str, body: Any, signer: Signer | None) -> None:
        if body and "name" in body:
            body = {**body, "name": uuid.uuid4().hex}
        response = self.ask(method, path, body, signer=signer)
        assert response.status_code < 300, response.text


@contextmanager
def counted(processes: Processes, caller: ApiCaller, settings: str) -> Iterator[Counted]:
    with ExitStack() as stack:
        postgres = stack.enter_context(CountingProxy(_port(os.environ["DATABASE_URL"]), "postgres"))
        valkey = stack.enter_context(CountingProxy(_port(os.environ["REDIS_URL"]), "redis"))
        port = free_port()
        command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--http", "1"]
        command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--no-ws"]
        command += ["--blocking-threads", "1", "config.wsgi:application"]
        running = processes.spawn(
            command,
            env={
                "DJANGO_SETTINGS_MODULE": settings,
                "FLAGSHIP_SECRET_KEY": "only-for-tests-" + "x" * 40,
                "DATABASE_URL": _through(os.environ["DATABASE_URL"], postgres.port),
                "REDIS_URL": _through(os.environ["REDIS_URL"], valkey.port),
            },
        )
        wait_until(lambda: _answers(port), 60, running.output)
        yield Counted(f"http://127.0.0.1:{port}", caller, postgres, valkey)
        running.kill()
        running.wait()


@pytest.fixture
def caller(live_db: None, valkey: Any) -> ApiCaller:
    return make_client()


RESERVE = {"buildId": "build_1", "estimatedCredits": 1, "userId": "user_1"}


# E-01, E-10
def test_stack__of_the_edge__costs_two_statements_and_one_call_of_redis(
    caller: ApiCaller, processes: Processes
) -> None:
    asked: dict[str, tuple[Any, ...]] = {
        "reserve": ("POST", "/v1/credits/reserve", RESERVE),
        "project": ("POST", "/v1/projects", {"name": "x"}),
        "account": ("GET", "/v1/credits/account"),
        "builds": ("GET", "/v1/builds"),
        "errors": ("GET", "/v1/errors/NOT_FOUND"),
    }
    with counted(processes, caller, "config.settings") as server:
        stack = {name: server.trips(*each) for name, each in asked.items()}
    with counted(processes, caller, "bench.api.bare") as server:
        bare = {name: server.trips(*each) for name, each in asked.items()}
    print(stack, bare)
    # What is public asks nobody's name. Of the others: the check, and the view's.
    assert bare.pop("errors") == (0, 0, 0)
    assert stack.pop("errors") == (0, 0, 1)
    assert min(statements for _, statements, _ in bare.values()) >= 2

    more = {
        name: tuple(round(ours - own, 2) for ours, own in zip(stack[name], bare[name], strict=True))
        for name in bare
    }
    # Confirming the caller comes in place of Django's check of the connection. Every request has
    # its transaction: whose rows it sees goes with BEGIN, as the confirmation does, and a
    # mutation's claim; its answer goes with COMMIT.
    for name, (trips, statements, redis_calls) in more.items():
        is_mutation = asked[name][0] == "POST"
        assert statements <= (2 if is_mutation else 0), (name, more)
        assert redis_calls <= 1, (name, more)
        assert trips <= 1, (name, more)


# E-06, E-10
def test_signature__of_a_write__costs_a_look_up_and_that_of_a_read_a_row_more(
    caller: ApiCaller, processes: Processes
) -> None:
    signer = make_signer(make_client(organization=caller.organization).api_key)
    asked: dict[str, tuple[str, str, Any]] = {
        "write": ("POST", "/v1/credits/reserve", RESERVE),
        "read": ("GET", "/v1/credits/account", None),
    }
    with counted(processes, caller, "config.settings") as server:
        plain = {name: server.trips(*each) for name, each in asked.items()}
        signed = {name: server.trips(*each, signer=signer) for name, each in asked.items()}
    print(plain, signed)

    # Who signs is looked up, not confirmed with BEGIN: a statement and a trip. The nonce of a write
    # is taken by the statement that takes its key; that of a read by one of its own, between a
    # BEGIN and a COMMIT of its own.
    trips, statements, redis_calls = plain["write"]
    assert signed["write"] == (trips + 1, statements + 1, redis_calls)
    trips, statements, redis_calls = plain["read"]
    assert signed["read"] == (trips + 4, statements + 1, redis_calls)


# E-01
def test_replay__is_read_from_postgresql_once_and_from_redis_after_that(
    caller: ApiCaller, processes: Processes
) -> None:
    with counted(processes, caller, "config.settings") as server:
        server.ask("POST", "/v1/credits/reserve", RESERVE)  # Opens the connections.
        told = []
        for _ in range(4):
            postgres, valkey = server.postgres.now(), server.valkey.now()
            response = server.ask("POST", "/v1/credits/reserve", RESERVE, key="key-of-a-build-1")
            assert response.status_code == 201
            asked = server.postgres.now().since(postgres)
            told.append((asked.trips, server.valkey.now().since(valkey).trips))

    print(told)
    # One is for the limits. The first replay opens a connection and fills the cache; those behind
    # it find it filled: all that is left for PostgreSQL is the API key's row.
    assert [trips for _, trips in told] == [1, 3, 2, 2]
    assert [trips for trips, _ in told[2:]] == [1, 1]


# O-01
def test_connection__that_died_between_requests__costs_no_request(
    caller: ApiCaller, processes: Processes, servers: Servers
) -> None:
    with counted(processes, caller, "config.settings") as server:
        assert server.ask("GET", "/v1/credits/account").status_code == 200
        with psycopg.connect(servers.superuser_url(), autocommit=True) as operator:
            ended = operator.execute(
                "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
                " WHERE application_name = 'flagship' AND datname = current_database()"
            ).fetchone()
        assert ended and ended[0] > 0

        assert server.ask("GET", "/v1/credits/account").status_code == 200
        assert server.ask("POST", "/v1/credits/reserve", RESERVE).status_code == 201


def _answers(port: int) -> bool:
    try:
        url = f"http://127.0.0.1:{port}/healthz"
        return httpx.get(url, timeout=2, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def _through(url: str, port: int) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition(":")[0] + f":{port}"))
