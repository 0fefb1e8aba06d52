"""POST /v1/builds/batch: all or nothing, once per key."""

from __future__ import annotations

from typing import Any

import pytest

from builds.models import Build, Project
from builds.services.batch import MAX_ITEMS
from builds.services.moves import fail_build
from credits.models import Account, Reservation
from credits.services import grant_credits
from flagship.models import AuditEvent, IdempotencyRecord
from jobs.clients.wall import outside
from jobs.ids import parse_public_id, public_id
from jobs.models import Job
from tests.asserts import assert_refused
from tests.clients import ApiCaller, make_client
from tests.factories import make_build, make_project, make_source
from tests.integration.builds.rows import snapshot
from tests.ledger import assert_ledger_adds_up

pytestmark = pytest.mark.django_db

PATH = "/v1/builds/batch"


def order(project: Project, **more: Any) -> dict[str, Any]:
    return {
        "projectId": public_id("proj", project.id),
        "sourceId": public_id("src", make_source(project).id),
        **more,
    }


def orders(api: ApiCaller, count: int = 3) -> list[dict[str, Any]]:
    return [order(make_project(api.organization.id)) for _ in range(count)]


def state_of_everything() -> list[Any]:
    return [
        *snapshot(),
        Job.objects.count(),
        Reservation.objects.count(),
        AuditEvent.objects.count(),
        IdempotencyRecord.objects.count(),
    ]


def test_batch__of_several_projects__makes_a_build_and_a_hold_for_each(api: ApiCaller) -> None:
    # B-07 B-06
    items = orders(api)
    items[1]["key"] = "a-key-of-an-item-0001"

    response = api.post(PATH, {"items": items})

    body = response.json()
    assert response.status_code == 202
    assert [item["outcome"] for item in body["items"]] == ["created"] * 3
    assert [item["index"] for item in body["items"]] == [0, 1, 2]
    assert [item["key"] for item in body["items"]] == [None, "a-key-of-an-item-0001", None]
    assert [item["build"]["projectId"] for item in body["items"]] == [
        item["projectId"] for item in items
    ]
    holds = {item["build"]["reservationId"] for item in body["items"]}
    assert len(holds) == 3
    account = Account.objects.get(organization_id=api.organization.id)
    assert account.reserved == body["estimatedCredits"] == 9
    assert (body["createdCount"], body["existingCount"]) == (3, 0)
    assert Job.objects.count() == 3
    for item in body["items"]:
        assert api.get(f"/v1/builds/{item['build']['id']}").json() == item["build"]
    assert_ledger_adds_up()


def test_batch__several_builds_of_a_project__take_a_slot_each(api: ApiCaller) -> None:
    # B-07 B-03
    project = make_project(api.organization.id, max_active=3)
    make_build(project)

    api.post(PATH, {"items": [order(project), order(project)]})

    assert list(Build.objects.order_by("slot").values_list("slot", flat=True)) == [0, 1, 2]


def test_batch__same_key_again__is_the_same_answer_and_nothing_more(api: ApiCaller) -> None:
    # E-01 B-07
    body, key = {"items": orders(api)}, "a-key-of-this-batch-01"

    first, again = api.post(PATH, body, key=key), api.post(PATH, body, key=key)

    assert again.content == first.content
    assert Build.objects.count() == 3
    other = {"items": body["items"][:2]}
    assert_refused(api.post(PATH, other, key=key), 422, "IDEMPOTENCY_KEY_REUSED")


def test_batch__same_key_when_the_answer_has_gone__finds_its_builds(api: ApiCaller) -> None:
    # E-01 B-07 P02
    body, key = {"items": orders(api)}, "a-key-of-this-batch-02"
    first = api.post(PATH, body, key=key).json()
    IdempotencyRecord.objects.all().delete()
    before = snapshot()

    again = api.post(PATH, body, key=key).json()

    assert [item["outcome"] for item in again["items"]] == ["existing"] * 3
    assert [item["build"] for item in again["items"]] == [item["build"] for item in first["items"]]
    assert (again["createdCount"], again["estimatedCredits"]) == (0, 0)
    assert snapshot() == before


@pytest.mark.parametrize("how", ["fewer", "more", "other", "moved", "keyed"])
def test_batch__key_of_another_batch_whose_answer_has_gone__is_told_so(
    how: str, issue_key: Any
) -> None:
    # E-01 B-07 P02: none of it is made, and what the key has made is named.
    api, key = issue_key(), "a-key-of-this-batch-04"
    items = orders(api, 3)
    first = api.post(PATH, {"items": items}, key=key).json()["items"]
    IdempotencyRecord.objects.all().delete()
    changed = {
        "fewer": items[:2],
        "more": [*items, *orders(api, 1)],
        "other": [*items[:2], *orders(api, 1)],
        "moved": [items[1], items[0], items[2]],
        "keyed": [*items[:2], {**items[2], "key": "a-key-of-an-item-0008"}],
    }[how]
    before = state_of_everything()

    refused = assert_refused(
        api.post(PATH, {"items": changed}, key=key), 409, "IDEMPOTENCY_KEY_EXPIRED"
    )

    assert refused["message"] == (
        "The Idempotency-Key has made another batch, whose answer is no longer kept."
    )
    assert refused["data"]["items"] == [
        {"index": index, "buildId": item["build"]["id"]} for index, item in enumerate(first)
    ]
    assert state_of_everything() == before


