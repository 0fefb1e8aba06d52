"""Dead letters over the API: listed, summed up, requeued, discarded, cleaned up (D-05)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from flagship.models import AuditEvent
from jobs.ids import public_id
from jobs.models import FailedJob, Job
from jobs.queues import CONTENT, MAINTENANCE
from jobs.selectors.dead_letters import letter_id
from tests.asserts import assert_refused
from tests.clients import ApiCaller, make_client
from tests.integration.console.rows import make_letter
from tests.integration.jobs.letters import make_letters

pytestmark = pytest.mark.django_db

PATH = "/v1/dead-letters"


def mine(api: ApiCaller, **fields: Any) -> FailedJob:
    """A letter of the caller's organization whose job would succeed."""
    fields = {"payload": {"action": "succeed"}} | fields
    return make_letter(organization_id=api.organization.id, **fields)


def ids(response: Any) -> list[str]:
    """The letters of a page."""
    assert response.status_code == 200, response.content
    return [item["id"] for item in response.json()["items"]]


def test_list__of_an_organization__is_its_open_ones_newest_first(api: ApiCaller) -> None:
    # D-05, P24
    old = mine(api, died_ago=timedelta(hours=2), message="no space")
    new = mine(api)
    make_letter()
    make_letter(organization_id=make_client().organization.id)
    answered = mine(api)
    api.post(f"{PATH}/{letter_id(answered)}/discard", {"reason": "known"})

    assert ids(api.get(PATH)) == [letter_id(new), letter_id(old)]
    assert len(ids(api.get(f"{PATH}?state=all"))) == 3
    assert ids(api.get(f"{PATH}?state=discarded")) == [letter_id(answered)]
    item = api.get(PATH).json()["items"][1]
    assert item["jobId"] == public_id("job", old.job_id)
    assert (item["state"], item["message"], item["resolvedAt"]) == ("open", "no space", None)
    assert "traceback" not in item and "payload" not in item


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (f"queue={CONTENT}", 1),
        ("kind=jobs.probe", 3),
        ("errorClass=builtins.KeyError", 1),
        ("text=such%20key", 1),
        ("text=suc", 0),
        ("fingerprint=f2", 1),
        ("diedSince=2020-01-01T00:00:00Z", 3),
        ("diedUntil=2020-01-01T00:00:00Z", 0),
    ],
)
def test_list__narrowed__holds_what_matches(api: ApiCaller, query: str, found: int) -> None:
    # D-05
    mine(api, queue=CONTENT)
    mine(api, error_class="builtins.KeyError", message="no such key")
    mine(api, fingerprint="f2")

    assert len(ids(api.get(f"{PATH}?{query}"))) == found


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("state=dead", "state"),
        ("limit=0", "limit"),
        ("cursor=x", "cursor"),
        ("queue=none", "queue"),
        ("diedSince=yesterday", "diedSince"),
        ("colour=red", "colour"),
    ],
)
def test_list__asked_wrongly__names_the_field(api: ApiCaller, query: str, field: str) -> None:
    # D-05, E-08
    response = api.get(f"{PATH}?{query}")

    assert_refused(response, 422, "VALIDATION_FAILED")
    assert set(response.json()["data"]["fields"]) == {field}


def test_list__in_pages__shows_each_once(api: ApiCaller) -> None:
    # D-05
    letters = make_letters(7, organization_id=api.organization.id)

    seen, cursor = [], ""
    while cursor is not None:
        response = api.get(f"{PATH}?limit=3{cursor and f'&cursor={cursor}'}")
        seen += ids(response)
        cursor = response.json()["nextCursor"]

    assert seen == [letter_id(letter) for letter in reversed(letters)]


def test_summary__of_what_is_open__counts_by_queue_and_cause(api: ApiCaller) -> None:
    # D-05
    make_letters(3, organization_id=api.organization.id, fingerprint="f1")
    mine(api, queue=CONTENT, fingerprint="f2", error_class="builtins.KeyError")
    answered = mine(api)
    api.post(f"{PATH}/{letter_id(answered)}/discard", {"reason": "known"})
    make_letters(2)

    told = api.get(f"{PATH}/summary").json()

    assert (told["open"], told["isExact"]) == (4, True)
    assert [(each["queue"], each["open"]) for each in told["queues"]] == [
        (CONTENT, 1),
        (MAINTENANCE, 3),
    ]
    assert [(each["fingerprint"], each["open"]) for each in told["groups"]] == [
        ("f1", 3),
        ("f2", 1),
    ]
    first = told["groups"][0]
    assert first["firstSeenAt"] < first["lastSeenAt"]


