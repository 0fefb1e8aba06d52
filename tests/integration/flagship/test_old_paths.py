"""The seeds' own paths answer as their successors do, and say that they have some."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from django.conf import settings
from django.urls import URLPattern, resolve

from jobs.api.urls import ROUTES
from jobs.models import Job
from tests.clients import ApiCaller

pytestmark = pytest.mark.django_db

PROBE = {"kind": "jobs.probe", "payload": {"note": "drill"}}
OWN = {"x-request-id", "x-correlation-id", "x-processing-time-ms", "RateLimit"}
SAID = {"Deprecation", "Sunset", "Link"}


def seen(response: Any) -> tuple[int, bytes, dict[str, str]]:
    """Return what a client sees, without what is each request's own."""
    headers = {k: v for k, v in response.headers.items() if k not in OWN | SAID}
    return response.status_code, response.content, headers


@pytest.mark.parametrize(
    "path", ["jobs", "jobs?limit=1", "jobs/kinds", "telemetry", "worker/health", "queues"]
)
def test_old_path__asked__answers_as_its_successor_and_names_it(api: ApiCaller, path: str) -> None:
    # W-15, O-02, O-03; seeds 003 and 004
    old, new = api.get(f"/api/{path}"), api.get(f"/v1/{path}")

    assert seen(old) == seen(new)
    assert new.status_code < 400
    assert not SAID & new.headers.keys()
    assert old.headers["Deprecation"] == f"@{int(settings.OLD_PATHS_DEPRECATED_AT.timestamp())}"
    assert parsedate_to_datetime(old.headers["Sunset"]) == settings.OLD_PATHS_SUNSET_AT
    assert old.headers["Link"].startswith(f'</v1/{path}>; rel="successor-version", ')
    assert '</v1/docs>; rel="deprecation"' in old.headers["Link"]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_old_path__of_each_route__is_the_view_of_its_successor(route: URLPattern) -> None:
    # F-01: whom a key lets in cannot depend on the path.
    path = re.sub(r"<\w+:\w+>", "x", str(route.pattern))

    old, new = resolve(f"/api/{path}"), resolve(f"/v1/{path}")

    assert old.func is new.func
    assert old.func is route.callback


def test_old_path__refusing__says_it_as_well(api: ApiCaller) -> None:
    for response, status in (
        (api.get("/api/jobs/job_nothing"), 404),
        (api.get("/api/telemetry/stream?after=x"), 422),
        (api.put("/api/jobs", {}), 405),
        (api.post("/api/jobs", b"x" * (1024 * 1024 + 1)), 413),
        (api.get("/api/jobs", headers={"Authorization": "Bearer x"}), 401),
    ):
        assert response.status_code == status
        assert response.headers.keys() >= SAID
    assert not SAID & api.get("/api/nothing").headers.keys()


def test_job__made_at_either_path__is_one_under_one_key(api: ApiCaller) -> None:
    # E-01, W-15: a client that moves to the successor in the middle of a retry.
    key = "moved-in-the-middle-0001"
    first = api.post("/api/jobs", PROBE, key=key)
    again = api.post("/v1/jobs", PROBE, key=key)

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.content == first.content
    assert again.headers["Idempotency-Replayed"] == "true"
    assert first.headers["Location"] == f"/v1/jobs/{first.json()['id']}"
    assert Job.objects.count() == 1


def test_link__of_an_odd_address__is_a_safe_one(api: ApiCaller) -> None:
    response = api.get("/api/jobs/%3E%22%0d%0a?a=%3E,<x>")

    assert response.headers["Link"].split(";")[0] == "</v1/jobs/%3E%22%0D%0A?a=%3E,%3Cx%3E>"
