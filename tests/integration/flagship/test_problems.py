"""Problem details for those who ask for them (E-02, RFC 9457)."""

from __future__ import annotations

from typing import Any

import pytest

from flagship.errors.envelope import wants_problem
from tests.clients import ApiCaller

pytestmark = [pytest.mark.urls("tests.integration.flagship.routes"), pytest.mark.django_db]

PROBLEM = {"Accept": "application/problem+json"}
EFFECTS = "/v1/test/effects"
CASES: list[tuple[str, str, Any, int, str]] = [
    ("GET", "/nothing", None, 404, "NOT_FOUND"),
    ("DELETE", EFFECTS, None, 405, "METHOD_NOT_ALLOWED"),
    ("POST", "/healthz", None, 405, "METHOD_NOT_ALLOWED"),
    ("POST", EFFECTS, {"name": "x", "how": "refusal"}, 409, "NO_LUCK"),
    ("POST", EFFECTS, {}, 422, "VALIDATION_FAILED"),
    ("POST", EFFECTS, b'{"name": "' + b"x" * 1024 * 1024 + b'"}', 413, "PAYLOAD_TOO_LARGE"),
    ("POST", EFFECTS, {"name": "x", "how": "crash"}, 500, "INTERNAL_ERROR"),
    ("GET", "/v1/test/plain?fail=crash", None, 500, "INTERNAL_ERROR"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "code"), CASES)
def test_refusal__asked_for_as_a_problem__is_one_and_the_envelope_too(
    caller: ApiCaller, method: str, path: str, body: Any, status: int, code: str, settings: Any
) -> None:
    # E-02
    settings.PUBLIC_URL = "https://flagship.example"

    response = caller.request(method, path, body, headers=PROBLEM)
    plain = caller.request(method, path, body).json()

    told = response.json()
    assert (response.status_code, told["status"], told["error"]) == (status, status, code)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert "Accept" in response.headers["Vary"]
    assert told["type"] == f"https://flagship.example/v1/errors/{code}"
    assert told["title"] and told["nextStep"]
    assert told["detail"] == told["message"] == plain["message"]
    assert told["instance"].endswith(response.headers["x-request-id"])
    assert plain.keys() == {
        *("error", "message", "data", "requestId", "correlationId", "timestamp"),
    }
    assert {name: told[name] for name in ("error", "data")} == {
        name: plain[name] for name in ("error", "data")
    }


def test_media_type__that_is_not_read__is_told_as_a_problem_too(caller: ApiCaller) -> None:
    response = caller.post(EFFECTS, b"x", content_type="text/plain", headers=PROBLEM)

    assert (response.status_code, response.json()["error"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert response.headers["Content-Type"] == "application/problem+json"


def test_answer__that_is_no_refusal__is_given_as_ever(caller: ApiCaller) -> None:
    # RFC 9110, section 12.4.1: problem+json narrows down refusals alone.
    for accept in ("application/problem+json", "application/problem+json, application/json"):
        response = caller.get("/v1/audit-events", headers={"Accept": accept})
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "application/json"
    refused = caller.get(
        "/v1/audit-events", headers={"Accept": "text/csv, application/problem+json"}
    )
    assert (refused.status_code, refused.json()["error"]) == (406, "NOT_ACCEPTABLE")
    assert refused.headers["Content-Type"] == "application/problem+json"


def test_type_of_a_problem__asked_for__says_what_to_do(caller: ApiCaller) -> None:
    # E-03
    found = caller.get("/v1/errors/PAYLOAD_TOO_LARGE").json()

    assert found["code"] == "PAYLOAD_TOO_LARGE"
    assert found["nextStep"] == "Send at most `data.limitBytes` bytes."
    assert caller.get("/v1/errors/NOTHING").json()["error"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("accept", "is_wanted"),
    [
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("application/*", False),
        ("application/problem+json", True),
        ("Application/Problem+JSON; q=0.5", True),
        ("application/problem+json;q=0", False),
        ("application/json, application/problem+json", True),
        ("application/json, application/problem+json;q=0.9", False),
        ("application/problem+json;q=x, */*", True),
        ("a/b;x*=no''y, application/problem+json", True),
        ("," * 9000 + "application/problem+json", False),
    ],
)
def test_accept__of_any_form__is_read(accept: str, is_wanted: bool) -> None:
    assert wants_problem(accept) is is_wanted
