"""The four headers on every answer of every route there is (E-04)."""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.signals import request_finished
from django.db import close_old_connections
from django.test import AsyncClient, Client
from django.urls import URLPattern, URLResolver, get_resolver

from jobs.models import Job
from jobs.trace import Trace, TraceFilter, bind_trace
from tests.clients import ApiCaller
from tests.integration.console.world import make_world
from tests.soak import full

FOUR = ("x-request-id", "x-correlation-id", "x-worker-version", "x-processing-time-ms")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW")
ONE = str(uuid.UUID(int=1))
ARGUMENTS = {"uuid": ONE, "int": "1", "path": "some/where", "str": "x" * 8, "slug": "x"}
PARTS = re.compile(r"<(?:(\w+):)?(\w+)>")


def addresses(entries: list[Any] | None = None, prefix: str = "") -> Iterator[str]:
    """Yield an address of every route in the URLconf, its arguments filled in."""
    for entry in get_resolver().url_patterns if entries is None else entries:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from addresses(entry.url_patterns, route)
        elif isinstance(entry, URLPattern):
            yield "/" + _filled(route)


def _filled(route: str) -> str:
    """Fill in a route's arguments; the console's few regular expressions are read as paths."""
    plain = re.sub(r"\(\?P<\w+>[^)]*\)", "x", route).replace("^", "").replace("$", "")
    return PARTS.sub(lambda part: ARGUMENTS[part[1] or "str"], plain).replace("\\", "")


WALKED = sorted(set(addresses()))
OUTSIDE = (
    *("/static/jobs/console.css", "/static/nothing.css", "/nothing", "/v1/nothing", "/admin/no"),
    *("/admin", "/sites/x", "/v1/%00", "/%ff"),
)


def missing(response: Any) -> list[str]:
    """Name the headers an answer lacks."""
    lacks = [name for name in FOUR if not response.headers.get(name)]
    if not response.headers.get("x-processing-time-ms", "").isdigit():
        lacks.append("x-processing-time-ms is no number")
    if response.streaming:
        # As the test client does for others: the end of a request would close the test's database.
        request_finished.disconnect(close_old_connections)
        response.close()
        request_finished.connect(close_old_connections)
    return lacks


def test_walk__of_the_urlconf__finds_what_is_known_to_be_there() -> None:
    assert len(WALKED) > 100
    assert {"/healthz", "/v1/errors", "/api/jobs", "/admin/login/", "/v1/builds"} <= set(WALKED)
    assert any("stream" in address for address in WALKED)


@pytest.mark.django_db
@pytest.mark.parametrize("method", METHODS)
def test_headers__of_every_route__are_on_every_answer(api: ApiCaller, method: str) -> None:
    # E-04: strangers, clients and operators; whatever the status. GET asks for every address, each
    # other method for a third of them, another one in turn; the soak for all.
    operator = Client(raise_request_exception=False)
    operator.force_login(User.objects.create_superuser("root"))
    known = {"Authorization": f"Bearer {api.secret}", "Idempotency-Key": "k" * 20}
    lacking, seen = {}, set()
    place, apart = METHODS.index(method), 1 if method == "GET" else full(3, 1)
    for address in (*WALKED, *OUTSIDE)[place % apart :: apart]:
        for client, headers in ((api.client, {}), (api.client, known), (operator, {})):
            response = client.generic(method, address, headers=headers)
            seen.add(response.status_code)
            if lacks := missing(response):
                lacking[f"{method} {address}"] = lacks

    assert lacking == {}
    assert len(seen) >= 3
    assert not {status for status in seen if status >= 500}


def test_headers__under_asgi__are_on_every_answer(live_db: None) -> None:
    # E-04: the process that streams answers all other routes too.
    async def walk() -> dict[str, list[str]]:
        client = AsyncClient(raise_request_exception=False)
        found = {address: await client.get(address) for address in (*WALKED, *OUTSIDE)}
        return {address: lacks for address, answer in found.items() if (lacks := missing(answer))}

    assert asyncio.run(walk()) == {}


