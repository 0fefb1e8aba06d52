"""Workers at the console: who is there, who is silent, what each has in hand (O-03)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from jobs.ids import public_id
from jobs.models import WorkerHeartbeat
from jobs.services.heartbeats import WorkerFacts, beat, farewell
from tests.integration.console.rows import browser_of, make_operator
from tests.integration.jobs.rows import make_job

pytestmark = pytest.mark.django_db
LIST = "/admin/jobs/workerheartbeat/"
NAME = "web_1:4711:3fa2b1"


@pytest.fixture
def viewer() -> Client:
    """May look at workers and jobs."""
    return browser_of(make_operator("jobs.view_workerheartbeat", "jobs.view_job"))


def run(query: tuple[str, dict[str, Any]]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(*query)


@pytest.fixture(autouse=True)
def workers() -> None:
    """One that works, one that is silent, one that has left."""
    run(beat(WorkerFacts(NAME, "web_1", 4711, "worker", ("a", "b"), 100, 3, 7, 61_000_000, "0.1")))
    run(beat(WorkerFacts("silent", "web-2", 5, "worker")))
    run(beat(WorkerFacts("left", "web-3", 6, "worker")))
    run(farewell("left"))
    WorkerHeartbeat.objects.filter(name="silent").update(
        beat_at=datetime.now(UTC) - timedelta(seconds=121)
    )


def names(client: Client, query: str = "") -> set[str]:
    """Who is listed, with the state that is shown."""
    page = client.get(f"{LIST}{query}").content.decode()
    rows = re.findall(r"<tbody.*?</tbody>", page, re.DOTALL)
    return {
        f"{name} {state}"
        for row in rows
        for name in (NAME, "silent", "left")
        for state in ("alive", "stale", "stopped")
        if f">{name}<" in row and re.search(rf">\s*{state}\s*<", row)
    }


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", {f"{NAME} alive", "silent stale"}),
        ("?state=stale", {"silent stale"}),
        ("?state=stopped", {"left stopped"}),
        ("?state=all", {f"{NAME} alive", "silent stale", "left stopped"}),
    ],
)
def test_workers__listed__are_those_asked_for(viewer: Client, query: str, shown: set[str]) -> None:
    # O-03
    assert names(viewer, query) == shown


def test_worker__on_its_page__shows_the_jobs_in_its_hands(viewer: Client) -> None:
    # O-03
    mine = make_job("running", lease_owner=NAME)
    other = make_job("running", lease_owner="silent")

    listed = viewer.get(LIST).content.decode()
    address = re.search(r'href="(/admin/jobs/workerheartbeat/web[^"]*/change/)', listed)
    assert address is not None
    page = viewer.get(address[1]).content.decode()

    assert public_id("job", mine.id) in page and public_id("job", other.id) not in page
    assert "3 of 100" in page and "61 MB" in page and "a, b" in page
