"""A caller that was looked up a moment ago is confirmed before anything is done for it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from django.test import override_settings

from flagship.errors.access import Unauthenticated
from flagship.models import ApiKey
from flagship.selectors.recent import Recent
from flagship.services import known_callers
from flagship.services.api_keys import OPERATOR_SCOPES, SCOPES, block_api_key, issue_api_key
from flagship.services.known_callers import KnownCaller
from flagship.signatures import Stage
from tests.asserts import assert_refused
from tests.clients import ApiCaller, make_client
from tests.integration.flagship.mutations import CASES, make_world
from tests.integration.flagship.test_mutating_routes import ROUTED, rows
from tests.signing import make_signer

ACCOUNT = "/v1/credits/account"
RESERVE = {"buildId": "build_1", "estimatedCredits": 1, "userId": "user_1"}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[KnownCaller]:
    """Every caller that a request was let on as, as the request left it."""
    seen: list[KnownCaller] = []
    recall = known_callers.recall

    def noting(*, bearer: str | None) -> KnownCaller | None:
        found = recall(bearer=bearer)
        if found is not None:
            seen.append(found)
        return found

    monkeypatch.setattr("flagship.middleware.api_key.recall", noting)
    return seen


@pytest.fixture
def api(db: None) -> ApiCaller:
    """A client that this process has just looked up."""
    caller = make_client(scopes=(*SCOPES, *OPERATOR_SCOPES))
    assert caller.get(ACCOUNT).status_code == 200
    return caller


def another_key(api: ApiCaller) -> ApiCaller:
    """Return a client of the same organization whose key this process does not know."""
    key, secret = issue_api_key(
        organization_id=api.organization.id, name="another", scopes=[*SCOPES, *OPERATOR_SCOPES]
    )
    return ApiCaller(api.organization, key, secret)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_known_caller__unchanged__is_confirmed_by_the_transaction_of_the_request(
    api: ApiCaller, told: list[KnownCaller], method: str
) -> None:
    # E-10
    path, body = (ACCOUNT, None) if method == "GET" else ("/v1/credits/reserve", RESERVE)

    assert api.request(method, path, body).status_code in (200, 201)

    assert [(known.is_confirmed, known.has_failed) for known in told] == [(True, False)]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("method", "pattern"), sorted(ROUTED), ids=lambda value: str(value).replace("/", ".")
)
def test_known_caller__blocked_meanwhile__changes_nothing_on_any_route(
    method: str, pattern: str, told: list[KnownCaller]
) -> None:
    # F-01: what a process remembers of a key does not outlive its block by one request.
    world = make_world()
    call = CASES[method, pattern](world)
    assert world.api.get(ACCOUNT).status_code == 200
    block_api_key(api_key_id=world.api.api_key.id, actor="test", reason="leaked")
    told.clear()
    before = rows()

    answer = world.api.request(method, call.path, call.body, content_type=call.content_type)

    assert_refused(answer, 401, "UNAUTHENTICATED")
    assert [known.is_confirmed for known in told] == [False]
    assert rows() == before


def test_known_caller__blocked_meanwhile__reads_nothing(api: ApiCaller) -> None:
    block_api_key(api_key_id=api.api_key.id, actor="test", reason="leaked")

    for path in (ACCOUNT, "/v1/builds", "/v1/jobs/kinds"):
        assert_refused(api.get(path), 401, "UNAUTHENTICATED")


@pytest.mark.parametrize("path", [ACCOUNT, "/v1/jobs/kinds"])
def test_known_caller__blocked_meanwhile__is_counted_once_and_forgotten(
    api: ApiCaller, told: list[KnownCaller], path: str
) -> None:
    # E-07: whoever holds a leaked key does not use up its organization's requests.
    block_api_key(api_key_id=api.api_key.id, actor="test", reason="leaked")

    for _ in range(3):
        assert_refused(api.get(path), 401, "UNAUTHENTICATED")

    assert len(told) == 1


def test_known_caller__blocked_meanwhile__has_no_answer_replayed(
    live_db: None, told: list[KnownCaller]
) -> None:
    # E-01: the cache of answers is asked before a transaction begins.
    api = make_client()
    key = uuid.uuid4().hex
    for _ in range(3):
        answer = api.post("/v1/credits/reserve", RESERVE, key=key)
        assert answer.status_code == 201
    assert answer.headers["Idempotency-Replayed"] == "true"
    block_api_key(api_key_id=api.api_key.id, actor="test", reason="leaked")

    assert_refused(api.post("/v1/credits/reserve", RESERVE, key=key), 401, "UNAUTHENTICATED")
    assert not told[-1].is_confirmed


def test_known_caller__with_other_scopes_meanwhile__may_do_what_it_may_now(api: ApiCaller) -> None:
    # F-01
    ApiKey.objects.filter(id=api.api_key.id).update(scopes=["credits:read"])
    assert_refused(api.post("/v1/credits/reserve", RESERVE), 403, "FORBIDDEN")
    assert api.get(ACCOUNT).status_code == 200

    ApiKey.objects.filter(id=api.api_key.id).update(scopes=["credits:write"])
    assert api.post("/v1/credits/reserve", RESERVE).status_code == 201
    assert_refused(api.get(ACCOUNT), 403, "FORBIDDEN")


def test_known_caller__that_signs_from_now_on__is_judged_by_its_stage(api: ApiCaller) -> None:
    # E-05: what was looked up before the client had a stage says nothing of signatures.
    make_signer(api.api_key, stage=Stage.V2_ONLY)

    assert_refused(api.get(ACCOUNT), 401, "SIGNATURE_VERSION_RETIRED")
    assert_refused(api.post("/v1/credits/reserve", RESERVE), 401, "SIGNATURE_VERSION_RETIRED")


def test_known_caller__with_another_secret__is_looked_up(
    api: ApiCaller, told: list[KnownCaller]
) -> None:
    # F-01: the prefix is no secret.
    wrong = f"{api.secret[:-64]}{'0' * 64}"

    answer = api.get(ACCOUNT, headers={"Authorization": f"Bearer {wrong}"})

    assert_refused(answer, 401, "UNAUTHENTICATED")
    assert told == []


def test_known_caller__that_signs_or_sends_much__is_looked_up(
    api: ApiCaller, told: list[KnownCaller]
) -> None:
    # E-05: a signature is checked against what is stored now; a large body is read only once.
    api.get(ACCOUNT, headers={"X-Nonce": "0" * 32})
    with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=10):
        api.post("/v1/credits/reserve", RESERVE)

    assert told == []


def test_known_caller__refused_before_any_transaction__is_looked_up_after_it(
    api: ApiCaller, told: list[KnownCaller]
) -> None:
    # E-10: an answer that nothing confirmed is one look-up behind, and the same.
    assert_refused(api.post("/v1/builds", {}, key=None), 400, "IDEMPOTENCY_KEY_REQUIRED")
    assert api.get("/v1/jobs/kinds").status_code == 200

    assert [known.is_confirmed for known in told] == [False, False]


def test_known_caller__two_of_one_organization__are_told_apart(api: ApiCaller) -> None:
    other = another_key(api)
    assert other.get(ACCOUNT).status_code == 200
    block_api_key(api_key_id=api.api_key.id, actor="test", reason="leaked")

    assert other.get(ACCOUNT).status_code == 200
    assert_refused(api.get(ACCOUNT), 401, "UNAUTHENTICATED")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    now = [100.0]
    monkeypatch.setattr("flagship.selectors.recent.time.monotonic", lambda: now[0])
    yield now


def test_recent__value__is_kept_for_its_time_and_forgotten_when_told(clock: list[float]) -> None:
    recent = Recent[str, int](2.0)
    recent.keep("a", 1)
    recent.keep("b", 2)
    recent.forget("b")

    assert (recent.get("a"), recent.get("b"), recent.get("c")) == (1, None, None)
    clock[0] += 1.9
    assert recent.get("a") == 1
    clock[0] += 0.2
    assert recent.get("a") is None


def test_recent__too_many__loses_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flagship.selectors.recent.MOST_KEPT", 2)
    recent = Recent[str, int](60.0)
    for number, name in enumerate("abac"):
        recent.keep(name, number)

    assert [recent.get(name) for name in "abc"] == [2, None, 3]


def test_confirmation__of_a_key_of_another_organization__finds_none(
    api: ApiCaller,
) -> None:
    # P24: the statement runs behind the wall.
    known = known_callers.recall(bearer=api.secret)
    assert known is not None
    elsewhere = make_client().organization.id

    with pytest.raises(Unauthenticated), known_callers.inside_as(known, elsewhere):
        pytest.fail("begun for a key that is not there")
    assert known.has_failed
