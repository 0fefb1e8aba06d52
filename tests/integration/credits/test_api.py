"""The credit routes, with the seed's bodies and answers."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

import pytest

from credits.models import Entry, Reservation
from credits.selectors import Funds, get_funds
from credits.services import grant_credits
from flagship.models import AuditEvent, IdempotencyRecord
from flagship.services.organizations import create_organization
from jobs.ids import public_id
from tests.asserts import assert_refused
from tests.factories import make_account, make_hold, make_overdue_hold

pytestmark = pytest.mark.django_db

RESERVE, COMMIT, RELEASE = "/v1/credits/reserve", "/v1/credits/commit", "/v1/credits/release"
KEY = "reserve_build_123_session_abc"


def body(**changes: Any) -> dict[str, Any]:
    seeded = {"buildId": "build_123", "estimatedCredits": 150, "userId": "user_456"}
    return {**seeded, **changes}


def state(api: Any) -> tuple[Funds, int, int, int]:
    funds = get_funds(organization_id=api.organization.id)
    return funds, Entry.objects.count(), Reservation.objects.count(), AuditEvent.objects.count()


def reserve(api: Any, **changes: Any) -> str:
    response = api.post(RESERVE, body(**changes))
    assert response.status_code == 201, response.content
    return str(response.json()["reservationId"])


def test_reserve__seed_body__gives_the_seed_answer(api: Any) -> None:
    # C-01
    response = api.post(RESERVE, body(idempotencyKey=KEY), key=None)

    assert response.status_code == 201
    answer = response.json()
    hold = Reservation.objects.get()
    assert answer == {
        "reservationId": public_id("res", hold.id),
        "reserved": 150,
        "expires": answer["expires"],
    }
    assert answer["expires"].endswith("Z")
    assert datetime.fromisoformat(answer["expires"]) == hold.expires_at
    assert (hold.subject_type, hold.subject_id, hold.user_id) == ("build", "build_123", "user_456")
    event = AuditEvent.objects.get(action="credits.reserved")
    assert event.actor == f"api_key:{api.api_key.prefix}"
    assert event.request_id == response.headers["x-request-id"]


def test_commit__seed_body__gives_the_seed_answer(issue_key: Any) -> None:
    # C-01
    api = issue_key(credit=570)
    reservation = reserve(api)

    response = api.post(
        COMMIT, {"reservationId": reservation, "actualCredits": 120, "buildId": "build_123"}
    )

    assert response.status_code == 200
    assert response.json() == {"charged": 120, "refunded": 30, "newBalance": 450}


def test_release__seed_body__gives_the_seed_answer(issue_key: Any) -> None:
    # C-01
    api = issue_key(credit=580)
    reservation = reserve(api)

    response = api.post(RELEASE, {"reservationId": reservation, "reason": "build_failed"})

    assert response.status_code == 200
    assert response.json() == {"released": 150, "newBalance": 580}


@pytest.mark.parametrize("where", ["header", "body", "both", "body then header"])
def test_reserve__same_key_again__answers_the_same_and_holds_once(api: Any, where: str) -> None:
    # C-01, E-01
    in_header = {"key": KEY if where in {"header", "both"} else None}
    in_body = {} if where == "header" else {"idempotencyKey": KEY}

    first = api.post(RESERVE, body(**in_body), **in_header)
    again = api.post(
        RESERVE, body(**in_body), **({"key": KEY} if where == "body then header" else in_header)
    )

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert Reservation.objects.count() == 1
    assert AuditEvent.objects.filter(action="credits.reserved").count() == 1


def test_reserve__same_key_after_its_answer_is_gone__still_holds_once(api: Any) -> None:
    # C-01, P02: the key stays with the reservation when the 24 hours are over
    first = api.post(RESERVE, body(), key=KEY)
    IdempotencyRecord.objects.get().delete()

    again = api.post(RESERVE, body(), key=KEY)

    assert first.json() == again.json()
    assert Reservation.objects.count() == 1


def test_reserve__key_in_header_and_another_in_body__is_refused(api: Any) -> None:
    before = state(api)

    response = api.post(RESERVE, body(idempotencyKey=KEY), key="another_key_in_the_header")

    refusal = assert_refused(response, 422, "VALIDATION_FAILED")
    assert list(refusal["data"]["fields"]) == ["idempotencyKey"]
    assert state(api) == before


@pytest.mark.parametrize("other", ["another_key_in_the_body", "short", "", "ключ-ключ-ключ-ключ"])
def test_reserve__key_that_was_answered_with_another_in_the_body__is_refused(
    other: str, api: Any
) -> None:
    # E-01: they agree or nothing is done, whatever the header's key would be answered.
    api.post(RESERVE, body(), key=KEY)
    before = state(api)

    response = api.post(RESERVE, body(idempotencyKey=other), key=KEY)

    refusal = assert_refused(response, 422, "VALIDATION_FAILED")
    assert list(refusal["data"]["fields"]) == ["idempotencyKey"]
    assert state(api) == before


def test_reserve__key_quoted_in_the_header_and_bare_in_the_body__agrees(api: Any) -> None:
    # E-01
    response = api.post(RESERVE, body(idempotencyKey=KEY), key=f'"{KEY}"')

    assert response.status_code == 201
    again = api.post(RESERVE, body(idempotencyKey=KEY), key=None)
    assert again.content == response.content
    assert again.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize("key", ["short", "ключ-ключ-ключ-ключ", "x" * 256])
def test_reserve__key_in_the_body_alone_that_is_none__is_refused(key: str, api: Any) -> None:
    # E-01
    before = state(api)

    response = api.post(RESERVE, body(idempotencyKey=key), key=None)

    assert_refused(response, 400, "IDEMPOTENCY_KEY_MALFORMED")
    assert state(api) == before


def test_reserve__no_key_at_all__is_refused(api: Any) -> None:
    before = state(api)

    assert_refused(api.post(RESERVE, body(), key=None), 400, "IDEMPOTENCY_KEY_REQUIRED")

    assert state(api) == before


@pytest.mark.parametrize("key", ["header", "body"])
def test_reserve__same_key_other_amount__is_refused(api: Any, key: str) -> None:
    # E-01
    sent: dict[str, Any] = {"key": KEY} if key == "header" else {"key": None}
    named = {} if key == "header" else {"idempotencyKey": KEY}
    api.post(RESERVE, body(**named), **sent)
    before = state(api)

    response = api.post(RESERVE, body(**named, estimatedCredits=151), **sent)

    assert_refused(response, 422, "IDEMPOTENCY_KEY_REUSED")
    assert state(api) == before


def test_reserve__too_little__recommends_as_the_seed_does(issue_key: Any) -> None:
    # E-03
    api = issue_key(credit=350)
    before = state(api)

    response = api.post(RESERVE, body(estimatedCredits=500), key=KEY)

    refusal = assert_refused(response, 422, "INSUFFICIENT_CREDITS")
    assert refusal["message"] == "User requires 150 more credits"
    assert refusal["data"] == {
        "required": 500,
        "available": 350,
        "recommendation": {
            "package": "pro",
            "cost": 29.99,
            "credits": 1000,
            "savings": "Best value - 2x credits",
        },
        **{"held": 0, "heldBy": 0, "holds": [], "fitsAt": None},
    }
    assert state(api) == before


def test_reserve__too_little_then_bought__same_key_succeeds(issue_key: Any) -> None:
    # E-01: a refusal left nothing behind
    api = issue_key(credit=100)
    assert_refused(api.post(RESERVE, body(), key=KEY), 422, "INSUFFICIENT_CREDITS")
    grant_credits(
        organization_id=api.organization.id,
        amount_credits=1000,
        reason="bought",
        actor="test",
        reference="order",
    )

    assert api.post(RESERVE, body(), key=KEY).status_code == 201


@pytest.mark.parametrize(
    ("path", "sent", "field"),
    [
        (RESERVE, body(estimatedCredits=0), "estimatedCredits"),
        (RESERVE, body(estimatedCredits=-1), "estimatedCredits"),
        (RESERVE, body(estimatedCredits=10**12 + 1), "estimatedCredits"),
        (RESERVE, body(estimatedCredits=10**40), "estimatedCredits"),
        (RESERVE, body(estimatedCredits="150"), "estimatedCredits"),
        (RESERVE, body(estimatedCredits=1.5), "estimatedCredits"),
        (RESERVE, body(estimatedCredits=True), "estimatedCredits"),
        (RESERVE, body(estimatedCredits=None), "estimatedCredits"),
        (RESERVE, body(buildId=""), "buildId"),
        (RESERVE, body(buildId=7), "buildId"),
        (RESERVE, body(buildId="x" * 101), "buildId"),
        (RESERVE, body(userId=["user"]), "userId"),
        (RESERVE, body(idempotencyKey=5), "idempotencyKey"),
        (RESERVE, body(extra=1), "extra"),
        (RESERVE, {"buildId": "b", "userId": "u"}, "estimatedCredits"),
        (COMMIT, {"reservationId": "res_1", "actualCredits": 1}, "reservationId"),
        (COMMIT, {"reservationId": "build_" + "0" * 32, "actualCredits": 1}, "reservationId"),
        (COMMIT, {"reservationId": "res_" + "0" * 32, "actualCredits": -1}, "actualCredits"),
        (COMMIT, {"reservationId": "res_" + "0" * 32}, "actualCredits"),
        (RELEASE, {"reservationId": "res_" + "0" * 32, "reason": ""}, "reason"),
        (RELEASE, {"reservationId": "res_" + "0" * 32}, "reason"),
        (RELEASE, {"reservationId": 5, "reason": "r"}, "reservationId"),
    ],
)
def test_body__invalid__names_the_field(
    api: Any, path: str, sent: dict[str, Any], field: str
) -> None:
    # E-08
    before = state(api)

    refusal = assert_refused(api.post(path, sent), 422, "VALIDATION_FAILED")

    assert list(refusal["data"]["fields"]) == [field]
    assert state(api) == before


@pytest.mark.parametrize("sent", [[], "x", None, 5])
@pytest.mark.parametrize("path", [RESERVE, COMMIT, RELEASE])
def test_body__not_an_object__is_refused(api: Any, path: str, sent: Any) -> None:
    # E-08
    response = api.post(path, sent)

    assert 400 <= response.status_code < 500
    assert Reservation.objects.count() == 0


@pytest.mark.parametrize(
    ("path", "rest"), [(COMMIT, {"actualCredits": 1}), (RELEASE, {"reason": "r"})]
)
def test_reservation__of_another_organization__is_not_found(
    api: Any, path: str, rest: dict[str, Any]
) -> None:
    # P24
    foreign = make_hold(make_account())
    before = state(api)

    for reservation_id in (foreign.reservation_id, uuid.uuid4()):
        sent = {"reservationId": public_id("res", reservation_id), **rest}
        assert_refused(api.post(path, sent), 404, "RESERVATION_NOT_FOUND")

    assert state(api) == before
    assert Reservation.objects.get(id=foreign.reservation_id).state == "held"


def test_commit__twice_with_other_keys__answers_the_same(api: Any) -> None:
    # C-01
    reservation = reserve(api)
    sent = {"reservationId": reservation, "actualCredits": 120}

    first, again = api.post(COMMIT, sent), api.post(COMMIT, sent)

    assert first.json() == again.json() == {"charged": 120, "refunded": 30, "newBalance": 880}
    assert AuditEvent.objects.filter(action="credits.committed").count() == 1


def test_resolution__other_than_before__says_what_happened(api: Any) -> None:
    # C-03
    reservation, other = reserve(api), reserve(api)
    api.post(COMMIT, {"reservationId": reservation, "actualCredits": 120})
    api.post(RELEASE, {"reservationId": other, "reason": "cancelled"})
    before = state(api)

    release = api.post(RELEASE, {"reservationId": reservation, "reason": "late"})
    commit = api.post(COMMIT, {"reservationId": other, "actualCredits": 1})

    refusal = assert_refused(release, 409, "RESERVATION_ALREADY_COMMITTED")
    assert refusal["data"]["charged"] == 120
    assert_refused(commit, 409, "RESERVATION_ALREADY_RELEASED")
    assert state(api) == before


def test_commit__for_another_build__is_refused(api: Any) -> None:
    reservation = reserve(api)

    response = api.post(
        COMMIT, {"reservationId": reservation, "actualCredits": 1, "buildId": "build_9"}
    )

    assert_refused(response, 422, "RESERVATION_SUBJECT_MISMATCH")
    assert Reservation.objects.get().state == "held"


def test_account__with_live_and_overdue_holds__counts_the_live_ones(api: Any) -> None:
    # C-02
    make_hold(api.organization.id, 300)
    make_overdue_hold(api.organization.id, 200)

    response = api.get("/v1/credits/account")

    assert response.json() == {"balance": 1000, "reserved": 300, "available": 700}


def test_account__organization_without_one__is_not_found(issue_key: Any) -> None:
    api = issue_key(organization=create_organization(name="No account"))

    for path in ("/v1/credits/account", "/v1/credits/entries"):
        assert_refused(api.get(path), 404, "CREDIT_ACCOUNT_NOT_FOUND")
    assert_refused(api.post(RESERVE, body()), 404, "CREDIT_ACCOUNT_NOT_FOUND")


def test_entries__more_than_a_page__are_listed_newest_first(api: Any) -> None:
    make_hold(make_account())
    reservation = reserve(api)
    api.post(COMMIT, {"reservationId": reservation, "actualCredits": 120})

    first = api.get("/v1/credits/entries?limit=2").json()
    rest = api.get(f"/v1/credits/entries?limit=2&cursor={first['nextCursor']}").json()

    items = first["items"] + rest["items"]
    assert [item["kind"] for item in items] == ["commit", "reserve", "grant", "open"]
    assert [item["seq"] for item in items] == [3, 2, 1, 0]
    assert items[0] == {
        "seq": 3,
        "kind": "commit",
        "reservationId": reservation,
        "balanceDelta": -120,
        "balanceAfter": 880,
        "reservedDelta": -150,
        "reservedAfter": 0,
        **{"originalSeq": None, "priority": None, "lapsesAt": None},
        "reason": "",
        "createdAt": items[0]["createdAt"],
    }
    assert items[2]["reservationId"] is None
    assert rest["nextCursor"] is None
    grants = api.get("/v1/credits/entries?kind=grant").json()["items"]
    assert [item["seq"] for item in grants] == [1]
    assert_refused(api.get("/v1/credits/entries?kind=gift"), 422, "VALIDATION_FAILED")


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", RESERVE, "credits:write"),
        ("POST", COMMIT, "credits:write"),
        ("POST", RELEASE, "credits:write"),
        ("GET", "/v1/credits/account", "credits:read"),
        ("GET", "/v1/credits/entries", "credits:read"),
    ],
)
def test_route__key_without_the_scope__is_forbidden(
    issue_key: Any, method: str, path: str, scope: str
) -> None:
    # F-01
    others = tuple({"credits:read", "credits:write", "builds:write"} - {scope})
    api = issue_key(scopes=others)

    refusal = assert_refused(api.request(method, path, {}), 403, "FORBIDDEN")

    assert refusal["data"] == {"requiredScope": scope}
