"""The live log: what it shows, narrowed down, and how it goes on (O-02, O-09)."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from flagship.services.organizations import create_organization
from jobs import telemetry
from jobs.admin import live
from jobs.models import TelemetryEvent
from tests.integration.console.rows import browser_of, make_operator

LIST = "/admin/jobs/telemetryevent/"
BUILD = "build_" + "0" * 31 + "1"


@pytest.fixture
def viewer(db: None) -> Client:
    """May look at the log; nothing is in it."""
    assert telemetry.flush(10)
    TelemetryEvent.objects.all().delete()
    return browser_of(make_operator("jobs.view_telemetryevent"))


def tell(name: str, organization_id: uuid.UUID | None = None, **more: Any) -> int:
    """Let something have happened; returns its number."""
    row = TelemetryEvent.objects.create(
        key=uuid.uuid4(),
        name=name,
        at=datetime.now(UTC),
        organization_id=organization_id,
        source=more.pop("source", "web-1:1:a"),
        request_id=more.pop("request_id", ""),
        data=more,
    )
    return row.sequence


def read(client: Client, query: str = "", *, path: str = "") -> tuple[list[str], int]:
    """The names that are shown, the oldest first, and where to go on from."""
    response = client.get(f"{LIST}{path}?{query}")
    assert response.status_code == 200, response.content
    page = response.content.decode()
    reached = re.search(r'data-reached="(\d+)"', page)
    assert reached is not None
    return re.findall(r"fs-event-name[^>]*>([^<]*)<", page), int(reached[1])


def tail(client: Client, after: int, query: str = "") -> tuple[list[str], int]:
    """What came behind an event."""
    return read(client, f"{query}&after={after}", path="tail/")


def test_log__opened__ends_with_what_happened_last(viewer: Client) -> None:
    # O-09
    tell("worker.started", worker="web-1:4711:a")
    last = tell("job.dead", kind="<b>bold</b>")

    names, reached = read(viewer)
    page = viewer.get(LIST).content.decode()

    assert (names, reached) == (["worker.started", "job.dead"], last)
    assert "&lt;b&gt;bold" in page and "<b>bold" not in page
    assert "/admin/jobs/workerheartbeat/web-1_3A4711_3Aa/change/" in page


def test_log__followed__brings_each_event_once_and_in_order(viewer: Client) -> None:
    # O-02: resumable from wherever one was
    start = tell("a.first")
    numbers = [tell("a.second"), tell("a.third")]

    names, reached = tail(viewer, start)

    assert (names, reached) == (["a.second", "a.third"], numbers[-1])
    assert tail(viewer, reached) == ([], reached)
    assert tail(viewer, numbers[0])[0] == ["a.third"]


def test_log__from_an_address__begins_behind_that_event(viewer: Client) -> None:
    # O-02
    start = tell("a.first")
    tell("a.second")

    assert read(viewer, f"after={start}")[0] == ["a.second"]


def test_log__narrowed_down__shows_what_matches_and_passes_over_the_rest(viewer: Client) -> None:
    # O-02
    mine = create_organization(name="Acme Bakery")
    tell("build.started", mine.id, buildId=BUILD)
    tell("build.failed", buildId="build_2", source="web-2:2:b")
    tell("worker.stale", worker="web-2:2:b")
    last = tell("job.dead", request_id="req_1")

    expected = {
        "name=build.*": ["build.started", "build.failed"],
        "name=job.dead": ["job.dead"],
        "organization=acme": ["build.started"],
        "organization=nobody": [],
        f"about={BUILD}": ["build.started"],
        "about=web-2:2:b": ["build.failed", "worker.stale"],
        "about=req_1": ["job.dead"],
        f"name=worker.*&about={BUILD}": [],
    }
    for query, names in expected.items():
        assert read(viewer, query) == (names, last), query
        assert tail(viewer, 0, query)[0] == names, query


def test_log__with_more_than_one_piece__says_so_and_misses_none(
    viewer: Client, monkeypatch: Any
) -> None:
    # O-02
    monkeypatch.setattr(live, "AT_ONCE", 2)
    start = tell("a.x0")
    expected = [f"a.x{number}" for number in range(1, 6)]
    for name in expected:
        tell(name)

    found, position, rounds = [], start, 0
    while "data-full" in viewer.get(f"{LIST}tail/?after={position}").content.decode() or not rounds:
        names, position = tail(viewer, position)
        found += names
        rounds += 1
    found += tail(viewer, position)[0]

    assert found == expected


def test_log__asked_for_what_is_gone__says_that_it_is(viewer: Client) -> None:
    # O-02
    first = tell("a.first")
    kept = tell("a.second")
    tell("a.third")
    TelemetryEvent.objects.filter(sequence=first).delete()

    page = viewer.get(f"{LIST}tail/?after={first - 1}").content.decode()
    back = viewer.get(f"{LIST}tail/?after={kept + 1000}").content.decode()

    assert f"up to {first} are not kept" in page and "a.second" in page
    assert "set back" in back


@pytest.mark.parametrize("query", ["", "after=x", "after=-1", "after=1&name=A+B"])
def test_tail__of_no_question__is_400(viewer: Client, query: str) -> None:
    assert viewer.get(f"{LIST}tail/?{query}").status_code == 400


def test_log__with_a_name_that_is_none__says_how_names_read(viewer: Client) -> None:
    page = viewer.get(f"{LIST}?name=Job Dead").content.decode()

    assert "Names read job.dead" in page and "data-follow" not in page


def test_log__of_somebody_who_may_not_look__is_403(db: None) -> None:
    # D-06
    nobody = browser_of(make_operator(name="nobody"))

    assert nobody.get(LIST).status_code == 403
    assert nobody.get(f"{LIST}tail/?after=0").status_code == 403


def test_log__of_many_organizations__names_them_in_one_query(
    viewer: Client, django_assert_max_num_queries: Any
) -> None:
    # D-06
    for number in range(6):
        tell("a.b", create_organization(name=f"Bakery {number}").id)

    with django_assert_max_num_queries(12):
        page = viewer.get(f"{LIST}tail/?after=0").content.decode()

    assert all(f"Bakery {number}" in page for number in range(6))
