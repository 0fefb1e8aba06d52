"""Organizations and API keys (F-01, P24)."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from flagship.errors import ApiKeyAlreadyBlocked, ApiKeyNotFound
from flagship.models import ApiKey, AuditEvent, Organization
from flagship.selectors.recent import Recent
from flagship.services import known_callers
from flagship.services.api_keys import block_api_key, issue_api_key
from flagship.services.audit import record
from flagship.services.organizations import create_organization
from jobs.ids import new_id, public_id
from tests.asserts import assert_refused
from tests.clients import ApiCaller
from tests.integration.flagship.conftest import new_caller

pytestmark = [pytest.mark.urls("tests.integration.flagship.routes"), pytest.mark.django_db]

EVENTS = "/v1/audit-events"


def test_secret__once_issued__is_stored_only_as_a_hash(caller: ApiCaller) -> None:
    # F-01
    marker, prefix, secret = caller.secret.split("_")
    key = ApiKey.objects.get()

    assert (marker, len(prefix), len(secret)) == ("fs", 12, 64)
    assert (key.prefix, key.key_hash) == (prefix, hashlib.sha256(secret.encode()).hexdigest())
    stored = [str(value) for value in ApiKey.objects.values_list().get()]
    events = [str(data) for data in AuditEvent.objects.values_list("data", flat=True)]
    assert not any(secret in text for text in stored + events)


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Basic {key}", "Bearer {key}x", "Bearer x{key}", "Bearer {wrong}",
     "Bearer {unknown}", "{key}", "Bearer {key} {key}", "Bearer fs_ä_ö", "Bearer {upper}"],
)  # fmt: skip
def test_key__that_is_not_valid__gets_one_and_the_same_401(
    caller: ApiCaller, client: Client, authorization: str
) -> None:
    prefix = caller.api_key.prefix
    sent = authorization.format(
        key=caller.secret,
        wrong=f"fs_{prefix}_{'0' * 64}",
        unknown=f"fs_{'z' * 12}_{'0' * 64}",
        upper=caller.secret.upper(),
    )

    response = client.get(EVENTS, headers={"Authorization": sent})

    told = assert_refused(response, 401, "UNAUTHENTICATED")
    assert told["message"] == "The request carries no valid API key."
    assert told["data"] == {}
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="flagship"'


def test_key__blocked__stops_at_once(caller: ApiCaller) -> None:
    # F-01
    assert caller.get(EVENTS).status_code == 200

    block_api_key(api_key_id=caller.api_key.id, actor="admin:ann", reason="leaked")

    assert_refused(caller.get(EVENTS), 401, "UNAUTHENTICATED")
    event = AuditEvent.objects.get(action="api_key.blocked")
    assert (event.actor, event.data["reason"]) == ("admin:ann", "leaked")


def test_key__blocked_twice__is_refused_and_the_first_stands(caller: ApiCaller) -> None:
    first = block_api_key(api_key_id=caller.api_key.id, actor="admin:ann", reason="leaked")

    with pytest.raises(ApiKeyAlreadyBlocked):
        block_api_key(api_key_id=caller.api_key.id, actor="admin:bob", reason="again")
    with pytest.raises(ApiKeyNotFound):
        block_api_key(api_key_id=new_id(), actor="admin:bob", reason="again")

    assert ApiKey.objects.get().blocked_at == first.blocked_at
    assert AuditEvent.objects.filter(action="api_key.blocked").count() == 1


def test_last_use__of_a_key__is_stamped_at_most_once_a_minute(
    caller: ApiCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A known caller is looked up, and stamped, when what is known of it is a few seconds old.
    monkeypatch.setattr(known_callers, "_recent", Recent[str, Any](0.0))

    def stamps() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            caller.get(EVENTS)
        return sum('last_used_at" = ' in query["sql"] for query in queries)

    assert [stamps(), stamps(), stamps()] == [1, 0, 0]
    stamped = ApiKey.objects.get().last_used_at
    assert stamped and datetime.now(UTC) - stamped < timedelta(seconds=10)

    ApiKey.objects.update(last_used_at=stamped - timedelta(seconds=61))
    assert [stamps(), stamps()] == [1, 0]


def test_scope__that_is_missing__is_named(caller: ApiCaller) -> None:
    reader = new_caller(scopes=("builds:read",), organization=caller.organization)

    told = assert_refused(reader.get(EVENTS), 403, "FORBIDDEN")

    assert told["data"] == {"requiredScope": "audit:read"}


@pytest.mark.parametrize("scopes", [["nothing"], ["builds:read", "*"], [""]])
def test_key__with_an_unknown_scope__is_not_issued(caller: ApiCaller, scopes: list[str]) -> None:
    with pytest.raises(ValueError, match="unknown scopes"):
        issue_api_key(organization_id=caller.organization.id, name="x", scopes=scopes)

    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize(
    "name", ["Acme Inc.", "  Acme  Inc ", "Ünïcode GmbH", "北京", "a_b--c", "x" * 200]
)
def test_organization__of_any_name__gets_a_valid_free_slug(db: None, name: str) -> None:
    slugs = {create_organization(name=name).slug for _ in range(3)}

    assert len(slugs) == 3
    assert all(0 < len(slug) <= 60 for slug in slugs)


@pytest.mark.parametrize("name", ["", "   ", "x" * 201, "a\x00b"])
def test_organization__without_a_name__is_refused(db: None, name: str) -> None:
    with pytest.raises(ValueError, match="1 to 200"):
        create_organization(name=name)

    assert (Organization.objects.count(), AuditEvent.objects.count()) == (0, 0)


def test_audit_events__of_another_organization__are_not_seen(caller: ApiCaller) -> None:
    # P24
    other = new_caller()
    seen = caller.get(EVENTS).json()["items"]
    total = AuditEvent.objects.count()

    ids = {item["subjectId"] for item in seen}
    assert ids == {str(caller.organization.id), str(caller.api_key.id)}
    wanted = str(other.organization.id)
    assert caller.get(f"{EVENTS}?subjectId={wanted}").json() == {"items": [], "nextCursor": None}
    assert AuditEvent.objects.count() == total


def test_audit_events__page_by_page__are_all_there_once_newest_first(caller: ApiCaller) -> None:
    for number in range(7):
        record(
            action="thing.done",
            subject_type="thing",
            subject_id=str(number),
            organization_id=caller.organization.id,
            actor="test",
            data={"n": number},
        )

    seen: list[dict[str, Any]] = []
    path = f"{EVENTS}?limit=3&action=thing.done"
    cursor = ""
    while True:
        page = caller.get(path + cursor).json()
        seen += page["items"]
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"

    assert [item["data"]["n"] for item in seen] == [6, 5, 4, 3, 2, 1, 0]
    newest = AuditEvent.objects.latest("id")
    assert seen[0] == {
        "id": public_id("evt", newest.id),
        "action": "thing.done",
        "subjectType": "thing",
        "subjectId": "6",
        "actor": "test",
        "data": {"n": 6},
        "requestId": "",
        "correlationId": "",
        "occurredAt": newest.occurred_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
