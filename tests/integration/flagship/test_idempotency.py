"""One effect per key (E-01, P02, P03)."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any

import pytest
import redis
from django.db.models import F

from flagship.models import IdempotencyRecord
from flagship.services.idempotency import KEPT_S, parse_key, prune_idempotency
from tests.asserts import assert_refused
from tests.clients import ApiCaller
from tests.drills.models import Effect
from tests.integration.flagship.conftest import new_caller

pytestmark = [pytest.mark.urls("tests.integration.flagship.routes"), pytest.mark.django_db]

KEY = "build-1:create:session-1"
EFFECTS = "/v1/test/effects"


def effects() -> int:
    return Effect.objects.filter(key__startswith="Effect").count()


def test_key__sent_twice__gives_the_same_bytes_and_one_effect(
    caller: ApiCaller, valkey: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    # E-01
    caplog.set_level(logging.INFO)
    first = caller.post(EFFECTS, {"name": "Effect"}, key=KEY, headers={"x-request-id": "req_1"})
    second = caller.post(EFFECTS, {"name": "Effect"}, key=KEY)

    assert (first.status_code, second.status_code) == (201, 201)
    assert second.content == first.content
    assert second.headers["Location"] == first.headers["Location"] == "/x"
    assert second.headers["Content-Type"] == first.headers["Content-Type"]
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    assert second.headers["x-request-id"] != "req_1"
    assert "idempotency.replayed original_request_id=req_1" in caplog.text
    assert effects() == 1


def test_replay__of_an_answer__tells_whose_it_was_its_age_and_its_end(
    caller: ApiCaller, valkey: redis.Redis
) -> None:
    # E-01
    first = caller.post(EFFECTS, {"name": "Effect"}, key=KEY, headers={"x-request-id": "req_1"})
    marks = ("Idempotency-Original-Request-Id", "Idempotency-Age")
    assert not set(marks) & first.headers.keys()
    hour = timedelta(hours=1)
    IdempotencyRecord.objects.update(
        created_at=F("created_at") - hour, expires_at=F("expires_at") - hour
    )

    for _ in range(3):  # From the database, then from the cache.
        again = caller.post(EFFECTS, {"name": "Effect"}, key=KEY)

        assert again.headers["Idempotency-Original-Request-Id"] == "req_1"
        assert 3600 <= int(again.headers["Idempotency-Age"]) < 3660
        ends = datetime.fromisoformat(again.headers["Idempotency-Expires"])
        assert abs((datetime.fromisoformat(first.headers["Idempotency-Expires"]) - ends) - hour) < (
            timedelta(seconds=2)
        )


def test_key__quoted_and_bare__is_the_same_key(caller: ApiCaller) -> None:
    first = caller.post(EFFECTS, {"name": "Effect"}, key=KEY)
    second = caller.post(EFFECTS, {"name": "Effect"}, key=f'"{KEY}"')

    assert second.content == first.content
    assert effects() == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"body": b'{"name":"Effect"}'},
        {"body": b'{"name": "Effect", "how": "", "howMany": 1}'},
        {"path": f"{EFFECTS}?a=1"},
        {"content_type": "text/plain"},
    ],
)
def test_key__with_another_request__is_refused(caller: ApiCaller, changed: Any) -> None:
    # P03
    caller.post(EFFECTS, b'{"name": "Effect"}', key=KEY)
    again = {"path": EFFECTS, "body": b'{"name": "Effect"}', **changed}

    response = caller.post(again.pop("path"), again.pop("body"), key=KEY, **again)

    assert_refused(response, 422, "IDEMPOTENCY_KEY_REUSED")
    assert effects() == 1


def test_key__on_another_path_of_the_route__is_refused(caller: ApiCaller) -> None:
    # P03
    caller.post(f"{EFFECTS}/a", {"name": "Effect"}, key=KEY)

    response = caller.post(f"{EFFECTS}/b", {"name": "Effect"}, key=KEY)

    assert_refused(response, 422, "IDEMPOTENCY_KEY_REUSED")
    assert effects() == 1


def test_key__of_another_method_route_or_organization__is_another_key(caller: ApiCaller) -> None:
    # E-01: the scope is client, method, route and key.
    other = new_caller()
    answers = [
        caller.post(EFFECTS, {"name": "Effect1"}, key=KEY),
        caller.put(EFFECTS, {"name": "Effect2"}, key=KEY),
        caller.post(f"{EFFECTS}/a", {"name": "Effect3"}, key=KEY),
        other.post(EFFECTS, {"name": "Effect4"}, key=KEY),
    ]

    assert [answer.status_code for answer in answers] == [201] * 4
    assert effects() == 4


def test_key__after_its_api_key_was_rotated__still_replays(caller: ApiCaller) -> None:
    first = caller.post(EFFECTS, {"name": "Effect"}, key=KEY)
    rotated = new_caller(organization=caller.organization)

    assert rotated.post(EFFECTS, {"name": "Effect"}, key=KEY).content == first.content
    assert effects() == 1


def test_key__presented_without_the_scope__shows_nothing(caller: ApiCaller) -> None:
    caller.post(EFFECTS, {"name": "Effect"}, key=KEY)
    reader = new_caller(scopes=("builds:read",), organization=caller.organization)

    assert_refused(reader.post(EFFECTS, {"name": "Effect"}, key=KEY), 403, "FORBIDDEN")


@pytest.mark.parametrize(
    "how", ["refusal", "crash", "missing", "denied", "suspicious", "constraint", "nul"]
)
def test_request__that_fails__leaves_nothing_and_may_be_sent_again(
    caller: ApiCaller, how: str
) -> None:
    # E-01, P31
    failed = caller.post(EFFECTS, {"name": "Effect", "how": how}, key=KEY)

    assert failed.status_code >= 400
    assert failed.json()["error"] != "IDEMPOTENCY_KEY_REUSED"
    assert b"secret" not in failed.content
    assert (effects(), IdempotencyRecord.objects.count()) == (0, 0)

    again = caller.post(EFFECTS, {"name": "Effect"}, key=KEY)
    assert again.status_code == 201
    assert effects() == 1


@pytest.mark.parametrize("how", ["refusal", "crash", "constraint"])
def test_request__without_a_key_that_fails__leaves_nothing(caller: ApiCaller, how: str) -> None:
    assert caller.post(EFFECTS, {"name": "Effect", "how": how}, key=None).status_code >= 400
    assert effects() == 0


@pytest.mark.parametrize(
    "key",
    ["", " ", "short", "x" * 15, "x" * 256, "ключ-ключ-ключ-ключ", "tab\tin-the-middle-of-it",
     '"unclosed-quoted-key', '"closed-quoted-key";a=1', '"bad\\escape-in-a-key-x"', '""'],
)  # fmt: skip
def test_key__malformed__is_refused(caller: ApiCaller, key: str) -> None:
    response = caller.post(EFFECTS, {"name": "Effect"}, key=None, headers={"Idempotency-Key": key})

    assert_refused(response, 400, "IDEMPOTENCY_KEY_MALFORMED")
    assert effects() == 0


@pytest.mark.parametrize("key", ["x" * 16, "x" * 255, "with spaces in it", '"x" but in quotes'])
def test_key__at_the_limits__is_taken(key: str) -> None:
    header = f'"{key}"' if '"' not in key else '"\\"x\\" but in quotes"'

    assert parse_key(header=header) == key
    if not key.startswith('"'):
        assert parse_key(header=key) == key


def test_key__missing_where_required__is_refused(caller: ApiCaller) -> None:
    response = caller.post("/v1/builds/test", {"name": "Effect"}, key=None)

    assert_refused(response, 400, "IDEMPOTENCY_KEY_REQUIRED")
    assert effects() == 0


def test_key__missing_without_credentials__says_who_are_you_first(caller: ApiCaller) -> None:
    anonymous = ApiCaller(None, None, "nobody")

    response = anonymous.post("/v1/builds/test", {"name": "Effect"}, key=None)

    assert_refused(response, 401, "UNAUTHENTICATED")


def test_delete__with_a_key__replays_and_without_one_is_fine(caller: ApiCaller) -> None:
    # E-01: a lost answer to a DELETE is given again, not worked out as "already gone".
    job_id = caller.post("/api/jobs", {"kind": "jobs.probe", "payload": {}}).json()["id"]
    sent = {"headers": {"Idempotency-Key": KEY}}

    first = caller.delete(f"/api/jobs/{job_id}", **sent)
    again = caller.delete(f"/api/jobs/{job_id}", **sent)

    assert (first.status_code, first.json()["state"]) == (200, "cancelled")
    assert again.content == first.content
    assert again.headers["Idempotency-Replayed"] == "true"
    assert_refused(caller.delete(f"/api/jobs/{job_id}"), 409, "JOB_ALREADY_FINISHED")


def test_key__missing_where_optional__is_fine(caller: ApiCaller) -> None:
    assert caller.post(EFFECTS, {"name": "Effect"}, key=None).status_code == 201
    assert IdempotencyRecord.objects.count() == 0


def test_answer__older_than_a_day__is_forgotten_and_pruned(caller: ApiCaller) -> None:
    caller.post(EFFECTS, {"name": "Effect"}, key=KEY)
    record = IdempotencyRecord.objects.get()
    kept = record.expires_at - record.created_at
    assert abs(kept.total_seconds() - KEPT_S) < 1
    _age()

    again = caller.post(EFFECTS, {"name": "Effect2"}, key=KEY)
    assert (again.status_code, effects()) == (201, 2)

    assert prune_idempotency() == 0
    _age()
    assert prune_idempotency() == 1
    assert IdempotencyRecord.objects.count() == 0


def _age() -> None:
    IdempotencyRecord.objects.update(
        created_at=F("created_at") - timedelta(hours=25),
        expires_at=F("expires_at") - timedelta(hours=25),
    )


def test_upload__over_memory_size__is_fingerprinted_and_read_by_the_view(
    caller: ApiCaller,
) -> None:
    body = b"x" * (3 * 1024 * 1024)
    first = caller.post("/v1/test/uploads", body, key=KEY, content_type="application/gzip")
    second = caller.post("/v1/test/uploads", body, key=KEY, content_type="application/gzip")
    other = caller.post("/v1/test/uploads", body + b"y", key=KEY, content_type="application/gzip")

    assert json.loads(first.content) == {"size": len(body)}
    assert second.headers["Idempotency-Replayed"] == "true"
    assert_refused(other, 422, "IDEMPOTENCY_KEY_REUSED")


def test_body__cut_off_on_its_way__is_refused(caller: ApiCaller) -> None:
    wire: Any = {"wsgi.input": BytesIO(b'{"name": "Effect"}')}

    response = caller.client.generic(
        "POST",
        EFFECTS,
        b'{"name": "Effect"}',
        content_type="application/json",
        headers={"Authorization": f"Bearer {caller.secret}"},
        CONTENT_LENGTH="50",
        **wire,
    )

    assert_refused(response, 400, "MALFORMED_REQUEST")
    assert effects() == 0