def test_headers__of_every_page_with_rows__are_there(admin_client: Client) -> None:
    make_world()
    for address in WALKED:
        if re.fullmatch(r"/admin/\w+/\w+/", address):
            response = admin_client.get(address)
            assert (response.status_code, missing(response)) == (200, []), address


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("method", "path", "headers", "settings_", "status"),
    [
        ("POST", "/api/jobs", {"CONTENT_LENGTH": "9" * 12}, {}, 413),
        ("POST", "/api/jobs", {"HTTP_TRANSFER_ENCODING": "chunked"}, {}, 411),
        ("POST", "/api/jobs", {"HTTP_CONTENT_ENCODING": "gzip"}, {}, 415),
        ("POST", "/v1/builds", {}, {}, 400),  # no Idempotency-Key
        ("GET", "/v1/errors", {}, {"RATE_LIMIT_IP": "1/600"}, 429),
        ("GET", "/v1/errors", {}, {"ALLOWED_HOSTS": ["other.example"]}, 400),
        ("GET", "/v1/errors", {}, {"SECURE_SSL_REDIRECT": True}, 301),
    ],
)
def test_headers__of_what_a_middleware_answers__are_there(
    api: ApiCaller,
    settings: Any,
    valkey: Any,
    method: str,
    path: str,
    headers: dict[str, str],
    settings_: dict[str, Any],
    status: int,
) -> None:
    for name, value in settings_.items():
        setattr(settings, name, value)
    client, known = Client(raise_request_exception=False), f"Bearer {api.secret}"
    if status == 429:
        client.get(path)

    response = client.generic(method, path, HTTP_AUTHORIZATION=known, **headers)  # type: ignore[arg-type]

    assert (response.status_code, missing(response)) == (status, [])


def test_forged_form__refused_by_csrf__has_the_headers(db: None) -> None:
    client = Client(enforce_csrf_checks=True)

    response = client.post("/admin/login/", {"username": "x", "password": "y"})

    assert (response.status_code, missing(response)) == (403, [])


@pytest.mark.django_db
def test_ids__that_came_in__are_logged_and_passed_to_the_job(api: ApiCaller, caplog: Any) -> None:
    # E-04, O-06
    ids = {"x-request-id": "req-of-ours", "x-correlation-id": "nextjs_1735689600000_a1b2c3d4"}
    caplog.handler.addFilter(TraceFilter())
    with caplog.at_level(logging.INFO, "flagship.requests"):
        answer = api.post("/api/jobs", {"kind": "jobs.probe", "payload": {}}, headers=ids)

    assert answer.status_code == 202
    job = Job.objects.get()
    assert (job.request_id, job.correlation_id) == tuple(ids.values())
    line = next(record for record in caplog.records if record.name == "flagship.requests")
    assert line.message.startswith("request.answered POST /api/jobs 202 ")
    assert line.trace == (" request_id=req-of-ours correlation_id=nextjs_1735689600000_a1b2c3d4")


@pytest.mark.django_db
def test_log__of_a_request__is_one_line_whatever_its_path(client: Client, caplog: Any) -> None:
    with caplog.at_level(logging.DEBUG, "flagship.requests"):
        client.get("/v1/%0a%0dERROR%20forged?secret=hidden")
        client.get("/healthz")

    lines = [record.getMessage() for record in caplog.records if record.name == "flagship.requests"]
    assert [line.rsplit(" ", 2)[0] for line in lines] == [
        "request.answered GET /v1/%0A%0DERROR%20forged 404",
        "request.answered GET /healthz 200",
    ]


def test_log_line__outside_of_any_request__names_no_ids() -> None:
    record = logging.LogRecord("x", logging.INFO, "x", 1, "text", None, None)

    assert TraceFilter().filter(record)
    assert record.trace == ""  # type: ignore[attr-defined]
    with bind_trace(Trace("r", "")):
        TraceFilter().filter(record)
    assert record.trace == " request_id=r"  # type: ignore[attr-defined]