def test_batch__item_that_another_batch_has_made__is_that_build(api: ApiCaller) -> None:
    # B-07 P02
    shared = order(make_project(api.organization.id), key="a-key-of-an-item-0002")
    first = api.post(PATH, {"items": [shared]}).json()["items"][0]["build"]
    fail_build(build_id=parse_public_id("build", first["id"]), code="X", message="x")

    body = api.post(PATH, {"items": [*orders(api, 1), shared]}).json()

    assert [item["outcome"] for item in body["items"]] == ["created", "existing"]
    assert body["items"][1]["build"]["id"] == first["id"]
    assert body["items"][1]["build"]["state"] == "failed"
    assert Build.objects.count() == 2


def test_batch__item_key_of_a_single_build__is_one_key_in_both_directions(api: ApiCaller) -> None:
    # B-07 P02
    project, key = make_project(api.organization.id), "a-key-of-an-item-0003"
    wanted = order(project)
    single = api.post("/v1/builds", wanted, key=key).json()

    body = api.post(PATH, {"items": [{**wanted, "key": key}]}).json()
    assert body["items"][0]["build"]["id"] == single["id"]

    key, other = "a-key-of-an-item-0004", order(make_project(api.organization.id))
    made = api.post(PATH, {"items": [{**other, "key": key}]}).json()["items"][0]["build"]
    before = snapshot()
    refused = assert_refused(api.post("/v1/builds", other, key=key), 409, "IDEMPOTENCY_KEY_EXPIRED")
    assert refused["data"]["buildId"] == made["id"]
    assert snapshot() == before


def test_batch__item_key_that_made_another_build__is_refused(api: ApiCaller) -> None:
    # B-07 P03
    project, key = make_project(api.organization.id, max_active=5), "a-key-of-an-item-0005"
    made = api.post(PATH, {"items": [order(project, key=key)]}).json()["items"][0]["build"]
    before = state_of_everything()

    changed = order(project, key=key)
    refused = assert_refused(
        api.post(PATH, {"items": [*orders(api, 1), changed]}), 422, "IDEMPOTENCY_KEY_REUSED"
    )

    assert refused["data"]["items"][0]["data"]["buildId"] == made["id"]
    assert refused["data"]["items"][0]["index"] == 1
    assert state_of_everything()[0] == before[0]


def test_batch__too_few_credits_for_the_whole__says_what_is_missing_and_changes_nothing(
    issue_key: Any,
) -> None:
    # B-07 B-06 E-03
    poor, key = issue_key(credit=8), "a-key-of-this-batch-03"
    body = {"items": orders(poor)}
    before = state_of_everything()

    refused = assert_refused(poor.post(PATH, body, key=key), 422, "INSUFFICIENT_CREDITS")

    assert (refused["data"]["required"], refused["data"]["available"]) == (9, 8)
    assert refused["message"] == "User requires 1 more credits"
    assert state_of_everything() == before
    grant_credits(
        organization_id=poor.organization.id,
        amount_credits=1,
        reason="bought",
        actor="test",
        reference="p2",
    )
    assert poor.post(PATH, body, key=key).status_code == 202
    account = Account.objects.get(organization_id=poor.organization.id)
    assert (account.balance, account.reserved) == (9, 9)


def test_batch__one_item_refused__makes_none_and_names_each(api: ApiCaller) -> None:
    # B-07 B-04 P24
    busy = make_project(api.organization.id)
    make_build(busy)
    theirs = make_project(make_client().organization.id)
    good = orders(api, 1)[0]
    items = [
        good,
        order(busy),
        {**orders(api, 1)[0], "builder": "jekyll"},
        {**order(theirs), "key": "a-key-of-an-item-0006"},
        {**orders(api, 1)[0], "sourceId": public_id("src", make_source(busy).id)},
    ]
    before = state_of_everything()

    refused = assert_refused(api.post(PATH, {"items": items}), 422, "UNKNOWN_BUILDER")

    assert [(item["index"], item["error"]) for item in refused["data"]["items"]] == [
        (2, "UNKNOWN_BUILDER"),
        (3, "PROJECT_NOT_FOUND"),
        (4, "SOURCE_NOT_FOUND"),
    ]
    assert refused["data"]["items"][1]["key"] == "a-key-of-an-item-0006"
    assert state_of_everything() == before
    response = api.post(PATH, {"items": items[:2]})
    refused = assert_refused(response, 429, "BUILD_ALREADY_RUNNING")
    assert response.headers["Retry-After"] == str(refused["data"]["etaSeconds"])
    assert [item["index"] for item in refused["data"]["items"]] == [1]
    assert state_of_everything() == before
    assert api.post(PATH, {"items": [good]}).status_code == 202


