"""Publishing, the order in which events can be seen, pruning, and the list over HTTP (O-02)."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction

from jobs import telemetry
from jobs.models import TelemetryEvent
from jobs.services.telemetry import prune_telemetry
from jobs.telemetry import EVERYTHING, current_sink, list_events, publish, subscribe
from jobs.telemetry.sinks import CHANNEL
from jobs.trace import Trace, bind_trace
from tests.asserts import assert_refused, wait_until

Connection = psycopg.Connection[Any]
INSERT = (
    "INSERT INTO jobs_telemetryevent (key, name, at, source, request_id, correlation_id, data)"
    " VALUES (gen_random_uuid(), %s, now(), 'test', '', '', '{}') RETURNING sequence"
)
WRITERS = """
SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND query LIKE '%INSERT INTO jobs_telemetryevent%'
"""
WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


@pytest.fixture
def shared(live_db: None) -> Iterator[None]:
    """The shared sink, with nothing left over from an earlier test."""
    assert telemetry.flush(10)
    TelemetryEvent.objects.all().delete()
    yield
    assert telemetry.flush(10)


@pytest.fixture
def alone(db: None) -> None:
    """Nothing in sight of what processes of earlier tests have told; theirs is left as it is."""
    assert telemetry.flush(10)
    TelemetryEvent.objects.all().delete()


@pytest.fixture
def memory(settings: Any) -> Iterator[None]:
    settings.TELEMETRY_SINK = "memory"
    telemetry._sink.cache_clear()
    yield
    telemetry._sink.cache_clear()


def names() -> list[str]:
    """What can be read now, oldest first."""
    assert telemetry.flush(10)
    return [event.name for event in reversed(list_events(limit=1000))]


def open_session() -> Connection:
    return psycopg.connect(os.environ["DATABASE_URL"])


def insert(session: Connection, name: str) -> int:
    row = session.execute(INSERT, [name]).fetchone()
    assert row
    return int(row[0])


class Late:
    """An insert in a thread of its own, which may have to wait."""

    def __init__(self, name: str) -> None:
        self.sequence = 0
        self._thread = threading.Thread(target=self._run, args=(name,))
        self._thread.start()

    def _run(self, name: str) -> None:
        with open_session() as session:
            self.sequence = insert(session, name)

    def join(self) -> int:
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self.sequence


def test_publish__read_back__says_what_when_where_and_for_whom(shared: None) -> None:
    # O-02, O-06
    organization_id = uuid.uuid4()
    with bind_trace(Trace("req_1", "corr_1")):
        publish("job.dead", organization_id=organization_id, job_id="job_1", api_key="hush")
    assert telemetry.flush(10)

    (event,) = list_events()

    assert (event.name, event.organization_id) == ("job.dead", organization_id)
    assert event.data == {"jobId": "job_1", "apiKey": "[redacted]"}
    assert (event.request_id, event.correlation_id) == ("req_1", "corr_1")
    assert f":{os.getpid()}" in event.source
    assert abs(event.at.timestamp() - time.time()) < 60


def test_publish__in_a_transaction__is_seen_when_it_commits_and_only_then(shared: None) -> None:
    # O-02
    with transaction.atomic():
        publish("a.committed")
        assert names() == []
    with pytest.raises(RuntimeError), transaction.atomic():
        publish("a.rolled-back")
        raise RuntimeError
    publish("a.bare")

    assert names() == ["a.committed", "a.bare"]


def test_publish__while_the_table_is_locked__returns_and_is_written_later(
    shared: None, owner_db: Connection
) -> None:
    # O-02: never slows down the work it reports about.
    with owner_db.transaction():
        owner_db.execute("LOCK TABLE jobs_telemetryevent IN ACCESS EXCLUSIVE MODE")
        with transaction.atomic():
            publish("a.patient")
        assert not telemetry.flush(0.3)

    assert names() == ["a.patient"]


def test_publish__from_a_loop_gone_wild__fills_no_table_and_says_so(
    shared: None, settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # O-02: also where the work is rolled back, as the drops are not undone.
    monkeypatch.setattr(telemetry, "_limiters", {})
    settings.TELEMETRY_EVENTS_PER_S = 1.0
    begun, before = time.monotonic(), current_sink().dropped
    for _ in range(1000):
        publish("a.wild")
    with pytest.raises(RuntimeError), transaction.atomic():
        publish("a.wild")
        raise RuntimeError
    took_s = time.monotonic() - begun

    found = names()
    assert 10 <= found.count("a.wild") <= 10 + took_s
    assert telemetry.dropped() - before >= 1000 - found.count("a.wild")
    (told,) = list_events(wanted=telemetry.Wanted(everyone=True, name="telemetry.dropped"))
    assert told.data == {"count": 1, "perS": 1.0}
    assert len([line for line in caplog.messages if "were dropped" in line]) == 1


def test_publish__beyond_the_limit__is_let_through_where_there_is_none(
    shared: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # O-02
    monkeypatch.setattr(telemetry, "_limiters", {})
    settings.TELEMETRY_EVENTS_PER_S = 0.0
    for _ in range(900):
        publish("a.wild")

    assert names() == ["a.wild"] * 900


def test_events__that_come_on_and_on__are_written_by_one_connection_until_no_more_come(
    shared: None,
) -> None:
    # O-02: between events telemetry holds nothing of the database's.
    def writers() -> list[int]:
        with connection.cursor() as cursor:
            cursor.execute(WRITERS)
            return [pid for (pid,) in cursor.fetchall()]

    seen = []
    for _ in range(3):
        publish("a.one")
        assert telemetry.flush(10)
        seen += writers()
    assert len(seen) == 3 and len(set(seen)) == 1

    wait_until(lambda: writers() == [])


@pytest.mark.parametrize("name", ["", "nodot", "Job.dead", "job.dead!", "job." + "x" * 200])
def test_publish__of_what_cannot_be__does_not_raise(name: str, shared: None) -> None:
    # O-02: never fails the work it reports about.
    with transaction.atomic():
        publish(name, odd=object())
        publish("a.fine")

    assert names() == ["a.fine"]


def test_order__of_two_interleaved_transactions__is_that_of_their_commits(shared: None) -> None:
    # O-02: a reader never passes a number that is still to come.
    sink = current_sink()
    with open_session() as early:
        first = insert(early, "a.early")
        late = Late("a.late")
        wait_until(lambda: bool(waiting_for_lock()), 10)
        looked = sink.read(after=0, wanted=EVERYTHING, limit=10)
        assert (looked.events, looked.reached) == ([], 0)
    second = late.join()

    seen = sink.read(after=looked.reached, wanted=EVERYTHING, limit=10)

    assert [event.sequence for event in seen.events] == [first, second]
    assert first < second == seen.reached


def test_order__of_a_transaction_that_rolls_back__leaves_a_hole_and_holds_up_nobody(
    shared: None,
) -> None:
    # O-02
    with open_session() as early:
        gone = insert(early, "a.gone")
        late = Late("a.late")
        wait_until(lambda: bool(waiting_for_lock()), 10)
        early.rollback()

    assert late.join() > gone
    assert names() == ["a.late"]


def test_order__without_its_trigger__lets_a_reader_miss_an_event(
    shared: None, owner_db: Connection
) -> None:
    # O-02: the proof above can see.
    owner_db.execute("ALTER TABLE jobs_telemetryevent DISABLE TRIGGER telemetry_in_order")
    sink = current_sink()
    with open_session() as early:
        insert(early, "a.early")
        Late("a.late").join()
        looked = sink.read(after=0, wanted=EVERYTHING, limit=10)
    seen = sink.read(after=looked.reached, wanted=EVERYTHING, limit=10)

    assert [event.name for event in looked.events + seen.events] == ["a.late"]


def test_order__beside_a_long_transaction_of_others__is_not_held_up(
    shared: None, owner_db: Connection
) -> None:
    # O-02: a watermark over all transactions would stand still here.
    with owner_db.transaction():
        owner_db.execute("CREATE TABLE slow_migration ()")
        assert owner_db.execute("SELECT pg_current_xact_id_if_assigned()").fetchone() != (None,)
        publish("a.quick")
        assert names() == ["a.quick"]


def test_subscribe__while_many_write__yields_each_event_once_in_order(shared: None) -> None:
    # O-02
    ready = threading.Barrier(4)

    def write(writer: int) -> None:
        with open_session() as session:
            ready.wait(30)
            for number in range(25):
                insert(session, f"w{writer}.n{number}")
                if number % 3 == 0:
                    insert(session, f"w{writer}.rolled-back")
                    session.rollback()
                    insert(session, f"w{writer}.n{number}")
                session.commit()

    reader = Reader()
    writers = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join(60)
    got = reader.until_end()

    stored = TelemetryEvent.objects.order_by("sequence").values_list("sequence", flat=True)
    assert len(stored) == 101
    assert [event.sequence for event in got] == list(stored)


class Reader:
    """Subscribes in a thread until it sees `a.end`."""

    def __init__(self) -> None:
        self.got: list[telemetry.Event] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        stop = threading.Event()
        for event in subscribe(after=0, stop=stop, idle_s=60.0):
            self.got.append(event)
            if event.name == "a.end":
                stop.set()

    def until_end(self) -> list[telemetry.Event]:
        publish("a.end")
        self._thread.join(60)
        return self.got


@pytest.mark.parametrize("redis_url", [None, "redis://127.0.0.1:1/0"])
def test_subscribe__with_redis_and_without__is_told_of_news(
    redis_url: str | None, shared: None, settings: Any
) -> None:
    # O-02: Redis wakes; who is not woken polls.
    if redis_url:
        settings.REDIS_URL = redis_url
    reader = Reader()
    publish("a.first")

    assert [event.name for event in reader.until_end()] == ["a.first", "a.end"]


def test_publish__to_the_shared_sink__wakes_through_redis(shared: None, valkey: Any) -> None:
    # O-02
    pubsub = valkey.pubsub()
    pubsub.subscribe(CHANNEL)
    assert pubsub.get_message(timeout=5)["type"] == "subscribe"

    publish("a.b")

    assert pubsub.get_message(timeout=5)["type"] == "message"
    pubsub.close()


def test_memory_sink__behaves_as_the_shared_one_within_a_process(memory: None) -> None:
    # O-02
    publish("a.one", n=1)
    publish("b.two", n=2)
    publish("a.three", n=3)

    assert [event.name for event in list_events()] == ["a.three", "b.two", "a.one"]
    some = list_events(wanted=telemetry.Wanted(everyone=True, name="a.*"))
    assert [event.data["n"] for event in some] == [3, 1]
    assert [event.sequence for event in list_events(since=1, before=3)] == [2]
    assert [event.name for event in subscribe(after=1, idle_s=0.1)] == ["b.two", "a.three"]
    assert current_sink().bounds() == (1, 3)


def test_prune__by_age_and_by_count__deletes_the_oldest_only(shared: None) -> None:
    # O-02
    for number in range(10):
        publish(f"a.n{number}")
    assert len(names()) == 10
    oldest = TelemetryEvent.objects.order_by("sequence").values_list("sequence", flat=True)[:3]
    TelemetryEvent.objects.filter(sequence__in=list(oldest)).update(at="2020-01-01T00:00:00Z")

    assert prune_telemetry(keep_s=3600.0, keep_events=100) == 3
    assert prune_telemetry(keep_s=3600.0, keep_events=100) == 0
    assert prune_telemetry(keep_s=3600.0, keep_events=5, batch=1) == 1
    assert prune_telemetry(keep_s=3600.0, keep_events=5) == 1
    assert names() == [f"a.n{number}" for number in range(5, 10)]


def waiting_for_lock() -> int:
    with connection.cursor() as cursor:
        cursor.execute(WAITING)
        return int(cursor.fetchone()[0])


def add(name: str, organization_id: uuid.UUID | None) -> int:
    row = TelemetryEvent.objects.create(
        key=uuid.uuid4(),
        name=name,
        at="2026-01-02T03:04:05Z",
        organization_id=organization_id,
        source="host:1:abc",
        data={"n": name},
    )
    return int(row.sequence)


def test_list__with_and_without_the_platform_scope__shows_what_the_key_may_see(
    alone: None, api: Any, issue_key: Any
) -> None:
    # O-02, P24
    add("worker.started", None)
    add("job.dead", api.organization.id)
    last = add("job.dead", uuid.uuid4())
    tenant = issue_key(scopes=("telemetry:read",), organization=api.organization)

    full = api.get("/api/telemetry").json()
    own = tenant.get("/api/telemetry").json()

    assert [item["name"] for item in full["items"]] == ["job.dead", "worker.started"]
    assert [item["isPlatform"] for item in full["items"]] == [False, True]
    assert full["items"][0]["source"] == "host:1:abc"
    assert [(item["name"], item["source"]) for item in own["items"]] == [("job.dead", None)]
    assert (full["lastSequence"], full["nextCursor"]) == (last, None)
    assert full["streamUrl"].endswith("/v1/telemetry/stream")
    assert set(own["items"][0]) == {
        *("sequence", "name", "at", "isPlatform", "source", "requestId", "correlationId", "data")
    }


def test_list__by_pages_and_filters__is_whole_and_newest_first(alone: None, api: Any) -> None:
    # O-02
    numbers = [add(f"job.n{n}", api.organization.id) for n in range(5)]
    other = add("build.started", api.organization.id)

    first = api.get("/api/telemetry?limit=4").json()
    second = api.get(f"/api/telemetry?limit=4&cursor={first['nextCursor']}").json()
    some = api.get(f"/api/telemetry?name=job.*&since={numbers[2]}").json()
    exact = api.get("/api/telemetry?name=job.n1").json()

    got = [item["sequence"] for item in first["items"] + second["items"]]
    assert got == [other, *reversed(numbers)]
    assert second["nextCursor"] is None
    assert [item["sequence"] for item in some["items"]] == [numbers[4], numbers[3]]
    assert [item["sequence"] for item in exact["items"]] == [numbers[1]]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=101", "since=-1", "since=x", "cursor=0", "cursor=9" + "9" * 30,
     "name=%25", "name=a%00", "from=1", "after=1"],
)  # fmt: skip
def test_list__asked_for_nonsense__is_refused(query: str, api: Any) -> None:
    # E-08
    assert_refused(api.get(f"/api/telemetry?{query}"), 422, "VALIDATION_FAILED")


@pytest.mark.django_db
def test_telemetry__without_key_or_scope__is_refused(api: Any, issue_key: Any) -> None:
    # P24
    tenant = issue_key(scopes=("jobs:read",))

    for path in ("/api/telemetry", "/api/telemetry/stream", "/api/worker/health"):
        assert api.client.get(path).status_code == 401
        assert_refused(tenant.get(path), 403, "FORBIDDEN")
    reader = issue_key(scopes=("telemetry:read",))
    assert_refused(reader.get("/api/worker/health"), 403, "FORBIDDEN")


@pytest.mark.django_db
def test_stream__asked_of_the_api_process__names_the_address_with_its_query(
    api: Any, settings: Any
) -> None:
    # O-02
    settings.STREAMS_URL = "http://streams.example"

    response = api.get("/api/telemetry/stream?name=job.*&after=3")

    refused = assert_refused(response, 421, "STREAM_ELSEWHERE")
    target = "http://streams.example/v1/telemetry/stream?name=job.%2A&after=3"
    assert refused["data"] == {"streamUrl": target}
    for query, position in (("after=x", ""), ("limit=1", ""), ("", "x"), ("", "9" * 19 + "9")):
        odd = api.get(f"/api/telemetry/stream?{query}", headers={"Last-Event-ID": position})
        assert_refused(odd, 422, "VALIDATION_FAILED")
