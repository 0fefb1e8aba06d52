"""The log of a build, page by page and as a stream."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from django.db import connections
from django.test import AsyncClient

from builds.api import streams
from builds.models import Build, BuildLogLine
from builds.services.moves import fail_build
from jobs.ids import public_id
from tests.asserts import assert_refused
from tests.clients import ApiCaller
from tests.factories import make_build, make_project


def add_lines(build: Build, *texts: str) -> None:
    seen = BuildLogLine.objects.filter(build=build).count()
    for seq, text in enumerate(texts, start=seen + 1):
        BuildLogLine.objects.create(build=build, seq=seq, stream="stdout", text=text)


def build_of(api: ApiCaller) -> Build:
    return make_build(make_project(api.organization.id))


def path_of(build: Build) -> str:
    return f"/v1/builds/{public_id('build', build.id)}/log"


@pytest.mark.django_db
def test_log__read_by_pages__is_whole_and_says_when_it_ends(api: ApiCaller) -> None:
    # B-05
    build = build_of(api)
    add_lines(build, "one", "two", "three")

    first = api.get(f"{path_of(build)}?limit=2").json()
    assert [line["text"] for line in first["items"]] == ["one", "two"]
    assert (first["lastSeq"], first["isComplete"], first["state"]) == (2, False, "queued")
    second = api.get(f"{path_of(build)}?after=2").json()
    assert [line["seq"] for line in second["items"]] == [3]
    assert not second["isComplete"]

    fail_build(build_id=build.id, code="X", message="x")
    last = api.get(f"{path_of(build)}?after=3").json()
    assert (last["items"], last["lastSeq"], last["isComplete"]) == ([], 3, True)


@pytest.mark.django_db
@pytest.mark.parametrize("query", ["after=-1", "after=x", "limit=0", "limit=1001", "from=1"])
def test_log__wrong_position__is_refused(query: str, api: ApiCaller) -> None:
    # E-08
    assert_refused(api.get(f"{path_of(build_of(api))}?{query}"), 422, "VALIDATION_FAILED")


@pytest.mark.django_db
def test_stream__asked_of_the_api_process__is_told_of_the_one_that_streams(
    api: ApiCaller, settings: Any
) -> None:
    # B-05
    settings.STREAMS_URL = "http://streams.example"
    path = f"/v1/streams/builds/{public_id('build', build_of(api).id)}/log"

    response = api.get(path, headers={"Accept": "text/event-stream"})

    refused = assert_refused(response, 421, "STREAM_ELSEWHERE")
    assert refused["data"] == {"streamUrl": f"http://streams.example{path}"}
    assert "Location" not in response.headers
    assert api.client.get(path).status_code == 401


@pytest.mark.django_db
@pytest.mark.parametrize("position", ["x", "-1", "1" * 30, "1.5"])
def test_stream__resumed_from_nonsense__is_refused(position: str, api: ApiCaller) -> None:
    # E-08
    path = f"/v1/streams/builds/{public_id('build', build_of(api).id)}/log"

    response = api.get(path, headers={"Last-Event-ID": position})

    assert_refused(response, 422, "VALIDATION_FAILED")


class Reader:
    """Reads a stream event by event."""

    def __init__(self, api: ApiCaller, build: Build, last_event_id: str | None = None) -> None:
        self.path = f"/v1/streams/builds/{public_id('build', build.id)}/log"
        self.headers = {"Authorization": f"Bearer {api.secret}", "Accept": "text/event-stream"}
        if last_event_id is not None:
            self.headers["Last-Event-ID"] = last_event_id
        self.blocks: list[str] = []

    async def read(self, on_block: Any = None) -> Any:
        response: Any = await AsyncClient().get(self.path, headers=self.headers)
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "text/event-stream"
        async for chunk in response.streaming_content:
            self.blocks.extend(block for block in chunk.decode().split("\n\n") if block)
            if on_block:
                await on_block(len(self.blocks))
        return response

    def events(self) -> list[tuple[str, str, Any]]:
        found = []
        for block in self.blocks:
            fields = dict(line.split(": ", 1) for line in block.splitlines())
            if "event" in fields:
                found.append((fields["id"], fields["event"], json.loads(fields["data"])))
        return found


@pytest.fixture
def reading() -> Any:
    """Run a coroutine; afterwards the reading threads give their connections back."""
    yield lambda reader, on_block=None: asyncio.run(reader.read(on_block))
    for _ in range(8):
        streams._READERS.submit(connections.close_all).result()


def test_stream__followed_while_it_is_written__ends_when_the_build_does(
    live_db: None, api: ApiCaller, reading: Any
) -> None:
    # B-05
    build = build_of(api)
    add_lines(build, "one", "two")
    reader = Reader(api, build)

    async def go_on(count: int) -> None:
        if count == 3:
            await asyncio.to_thread(add_lines_and_close, build, "three")
            await asyncio.to_thread(fail_and_close, build)

    reading(reader, go_on)

    events = reader.events()
    assert [(number, name) for number, name, _ in events] == [
        ("1", "line"),
        ("2", "line"),
        ("3", "line"),
        ("3", "end"),
    ]
    assert [data["text"] for _, name, data in events if name == "line"] == ["one", "two", "three"]
    assert events[-1][2] == {"state": "failed", "lastSeq": 3}


def add_lines_and_close(build: Build, *texts: str) -> None:
    add_lines(build, *texts)
    connections.close_all()


def fail_and_close(build: Build) -> None:
    fail_build(build_id=build.id, code="X", message="x")
    connections.close_all()


def test_stream__resumed_by_last_event_id__repeats_nothing_and_misses_nothing(
    live_db: None, api: ApiCaller, reading: Any
) -> None:
    # B-05
    build = build_of(api)
    add_lines(build, *(f"line {number}" for number in range(1, 1202)))
    fail_build(build_id=build.id, code="X", message="x")
    reader = Reader(api, build, last_event_id="100")

    reading(reader)

    events = reader.events()
    assert [int(number) for number, name, _ in events if name == "line"] == list(range(101, 1202))
    assert events[-1][:2] == ("1201", "end")


def test_stream__nothing_to_say__sends_heartbeats(
    live_db: None, api: ApiCaller, reading: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # B-05
    monkeypatch.setattr(streams, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(streams, "IDLE_POLL_S", 0.05)
    build = build_of(api)
    reader = Reader(api, build)

    async def stop(count: int) -> None:
        if count == 4:
            await asyncio.to_thread(fail_and_close, build)

    reading(reader, stop)

    assert reader.blocks.count(": heartbeat") >= 3
    assert reader.events()[-1][1] == "end"