def test_batch__more_of_a_project_than_it_allows__is_refused_for_good(api: ApiCaller) -> None:
    # B-07 B-03
    project = make_project(api.organization.id, max_active=2)
    items = [order(project), *orders(api, 1), order(project), order(project)]
    before = state_of_everything()

    refused = assert_refused(api.post(PATH, {"items": items}), 422, "BATCH_EXCEEDS_MAX_ACTIVE")

    assert refused["data"] == {
        "projectId": public_id("proj", project.id),
        "asked": 3,
        "maxActive": 2,
        "items": [0, 2, 3],
    }
    assert state_of_everything() == before


def test_batch__newest_wins__cancels_what_waited_and_none_of_its_own(api: ApiCaller) -> None:
    # B-07 B-03
    project = make_project(api.organization.id, max_active=2, newest_wins=True)
    older = [make_build(project), make_build(project)]

    body = api.post(PATH, {"items": [order(project), order(project)]}).json()

    # The second of the older ones had cancelled the first.
    assert set(
        Build.objects.filter(id__in=[b.id for b in older]).values_list("state", flat=True)
    ) == {"cancelled"}
    states = [
        api.get(f"/v1/builds/{item['build']['id']}").json()["state"] for item in body["items"]
    ]
    assert states == ["queued", "queued"]
    assert_ledger_adds_up()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"items": []}, "items"),
        ({"items": {}}, "items"),
        ({}, "items"),
        ({"items": [5]}, "items.0"),
        ({"items": [{}]}, "items.0"),
        ({"items": [None] * (MAX_ITEMS + 1)}, "items"),
        ({"extra": 1}, "extra"),
    ],
)
def test_batch__of_another_shape__is_refused(
    change: dict[str, Any], field: str, api: ApiCaller
) -> None:
    # E-08
    before = state_of_everything()

    refused = assert_refused(api.post(PATH, change), 422, "VALIDATION_FAILED")

    assert any(name.startswith(field) for name in refused["data"]["fields"]), refused["data"]
    assert state_of_everything() == before


@pytest.mark.parametrize(
    "change",
    [{"key": "short"}, {"key": "é" * 20}, {"key": 5}, {"rebuildOf": "x"}, {"index": 1}],
)
def test_batch__item_of_another_shape__is_refused(change: dict[str, Any], api: ApiCaller) -> None:
    # E-08
    items = [{**orders(api, 1)[0], **change}]

    assert_refused(api.post(PATH, {"items": items}), 422, "VALIDATION_FAILED")
    assert Build.objects.count() == 0


def test_batch__a_key_twice_or_none_at_all__is_refused(api: ApiCaller) -> None:
    # E-01 B-07
    items = [{**item, "key": "a-key-of-an-item-0007"} for item in orders(api, 2)]

    assert_refused(api.post(PATH, {"items": items}), 422, "VALIDATION_FAILED")
    assert_refused(
        api.post(PATH, {"items": orders(api, 1)}, key=None), 400, "IDEMPOTENCY_KEY_REQUIRED"
    )
    assert Build.objects.count() == 0


def test_batch__of_the_largest_size__is_accepted(api: ApiCaller) -> None:
    # B-07 E-10
    body = api.post(PATH, {"items": orders(api, MAX_ITEMS)}).json()

    assert body["createdCount"] == MAX_ITEMS == Build.objects.count()


def test_batch__credits_come_while_it_is_refused__is_tried_again(
    issue_key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # B-07
    from builds.services import batch

    poor = issue_key(credit=8)
    ask = batch._refuse_whole

    def ask_after_a_purchase(*args: Any) -> None:
        # By somebody else, who is no client.
        with outside():
            grant_credits(
                organization_id=poor.organization.id,
                amount_credits=100,
                reason="bought",
                actor="test",
                reference="p3",
            )
        ask(*args)

    monkeypatch.setattr(batch, "_refuse_whole", ask_after_a_purchase)

    assert poor.post(PATH, {"items": orders(poor)}).status_code == 202
    account = Account.objects.get(organization_id=poor.organization.id)
    assert (account.balance, account.reserved) == (108, 9)
    assert Reservation.objects.count() == 3
    assert_ledger_adds_up()
