"""Signed requests sent again to two API processes (E-06, P21)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
import redis

from flagship.models import SignatureTally, SignatureUse
from flagship.signatures import WINDOW_S, Stage
from jobs import telemetry
from jobs.models import Job
from jobs.telemetry import Wanted
from tests.clients import ApiCaller
from tests.fuzz.forgeries import send
from tests.processes import Processes, wait_until
from tests.races.apis import Apis, all_at_once
from tests.signing import Signed, Signer, make_signer, prepare
from tests.soak import full

JOBS = "/v1/jobs"
# Five ways by twelve requests by five senders: 300; in the soak 3,000.
REQUESTS = full(12, 120)
SENDERS = 5


@pytest.fixture
def caller(live_db: None, issue_key: Any) -> ApiCaller:
    client: ApiCaller = issue_key()
    return client


@pytest.fixture
def signer(caller: ApiCaller) -> Signer:
    return make_signer(caller.api_key, stage=Stage.V2_ONLY)


@pytest.fixture
def apis(caller: ApiCaller, processes: Processes) -> Iterator[Apis]:
    running = Apis(processes, caller.secret)
    running.start(2, JOBS_IN_FLIGHT_MAX="100000")
    yield running


class Wire:
    """Sends the very same bytes to either process, over kept connections."""

    def __init__(self, apis: Apis, client: httpx.Client) -> None:
        self.apis = apis
        self.client = client

    def send(self, number: int, request: Signed) -> httpx.Response:
        port = self.apis.ports[number % len(self.apis.ports)]
        return self.client.request(
            request.method,
            f"http://127.0.0.1:{port}{request.path}",
            content=request.body,
            headers=request.headers,
        )


@pytest.fixture
def wire(apis: Apis) -> Iterator[Wire]:
    with httpx.Client(timeout=30, verify=False) as client:
        yield Wire(apis, client)


def make(signer: Signer, count: int, *, off_s: int = 0) -> list[Signed]:
    """Sign reads and writes in turn; the host that was signed is sent to either process."""
    at = int(time.time()) + off_s
    made = []
    for number in range(count):
        body = {"kind": "jobs.probe", "payload": {"note": f"{number}"}}
        write = prepare(
            signer, "POST", JOBS, body, host="flagship.test",
            key=f"replay-{time.time_ns()}-{number}", at=at,
        )  # fmt: skip
        read = prepare(signer, "GET", f"{JOBS}?limit={1 + number % 9}", host="flagship.test", at=at)
        made.append(read if number % 3 == 2 else write)
    return made


def take(wire: Wire, requests: list[Signed]) -> None:
    """Send each once; each is accepted."""
    statuses = [wire.send(number, request).status_code for number, request in enumerate(requests)]
    assert set(statuses) <= {200, 202}, Counter(statuses)


def assert_all_refused(
    wire: Wire, requests: list[Signed], senders: int = SENDERS, codes: tuple[str, ...] = ()
) -> None:
    """Send each again, over both processes, and see that nothing was done."""
    before = Job.objects.count()
    told: Counter[str] = Counter()
    for request in requests:
        for answer in all_at_once(senders, lambda number, r=request: wire.send(number, r)):  # type: ignore[misc]
            assert answer.status_code == 401, answer.text
            told[answer.json()["error"]] += 1
    assert sum(told.values()) == senders * len(requests)
    assert set(told) <= {"NONCE_REPLAYED", *codes}, told
    assert Job.objects.count() == before


def test_requests__sent_again_at_once_and_after_a_wipe_and_a_restart__are_refused(
    apis: Apis, wire: Wire, signer: Signer, valkey: redis.Redis
) -> None:
    # E-06, P21
    requests = make(signer, REQUESTS)
    take(wire, requests)

    assert_all_refused(wire, requests)  # at once
    valkey.flushall()
    assert_all_refused(wire, requests)  # after a wipe
    for running in apis.running:
        running.kill_group()
        running.wait()
    apis.ports.clear()
    apis.running.clear()
    apis.start(2, JOBS_IN_FLIGHT_MAX="100000", REDIS_URL="redis://127.0.0.1:1/0")
    assert_all_refused(wire, requests)  # after a restart, with Redis down

    replayed = Wanted(everyone=True, name="signature.replayed")
    wait_until(lambda: bool(telemetry.list_events(wanted=replayed)), 10)
    event = telemetry.list_events(wanted=replayed)[0]
    assert event.data["keyId"] == signer.key_id
    tally = SignatureTally.objects.filter(outcome="replay").values_list("count", flat=True)
    assert sum(tally) == 3 * SENDERS * len(requests)


def test_requests__sent_many_times_at_the_same_moment__are_taken_once(
    wire: Wire, signer: Signer
) -> None:
    # P21: nobody was first when they set out.
    requests = make(signer, REQUESTS)
    writes = sum(request.method == "POST" for request in requests)

    for request in requests:
        told = Counter(
            answer.status_code
            for answer in all_at_once(SENDERS + 1, lambda number, r=request: wire.send(number, r))  # type: ignore[misc]
        )
        assert told[200] + told[202] == 1, told
        # A twin may have waited for the first longer than a lock is waited for: 409, not taken.
        assert set(told) <= {200, 202, 401, 409}, told
    assert Job.objects.count() == writes
    assert SignatureUse.objects.count() == len(requests)


def test_requests__at_the_edges_of_the_window__are_taken_once(wire: Wire, signer: Signer) -> None:
    # P21: stamped almost too early, and almost too late.
    for off_s in (WINDOW_S - 10, 15 - WINDOW_S):
        requests = make(signer, max(1, REQUESTS // 2), off_s=off_s)
        take(wire, requests)

        assert_all_refused(wire, requests, codes=("TIMESTAMP_OUT_OF_WINDOW",))
    for use in SignatureUse.objects.all():
        assert (use.expires_at - use.used_at).total_seconds() > 2 * WINDOW_S


def test_requests__whose_stamp_has_just_run_out__are_refused_without_their_nonce(
    wire: Wire, signer: Signer, owner_db: psycopg.Connection[Any]
) -> None:
    # P21: when the nonce has been deleted, the window has long been over.
    requests = make(signer, 3, off_s=10 - WINDOW_S)
    take(wire, requests)
    owner_db.execute("DELETE FROM flagship_signatureuse")
    wait_until(lambda: time.time() > int(requests[0].headers["X-Timestamp"]) + WINDOW_S + 1, 30)

    for number, request in enumerate(requests):
        answer = wire.send(number, request)
        assert (answer.status_code, answer.json()["error"]) == (401, "TIMESTAMP_OUT_OF_WINDOW")


def test_header__of_a_signature_sent_twice__is_refused(apis: Apis, signer: Signer) -> None:
    # P22, P23: each header comes exactly once.
    port = apis.ports[0]
    taken: list[Any] = []
    for name in ("X-Key-Id", "X-Timestamp", "X-Nonce", "X-Content-SHA256", "X-Signature"):
        for value in ("", "x", None):
            request = prepare(signer, "GET", f"{JOBS}?limit=3", host=f"127.0.0.1:{port}")
            lines = [f"{header}: {text}" for header, text in request.headers.items()]
            twice = f"{name}: {request.headers[name] if value is None else value}"
            for head in ([twice, *lines], [*lines, twice]):
                start = [f"GET {request.path} HTTP/1.1", "Connection: close"]
                text = "\r\n".join([*start, *head, "", ""])
                if send(port, text.encode()) != 401:
                    taken.append((name, value, head[0] == twice))
    assert taken == []
