"""What of an event's data is stored."""

from __future__ import annotations

import json
import threading
import uuid
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from jobs.telemetry import writer as writing
from jobs.telemetry.event import DATA_BYTES, REDACTED, Draft, Event, Wanted, clean
from jobs.telemetry.writer import WAITING_MAX, Writer

MINE, OTHER = uuid.uuid4(), uuid.uuid4()


def event(name: str = "job.dead", organization_id: uuid.UUID | None = MINE) -> Event:
    return Event(1, name, datetime.now(UTC), organization_id, "here", "", "", {})


def draft(number: int) -> Draft:
    return Draft(uuid.uuid4(), "a.b", 0.0, None, "here", "", "", {"number": number})


@pytest.mark.parametrize(
    ("data", "stored"),
    [
        ({"job_id": "x", "ageMs": 3}, {"jobId": "x", "ageMs": 3}),
        ({"at": datetime(2026, 1, 2, tzinfo=UTC)}, {"at": "2026-01-02T00:00:00+00:00"}),
        ({"queues": ("a", "b"), "ok": True, "none": None}, None),
        ({"ratio": float("nan"), "huge": 2**70}, {"ratio": "nan", "huge": str(2**70)}),
        ({"text": "a\x00b\ud800"}, {"text": "a\\x00b\\ud800"}),
        ({"api_key": "abc", "password": "x", "Authorization": "y"}, None),
        ({"in": {"dbPassword": "x", "fine": 1}}, {"in": {"dbPassword": REDACTED, "fine": 1}}),
        ({"list": [{"token": 5}]}, {"list": [{"token": REDACTED}]}),
        ({"error": f"key fs_0123456789ab_{'0' * 64} bad"}, {"error": f"key {REDACTED} bad"}),
        ({"error": "redis://u:pw@h:1 is away"}, {"error": f"redis{REDACTED}h:1 is away"}),
        ({"header": "Bearer abc.def"}, {"header": REDACTED}),
        ({"a": {"b": {"c": {"d": {"e": 1}}}}}, {"a": {"b": {"c": {"d": "…"}}}}),
        ({"object": Exception("why")}, {"object": "why"}),
    ],
)  # fmt: skip
def test_data__of_any_kind__becomes_small_json_without_secrets(
    data: dict[str, Any], stored: dict[str, Any] | None
) -> None:
    # O-02
    cleaned = clean(data)

    json.dumps(cleaned, allow_nan=False)
    if stored is not None:
        assert cleaned == stored
    assert "abc" not in json.dumps(cleaned)


def test_data__too_large__is_left_out_and_its_names_are_given() -> None:
    # O-02
    cut = clean({"text": "x" * 10_000})
    dropped = clean({f"field{n}": "é" * 400 for n in range(40)})

    assert len(cut["text"]) == 500
    assert dropped["isTruncated"] is True and dropped["names"][0] == "field0"
    assert len(json.dumps(dropped).encode()) <= DATA_BYTES


@pytest.mark.parametrize(
    ("wanted", "sees_mine", "sees_other", "sees_platform"),
    [
        (Wanted(organization_id=MINE), True, False, False),
        (Wanted(organization_id=MINE, platform=True), True, False, True),
        (Wanted(everyone=True), True, True, True),
        (Wanted(), False, False, False),
        (Wanted(everyone=True, name="job.*"), True, True, True),
        (Wanted(everyone=True, name="job.dead"), True, True, True),
        (Wanted(everyone=True, name="job.de"), False, False, False),
        (Wanted(everyone=True, name="jo.*"), False, False, False),
    ],
)
def test_wanted__of_every_reader__takes_what_it_may_see(
    wanted: Wanted, sees_mine: bool, sees_other: bool, sees_platform: bool
) -> None:
    # O-02, P24
    assert wanted.takes(event()) is sees_mine
    assert wanted.takes(event(organization_id=OTHER)) is sees_other
    assert wanted.takes(event(organization_id=None)) is sees_platform


def test_writer__whose_store_fails__keeps_order_and_writes_each_once() -> None:
    # O-02
    written: list[int] = []
    failures = iter([True, True])

    def store(drafts: list[Draft]) -> None:
        if next(failures, False):
            raise OSError("away")
        written.extend(draft.data["number"] for draft in drafts)

    writer = Writer(store)
    for number in range(500):
        writer.put(draft(number))

    assert writer.flush(10)
    assert written == list(range(500))


def test_writer__that_has_nothing_more_to_write__rests_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # O-02: the connection is kept between bursts and given back behind the last one.
    monkeypatch.setattr(writing, "REST_AFTER_S", 0.05)
    done: SimpleQueue[str] = SimpleQueue()
    writer = Writer(lambda drafts: done.put("stored"), lambda: done.put("rests"))

    for _ in range(2):
        writer.put(draft(1))
        assert [done.get(timeout=10), done.get(timeout=10)] == ["stored", "rests"]
        with pytest.raises(Empty):
            done.get(timeout=0.2)


def test_writer__of_a_store_that_hangs__takes_on_and_drops_the_oldest() -> None:
    # O-02: publishing neither waits nor grows without bound.
    go, stuck, written = threading.Event(), threading.Event(), list[int]()

    def store(drafts: list[Draft]) -> None:
        stuck.set()
        go.wait(20)
        written.extend(draft.data["number"] for draft in drafts)

    writer = Writer(store)
    writer.put(draft(-1))
    assert stuck.wait(10)
    for number in range(WAITING_MAX + 10):
        writer.put(draft(number))

    assert writer.dropped == 10
    assert not writer.flush(0.01)
    go.set()
    assert writer.flush(10)
    assert written == [-1, *range(10, WAITING_MAX + 10)]