def test_summary__of_more_than_it_looks_at__says_so(
    api: ApiCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    # D-05
    monkeypatch.setattr("jobs.selectors.dead_letters.SUMMED_UP", 2)
    make_letters(4, organization_id=api.organization.id)

    told = api.get(f"{PATH}/summary").json()

    assert (told["open"], told["isExact"]) == (2, False)


def test_requeue__of_a_letter__is_done_once_and_audited(api: ApiCaller) -> None:
    # D-03, D-05, D-06
    letter = mine(api)

    first = api.post(f"{PATH}/{letter_id(letter)}/requeue")
    again = api.post(f"{PATH}/{letter_id(letter)}/requeue")

    assert (first.status_code, first.json()["state"]) == (200, "requeued")
    assert first.json()["resolvedBy"].startswith("api_key:")
    assert_refused(again, 409, "DEAD_LETTER_NOT_OPEN")
    assert Job.objects.get(id=letter.job_id).state == "pending"
    event = AuditEvent.objects.get(action="job.requeued")
    assert event.actor == first.json()["resolvedBy"]


def test_requeue__of_a_payload_that_no_longer_fits__changes_nothing(api: ApiCaller) -> None:
    # D-05
    letter = mine(api, payload={"action": "explode"})

    assert_refused(api.post(f"{PATH}/{letter_id(letter)}/requeue"), 422, "INVALID_PAYLOAD")

    letter.refresh_from_db()
    assert letter.state == "open"


def test_discard__without_a_reason__changes_nothing(api: ApiCaller) -> None:
    # D-04, D-05
    letter = mine(api)

    assert api.post(f"{PATH}/{letter_id(letter)}/discard", {}).status_code == 422
    assert api.post(f"{PATH}/{letter_id(letter)}/discard", {"reason": " "}).status_code == 422
    done = api.post(f"{PATH}/{letter_id(letter)}/discard", {"reason": " test data "})

    assert (done.json()["state"], done.json()["reason"]) == ("discarded", "test data")


@pytest.mark.parametrize("answer", ["requeue", "discard"])
@pytest.mark.parametrize("whose", ["strangers", "the platform's", "nobody's", "no id"])
def test_answer__to_a_letter_of_somebody_else__is_404(
    api: ApiCaller, answer: str, whose: str
) -> None:
    # D-05, P24
    named = {
        "strangers": letter_id(make_letter(organization_id=make_client().organization.id)),
        "the platform's": letter_id(make_letter()),
        "nobody's": f"dead_{'f' * 32}",
        "no id": "4711",
    }[whose]

    response = api.post(
        f"{PATH}/{named}/{answer}", {"reason": "x"} if answer == "discard" else None
    )

    assert_refused(response, 404, "DEAD_LETTER_NOT_FOUND")
    assert not FailedJob.objects.exclude(state="open").exists()


def test_cleanup__of_old_letters__discards_them_with_the_reason(api: ApiCaller) -> None:
    # D-04, D-05
    old = [mine(api, died_ago=timedelta(days=40 + n)) for n in range(3)]
    mine(api, died_ago=timedelta(days=20))
    make_letter(died_ago=timedelta(days=90))
    order = {"olderThanDays": 30, "reason": "too old"}

    looked = api.post(f"{PATH}/cleanup", order | {"dryRun": True}).json()
    open_then = FailedJob.objects.filter(state="open").count()
    done = api.post(f"{PATH}/cleanup", order).json()

    assert looked == {"discarded": 3, "isMore": False, "dryRun": True}
    assert open_then == 5
    assert done == {"discarded": 3, "isMore": False, "dryRun": False}
    gone = FailedJob.objects.filter(state="discarded", reason="too old")
    assert {letter.id for letter in gone} == {letter.id for letter in old}
    assert AuditEvent.objects.filter(action="job.discarded").count() == 3


def test_cleanup__of_many__takes_some_and_says_that_there_are_more(
    api: ApiCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    # D-05
    monkeypatch.setattr("jobs.services.old_letters.AT_ONCE", 2)
    for number in range(3):
        mine(api, died_ago=timedelta(days=40 + number))
    order = {"reason": "too old"}

    assert api.post(f"{PATH}/cleanup", order | {"dryRun": True}).json()["isMore"]
    first = api.post(f"{PATH}/cleanup", order).json()
    second = api.post(f"{PATH}/cleanup", order).json()

    assert (first["discarded"], first["isMore"]) == (2, True)
    assert (second["discarded"], second["isMore"]) == (1, False)


@pytest.mark.parametrize(
    "order",
    [
        {},
        {"reason": "x", "olderThanDays": 0},
        {"reason": "x", "olderThanDays": "30"},
        {"reason": "x", "dryRun": "true"},
        {"reason": "x", "queue": CONTENT},
    ],
)
def test_cleanup__ordered_wrongly__changes_nothing(api: ApiCaller, order: dict[str, Any]) -> None:
    # D-05, E-08
    mine(api, died_ago=timedelta(days=90))

    assert_refused(api.post(f"{PATH}/cleanup", order), 422, "VALIDATION_FAILED")
    assert FailedJob.objects.get().state == "open"


@pytest.mark.parametrize("scope", ["dead-letters:read", "jobs:write"])
def test_answer__without_the_scope__is_403(scope: str) -> None:
    # D-05, D-06
    reader = make_client(scopes=(scope,))
    letter = mine(reader)

    for path, body in (
        (f"{letter_id(letter)}/requeue", None),
        (f"{letter_id(letter)}/discard", {"reason": "x"}),
        ("cleanup", {"reason": "x"}),
    ):
        assert_refused(reader.post(f"{PATH}/{path}", body), 403, "FORBIDDEN")
    assert (reader.get(PATH).status_code == 200) is (scope == "dead-letters:read")
