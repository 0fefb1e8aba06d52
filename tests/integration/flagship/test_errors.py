"""One envelope and four headers on everything (E-02, E-03, E-04, P31)."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.test import Client

from flagship.errors.catalogue import all_refusals
from tests.asserts import assert_refused
from tests.clients import ApiCaller
from tests.drills.models import Effect

pytestmark = [pytest.mark.urls("tests.integration.flagship.routes"), pytest.mark.django_db]

EFFECTS = "/v1/test/effects"
PLAIN = "/v1/test/plain"
FOUR = ("x-request-id", "x-correlation-id", "x-worker-version", "x-processing-time-ms")


def assert_headers(response: Any) -> None:
    assert all(response.headers[name] for name in FOUR)
    assert int(response.headers["x-processing-time-ms"]) >= 0


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/v1/nothing", None, 404, "NOT_FOUND"),
        ("GET", "/nothing", None, 404, "NOT_FOUND"),
        ("GET", "/api/nothing", None, 404, "NOT_FOUND"),
        ("POST", "/v1/nothing", {}, 404, "NOT_FOUND"),
        ("GET", "/v1/errors/", None, 404, "NOT_FOUND"),
        ("GET", "/v1/%00", None, 404, "NOT_FOUND"),
        ("GET", "/v1/%ff%fe", None, 404, "NOT_FOUND"),
        ("DELETE", EFFECTS, None, 405, "METHOD_NOT_ALLOWED"),
        ("OPTIONS", EFFECTS, None, 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/healthz", None, 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/v1/test/closed", None, 403, "FORBIDDEN"),
        ("POST", EFFECTS, {"name": "x", "how": "refusal"}, 409, "NO_LUCK"),
        ("POST", EFFECTS, {"name": "x", "how": "crash"}, 500, "INTERNAL_ERROR"),
        ("POST", EFFECTS, {"name": "x", "how": "missing"}, 404, "NOT_FOUND"),
        ("POST", EFFECTS, {"name": "x", "how": "denied"}, 403, "FORBIDDEN"),
        ("POST", EFFECTS, {"name": "x", "how": "suspicious"}, 400, "MALFORMED_REQUEST"),
        ("POST", EFFECTS, {"name": "x", "how": "constraint"}, 409, "CONFLICT"),
        ("GET", f"{PLAIN}?fail=refusal", None, 409, "NO_LUCK"),
        ("GET", f"{PLAIN}?fail=crash", None, 500, "INTERNAL_ERROR"),
        ("GET", f"{PLAIN}?fail=missing", None, 404, "NOT_FOUND"),
        ("GET", f"{PLAIN}?fail=denied", None, 403, "FORBIDDEN"),
        ("GET", f"{PLAIN}?fail=nul", None, 422, "VALIDATION_FAILED"),
        ("GET", "/v1/audit-events?cursor=garbage", None, 400, "MALFORMED_CURSOR"),
        ("GET", "/v1/audit-events?limit=0", None, 422, "VALIDATION_FAILED"),
        ("GET", "/v1/audit-events?limit=101", None, 422, "VALIDATION_FAILED"),
        ("GET", "/v1/audit-events?unknown=1", None, 422, "VALIDATION_FAILED"),
        ("GET", "/v1/audit-events?action=%00", None, 422, "VALIDATION_FAILED"),
        ("POST", EFFECTS, b"{", 400, "MALFORMED_JSON"),
        ("POST", EFFECTS, [], 422, "VALIDATION_FAILED"),
        ("POST", EFFECTS, {}, 422, "VALIDATION_FAILED"),
    ],
)  # fmt: skip
def test_refusal__of_any_origin__has_envelope_and_headers(
    caller: ApiCaller, method: str, path: str, body: Any, status: int, code: str
) -> None:
    # E-02, E-04
    before = Effect.objects.count()

    response = caller.request(method, path, body)

    told = assert_refused(response, status, code)
    assert response.headers["Content-Type"] == "application/json"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told["timestamp"])
    assert told["correlationId"] == response.headers["x-correlation-id"]
    assert_headers(response)
    leaks = ("secret", "Traceback", "constraint", "SELECT", "psycopg", "attempt")
    assert not any(leak in response.content.decode() for leak in leaks)
    assert Effect.objects.count() == before


def test_method_not_allowed__anywhere__names_the_allowed_ones(caller: ApiCaller) -> None:
    assert caller.delete(EFFECTS).headers["Allow"] == "POST, PUT, PATCH"
    assert caller.post("/healthz").headers["Allow"] == "GET, HEAD"


def test_refusal__with_headers_and_data__carries_them(caller: ApiCaller) -> None:
    for response in (
        caller.post(EFFECTS, {"name": "x", "how": "refusal"}),
        caller.get(f"{PLAIN}?fail=refusal"),
    ):
        assert response.headers["Retry-After"] == "7"
        assert response.json()["data"] == {"a": 1}


def test_media_type__not_read_here__is_415(caller: ApiCaller) -> None:
    for content_type in ("text/plain", "application/xml", "multipart/form-data", ""):
        response = caller.post(EFFECTS, b'{"name": "x"}', content_type=content_type)
        assert_refused(response, 415, "UNSUPPORTED_MEDIA_TYPE")
    coded = caller.post(EFFECTS, {"name": "x"}, headers={"Content-Encoding": "gzip"})
    assert_refused(coded, 415, "UNSUPPORTED_MEDIA_TYPE")


def test_accept__that_nothing_fits__is_406(caller: ApiCaller) -> None:
    response = caller.get("/v1/audit-events", headers={"Accept": "text/csv"})

    assert_refused(response, 406, "NOT_ACCEPTABLE")


def test_body__over_the_limit__is_refused_unread(caller: ApiCaller) -> None:
    body = b'{"name": "' + b"x" * 1024 * 1024 + b'"}'
    too_large = assert_refused(caller.post(EFFECTS, body), 413, "PAYLOAD_TOO_LARGE")
    upload = caller.post("/v1/test/uploads", b"x" * (4 * 1024 * 1024 + 1))
    lying = caller.client.generic(
        "POST", EFFECTS, b"", headers={"Authorization": "Bearer x"}, CONTENT_LENGTH="9" * 30
    )

    assert too_large["data"] == {"limitBytes": 1024 * 1024}
    assert assert_refused(upload, 413, "PAYLOAD_TOO_LARGE")["data"] == {"limitBytes": 4 * 1024**2}
    assert_refused(lying, 413, "PAYLOAD_TOO_LARGE")


def test_body__without_a_length__is_411(caller: ApiCaller) -> None:
    response = caller.post(EFFECTS, b"", headers={"Transfer-Encoding": "chunked"})

    assert_refused(response, 411, "LENGTH_REQUIRED")


def test_fields__unknown_missing_and_wrong__are_all_named(caller: ApiCaller) -> None:
    # E-08
    body = {"how_many": 1, "howMany": "5", "tags": ["a", 1], "name": 7}

    told = assert_refused(caller.post(EFFECTS, body), 422, "VALIDATION_FAILED")

    assert told["data"]["fields"] == {
        "how_many": ["Unknown field."],
        "howMany": ["Must be an integer."],
        "tags": ["Each item: Must be a string."],
        "name": ["Must be a string."],
    }
    assert all(name in told["message"] for name in told["data"]["fields"])


@pytest.mark.parametrize(
    "value",
    [b"true", b"1.0", b'"1"', b"[1]", b"{}", b"1e2", b"null", b"0", b"99999999999999999999"],
)
def test_integer__of_another_type__is_refused(caller: ApiCaller, value: bytes) -> None:
    response = caller.post(EFFECTS, b'{"name": "x", "tags": [], "howMany": ' + value + b"}")

    if value == b"99999999999999999999":
        assert response.status_code == 201  # Bounds are the field's own matter.
    else:
        assert_refused(response, 422, "VALIDATION_FAILED")


def test_host__not_allowed__has_the_envelope(caller: ApiCaller, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["right.example"]

    response = caller.get("/v1/errors", headers={"Host": "wrong.example"})

    assert_refused(response, 400, "MALFORMED_REQUEST")
    assert_headers(response)


@pytest.mark.parametrize(
    "path",
    ["/admin/login/", "/admin/nothing", "/static/nothing.css", "/sites/nothing", "/healthz",
     "/v1/errors", "/v1/schema", "/v1/docs", "/v1/test/stream", "/v1/test/stream-async"],
)  # fmt: skip
def test_headers__on_every_kind_of_answer__are_there(client: Client, path: str) -> None:
    # E-04
    response = client.get(path)

    assert_headers(response)
    if path.startswith(("/admin", "/static", "/sites")):
        assert response.headers["Content-Type"].startswith("text/html")


def test_debug_pages__under_the_api__are_the_envelope_too(caller: ApiCaller, settings: Any) -> None:
    settings.DEBUG = True

    assert_refused(caller.get("/v1/nothing"), 404, "NOT_FOUND")
    assert_refused(caller.get(f"{PLAIN}?fail=crash"), 500, "INTERNAL_ERROR")


@pytest.mark.parametrize(
    "value", ["req_abc", "nextjs_1735689600000_a1b2c3d4", "a/b+c=d~e@f", "x" * 100]
)
def test_inbound_ids__well_formed__are_taken_over(client: Client, value: str) -> None:
    # E-04
    sent = {"x-request-id": value, "x-correlation-id": value[::-1]}

    response = client.get("/v1/errors", headers=sent)

    assert response.headers["x-request-id"] == value
    assert response.headers["x-correlation-id"] == value[::-1]


@pytest.mark.parametrize(
    "value", ["", " ", "a b", "x" * 101, "a\tb", "ä", "a,b", "a;b", "<b>", '"a"']
)
def test_inbound_ids__malformed__are_replaced(client: Client, value: str) -> None:
    sent = {"x-request-id": value, "x-correlation-id": value}

    response = client.get("/v1/errors", headers=sent)

    assert re.fullmatch(r"req_[0-9a-f]{32}", response.headers["x-request-id"])
    assert response.headers["x-correlation-id"] == response.headers["x-request-id"]


def test_catalogue__at_its_address__lists_every_code_once(client: Client) -> None:
    # E-03
    items = json.loads(client.get("/v1/errors").content)["items"]
    codes = [item["code"] for item in items]

    assert len(codes) == len(set(codes)) >= 25
    assert {"UNAUTHENTICATED", "IDEMPOTENCY_KEY_REUSED", "INTERNAL_ERROR"} <= set(codes)
    assert all(item["title"] and item["nextStep"] and item["status"] >= 400 for item in items)
    assert len(all_refusals()) == len(items)


def test_documentation__opened_without_the_network__needs_nothing_from_it(client: Client) -> None:
    # E-09
    page = client.get("/v1/docs").content.decode()
    sources = re.findall(r'(?:src|href)="([^"]+)"', page)

    assert sources.pop(sources.index("/v1/schema"))
    assert sources
    assert all(source.startswith("/static/") for source in sources), sources
    assert not re.search(r"<script>|<style|style=|javascript:| on[a-z]+=", page)
    for source in sources:
        response = client.get(source)
        assert response.status_code == 200, source
        response.close()
    assert json.loads(client.get("/v1/schema").content)["openapi"].startswith("3.")
