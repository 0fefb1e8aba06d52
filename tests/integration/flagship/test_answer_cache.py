"""Redis holds copies of answers: for speed, of keys that come again, and believed if signed."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from django.db import connection
from django.test.utils import CaptureQueriesContext

from flagship.clients.answer_cache import LARGEST_BYTES, AnswerCache, _Replayed, answer_cache
from flagship.models import IdempotencyRecord, Organization
from flagship.models.idempotency import Claim, StoredAnswer
from flagship.services.idempotency import make_claim
from tests.asserts import assert_refused
from tests.clients import ApiCaller
from tests.drills.models import Effect
from tests.integration.flagship.conftest import new_caller

pytestmark = [pytest.mark.urls("tests.integration.flagship.routes"), pytest.mark.django_db]

KEY = "build-1:create:session-1"
EFFECTS = "/v1/test/effects"
BODY = {"name": "Effect"}


def send(caller: ApiCaller, key: str = KEY, body: Any = None) -> Any:
    return caller.post(EFFECTS, BODY if body is None else body, key=key)


def entries(valkey: redis.Redis) -> list[bytes]:
    found: Any = valkey.keys("flagship:idempotency:*")
    return sorted(found)


def calls(valkey: redis.Redis) -> int:
    """Texts that anything has read from this server or written; limits are counted otherwise."""
    stats: dict[str, Any] = valkey.info("commandstats")
    return sum(int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in ("get", "set"))


def statements(act: Callable[[], Any]) -> tuple[int, Any]:
    with CaptureQueriesContext(connection) as queries:
        answer = act()
    return len(queries), answer


def test_key__that_comes_once__is_neither_looked_for_nor_kept_in_redis(
    caller: ApiCaller, valkey: redis.Redis
) -> None:
    # E-01: the request that everybody sends pays for no cache.
    answer_cache().redis.ping()  # Connected: what is counted below is work.
    before = calls(valkey)

    for number in range(5):
        name = {"name": f"Effect{number}"}
        assert send(caller, f"a-key-that-comes-once-{number}", name).status_code == 201

    assert calls(valkey) == before
    assert entries(valkey) == []


def test_key__that_comes_again__is_answered_by_the_database_then_by_redis(
    caller: ApiCaller, valkey: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    # E-01
    caplog.set_level(logging.INFO)
    first = send(caller)
    asked, second = statements(lambda: send(caller))
    before = calls(valkey)
    asked_again, third = statements(lambda: send(caller))

    assert second.content == third.content == first.content
    assert asked_again < asked
    assert asked_again == 0  # Whose the API key is, goes past what is counted here.
    assert calls(valkey) == before + 1
    assert ["source=database" in line for line in replays(caplog)] == [True, False]
    assert Effect.objects.filter(key="Effect").count() == 1
    [entry] = entries(valkey)
    assert 0 < int(str(valkey.ttl(entry))) <= 600


def replays(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.getMessage().startswith("idempotency.replayed")
    ]


def test_redis__wiped_in_between__changes_nothing(caller: ApiCaller, valkey: redis.Redis) -> None:
    # E-01, P02: the cache is only a cache.
    first = send(caller)
    for _ in range(5):
        assert send(caller).content == first.content
        valkey.flushall()

    assert Effect.objects.filter(key="Effect").count() == 1


def test_redis__away__is_left_alone_for_a_second_and_changes_nothing(
    caller: ApiCaller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # E-01, research 3.7: nothing listens on port 1.
    away = AnswerCache("redis://127.0.0.1:1/0")
    monkeypatch.setattr("flagship.services.idempotency.answer_cache", lambda: away)
    first = send(caller)

    for _ in range(3):
        assert send(caller).content == first.content

    assert caplog.text.count("idempotency.cache_lost") == 1


def test_reused_key__known_to_redis__is_refused_from_there(
    caller: ApiCaller, valkey: redis.Redis
) -> None:
    # P03
    send(caller)
    send(caller)

    asked, refused = statements(lambda: send(caller, body={"name": "Effect2"}))

    assert_refused(refused, 422, "IDEMPOTENCY_KEY_REUSED")
    assert asked == 0


Tamper = Callable[[bytes, bytes], bytes]


def changed(entry: bytes, **fields: Any) -> bytes:
    """Change the answer and leave the signature as it is."""
    signature, _, text = entry.partition(b"\n")
    return signature + b"\n" + json.dumps({**json.loads(text), **fields}).encode()


TAMPERINGS: dict[str, Tamper] = {
    "another body": lambda own, other: changed(own, body="e30="),
    "another status": lambda own, other: changed(own, status=202),
    "another header": lambda own, other: changed(own, headers={"Location": "https://evil.test"}),
    "another request's id": lambda own, other: changed(own, requestId="req_forged"),
    "another fingerprint": lambda own, other: changed(own, fingerprint="00" * 32),
    "a later end": lambda own, other: changed(own, expiresAt="2999-01-01T00:00:00+00:00"),
    "the entry of another key": lambda own, other: other,
    "another key's signature": lambda own, other: (
        other.partition(b"\n")[0] + b"\n" + own.partition(b"\n")[2]
    ),
    "no signature": lambda own, other: own.partition(b"\n")[2],
    "an empty signature": lambda own, other: b"\n" + own.partition(b"\n")[2],
    "garbage": lambda own, other: b"\xff{garbage",
    "nothing": lambda own, other: b"",
    "cut off": lambda own, other: own[:-1],
}


@pytest.mark.parametrize("how", TAMPERINGS)
def test_entry__forged_or_swapped__is_ignored_and_the_database_answers(
    how: str, caller: ApiCaller, valkey: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    # E-01, P02: whoever writes to Redis forges no answer.
    first = send(caller)
    send(caller)
    [own] = entries(valkey)
    send(caller, "another-key-of-the-same", {"name": "Other"})
    send(caller, "another-key-of-the-same", {"name": "Other"})
    [other] = set(entries(valkey)) - {own}
    valkey.set(own, TAMPERINGS[how](raw(valkey, own), raw(valkey, other)))
    caplog.clear()
    caplog.set_level(logging.INFO)

    again = send(caller)

    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["Location"] == "/x"
    assert "idempotency.cache_forged" in caplog.text
    assert "source=database" in caplog.text
    assert Effect.objects.filter(key="Effect").count() == 1
    caplog.clear()
    send(caller)
    assert "source=cache" in caplog.text  # What was forged has been written over.


def raw(valkey: redis.Redis, name: bytes) -> bytes:
    value: Any = valkey.get(name)
    return bytes(value)


def test_entry__of_another_client__is_not_believed(caller: ApiCaller, valkey: redis.Redis) -> None:
    # E-01: the same key, route and request of two clients; one's entry put in the other's place.
    mine, theirs = make_job(caller), make_job(other := new_caller())
    make_job(caller)
    [own] = entries(valkey)
    make_job(other)
    [foreign] = set(entries(valkey)) - {own}
    assert mine.content != theirs.content

    valkey.set(own, raw(valkey, foreign))

    assert make_job(caller).content == mine.content


def make_job(caller: ApiCaller) -> Any:
    return caller.post("/api/jobs", {"kind": "jobs.probe", "payload": {}}, key=KEY)


def test_entry__signed_with_another_secret__is_not_believed(
    caller: ApiCaller, valkey: redis.Redis, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    # E-01
    first = send(caller)
    send(caller)
    settings.SECRET_KEY = "another-secret-" + "y" * 40

    assert send(caller).content == first.content
    assert "idempotency.cache_forged" in caplog.text


def claim_and_answer(**fields: Any) -> tuple[Claim, StoredAnswer]:
    organization = Organization.objects.create(name="Of the claim", slug="of-the-claim")
    claim = make_claim(
        organization_id=organization.id,
        method="POST",
        route="v1/test/effects",
        key=KEY,
        target=EFFECTS,
        media_type="application/json",
        body_sha256=b"",
        request_id="req_1",
    )
    now = datetime.now(UTC)
    stored = StoredAnswer(
        claim.fingerprint, "req_1", 201, {}, b"{}", now, now + timedelta(hours=24)
    )
    return claim, dataclasses.replace(stored, **fields)


def test_entry__of_its_own_making__is_read_as_it_was_written(valkey: redis.Redis) -> None:
    claim, stored = claim_and_answer(body=bytes(range(256)), headers={"ETag": '"x"'})

    answer_cache().put(claim, stored)

    assert answer_cache().get(claim) == stored
    for name in ("organization_id", "method", "route"):
        moved: Any = {name: "x"}
        assert answer_cache().get(dataclasses.replace(claim, **moved)) is None


def test_entry__past_its_end__is_ignored_though_redis_still_has_it(valkey: redis.Redis) -> None:
    # E-01: an answer that somebody kept aside and puts back is not given after its 24 hours.
    claim, stored = claim_and_answer(expires_at=datetime.now(UTC) + timedelta(seconds=1.5))
    answer_cache().put(claim, stored)
    [name] = entries(valkey)
    kept = raw(valkey, name)
    assert answer_cache().get(claim) == stored

    time.sleep(1.6)
    valkey.set(name, kept)

    assert answer_cache().get(claim) is None


@pytest.mark.parametrize(
    "fields",
    [{"body": b"x" * (LARGEST_BYTES + 1)}, {"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}],
)
def test_answer__too_large_or_too_old__is_not_kept(
    fields: dict[str, Any], valkey: redis.Redis
) -> None:
    claim, stored = claim_and_answer(**fields)

    answer_cache().put(claim, stored)

    assert entries(valkey) == []


def test_keys__that_were_replayed__are_remembered_up_to_a_number() -> None:
    replayed = _Replayed(2)
    for key in (b"a", b"b", b"a", b"c"):
        replayed.add(key)

    assert [key in replayed for key in (b"a", b"b", b"c")] == [True, False, True]


def test_record__changed_in_the_database__is_what_is_answered_after_a_wipe(
    caller: ApiCaller, valkey: redis.Redis
) -> None:
    # The other way round: it is the row that decides.
    send(caller)
    send(caller)
    IdempotencyRecord.objects.update(body=b"{}")
    valkey.flushall()

    assert send(caller).content == b"{}"
