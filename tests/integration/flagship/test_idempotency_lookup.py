"""GET /v1/idempotency/{key}: what a key did, without sending anything again."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import quote

import pytest

from builds.models import Build
from flagship.models import IdempotencyRecord
from flagship.selectors.idempotency import key_hash_of
from jobs.ids import public_id
from jobs.models import Job
from tests.asserts import assert_refused
from tests.clients import ApiCaller, make_client
from tests.factories import make_project, make_source

KEY = "build-1:create:session-1"


def look(caller: ApiCaller, key: str = KEY) -> Any:
    return caller.get(f"/v1/idempotency/{quote(key, safe='')}")


def order_of(api: ApiCaller) -> dict[str, str]:
    project = make_project(api.organization.id)
    source = make_source(project)
    return {
        "projectId": public_id("proj", project.id),
        "sourceId": public_id("src", source.id),
    }


@pytest.mark.django_db
def test_key__that_made_a_build__shows_its_answer_and_the_build(api: ApiCaller) -> None:
    # E-01: "did my build start?" without sending it again
    made = api.post("/v1/builds", order_of(api), key=KEY, headers={"x-request-id": "req_first"})

    body = look(api).json()

    [use] = body["uses"]
    assert (use["method"], use["path"], use["state"]) == ("POST", "/v1/builds", "answered")
    assert (use["status"], use["requestId"]) == (202, "req_first")
    assert use["answer"] == made.json()
    assert use["location"] == made.headers["Location"]
    assert 0 <= use["ageSeconds"] < 60
    assert use["expiresAt"][:19] == made.headers["Idempotency-Expires"][:19]
    assert datetime.fromisoformat(use["answeredAt"]) < datetime.fromisoformat(use["expiresAt"])
    [effect] = body["effects"]
    assert (effect["subjectType"], effect["subjectId"]) == ("build", made.json()["id"])
    assert (body["key"], Build.objects.count()) == (KEY, 1)


@pytest.mark.django_db
def test_key__whose_answer_has_gone__still_shows_what_it_made(api: ApiCaller) -> None:
    # E-01, P02
    single = api.post("/v1/builds", order_of(api), key=KEY).json()["id"]
    batch_key, item_key = "a-key-of-this-batch-01", "a-key-of-an-item-0001"
    items = [order_of(api), {**order_of(api), "key": item_key}, order_of(api)]
    batch = api.post("/v1/builds/batch", {"items": items}, key=batch_key).json()["items"]
    held = api.post(
        "/v1/credits/reserve",
        {"buildId": "b", "estimatedCredits": 5, "userId": "u", "idempotencyKey": "a-hold-of-5-000"
         "1"},
        key=None,
    ).json()["reservationId"]  # fmt: skip
    IdempotencyRecord.objects.all().delete()

    def effects(key: str) -> set[str]:
        body = look(api, key).json()
        assert body["uses"] == []
        return {effect["subjectId"] for effect in body["effects"]}

    made = [item["build"]["id"] for item in batch]
    assert effects(KEY) == {single}
    assert effects(batch_key) == {made[0], made[2]}
    assert effects(item_key) == {made[1]}
    assert effects("a-hold-of-5-0001") == {held}


@pytest.mark.django_db
def test_key__used_on_two_routes__shows_both(api: ApiCaller) -> None:
    # E-01: the scope of a key is client, method and route
    api.post("/v1/projects", {"name": "One"}, key=KEY)
    api.post("/v1/jobs", {"kind": "jobs.probe", "payload": {}}, key=KEY)

    uses = look(api).json()["uses"]

    assert [(use["method"], use["path"]) for use in uses] == [
        ("POST", "/v1/jobs"),
        ("POST", "/v1/projects"),
    ]


@pytest.mark.django_db
def test_key__never_used_or_refused_and_undone__is_not_found(api: ApiCaller) -> None:
    # E-01
    assert_refused(look(api), 404, "IDEMPOTENCY_KEY_NOT_FOUND")
    refused = api.post("/v1/builds", {**order_of(api), "builder": "jekyll"}, key=KEY)
    assert refused.status_code == 422

    assert_refused(look(api), 404, "IDEMPOTENCY_KEY_NOT_FOUND")


@pytest.mark.django_db
def test_key__of_another_organization__is_not_found(api: ApiCaller) -> None:
    # P24
    api.post("/v1/builds", order_of(api), key=KEY)

    assert_refused(look(make_client()), 404, "IDEMPOTENCY_KEY_NOT_FOUND")


@pytest.mark.django_db
def test_key__used_with_scopes_the_caller_lacks__shows_nothing_of_it(api: ApiCaller) -> None:
    # P24: a key that may not send the request may not read its answer either.
    api.post("/v1/builds", order_of(api), key=KEY)
    jobs_only = make_client(scopes=("jobs:write",), organization=api.organization)
    readers = make_client(scopes=("builds:read",), organization=api.organization)

    assert_refused(look(jobs_only), 404, "IDEMPOTENCY_KEY_NOT_FOUND")
    body = look(readers).json()
    assert body["uses"] == []
    assert [effect["subjectType"] for effect in body["effects"]] == ["build"]


@pytest.mark.django_db
def test_key__with_every_odd_character__is_looked_up_as_it_was_sent(api: ApiCaller) -> None:
    # E-01
    odd = 'a/b//c?d=e&f#g%2F;+ "quoted" ../~'
    api.post("/v1/projects", {"name": "One"}, key=odd)

    assert look(api, odd).json()["key"] == odd
    quoted = '"' + odd.replace('"', '\\"') + '"'
    assert look(api, quoted).json()["key"] == odd


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["short", "x" * 256, "é" * 20])
def test_key__malformed__is_refused(key: str, api: ApiCaller) -> None:
    # E-01
    assert_refused(look(api, key), 400, "IDEMPOTENCY_KEY_MALFORMED")


@pytest.mark.django_db
def test_caller__without_a_key_of_its_own__is_not_let_in() -> None:
    # P24
    assert_refused(look(ApiCaller(None, None, "nobody")), 401, "UNAUTHENTICATED")


def test_key__whose_request_is_in_hand__is_at_work_until_it_ends(
    live_db: None, app_db: Any
) -> None:
    # E-01: the lock on the key is what is looked at, the row is not there yet.
    api = make_client()
    key_hash = key_hash_of(api.organization.id, "POST", "v1/jobs", KEY)
    with app_db.transaction(force_rollback=True):
        app_db.execute("SELECT * FROM flagship_claim_key(%s, 1000)", [key_hash])
        [use] = look(api).json()["uses"]

    assert (use["method"], use["path"], use["state"]) == ("POST", "/v1/jobs", "working")
    assert {value for name, value in use.items() if name not in {"method", "path", "state"}} == {
        None
    }
    assert_refused(look(api), 404, "IDEMPOTENCY_KEY_NOT_FOUND")
    assert api.post("/v1/jobs", {"kind": "jobs.probe", "payload": {}}, key=KEY).status_code == 202
    assert look(api).json()["uses"][0]["state"] == "answered"
    assert Job.objects.count() == 1
