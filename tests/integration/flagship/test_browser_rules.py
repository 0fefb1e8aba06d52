"""What browsers are told about every answer, whoever gives it (research 6.1, 6.3)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import AsyncClient, Client

from flagship.middleware.browser import NOTHING
from tests.clients import ApiCaller

PAGES = ["/admin/login/", "/v1/docs"]
OTHERS = [
    *("/healthz", "/v1/errors", "/v1/schema", "/v1/builds", "/v1/nothing", "/nothing", "/admin"),
    *("/static/jobs/console.js", "/static/nothing.js", "/admin/jsi18n/", "/sites/nothing"),
    *("/v1/errors?format=nonsense", "/api/telemetry/stream"),
]
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def rules_of(answer: Any) -> dict[str, str]:
    """Read a policy into its directives."""
    policy = answer.headers["Content-Security-Policy"]
    return {name: value for name, _, value in (rule.partition(" ") for rule in policy.split("; "))}


@pytest.mark.django_db
@pytest.mark.parametrize("path", [*PAGES, *OTHERS])
def test_answer__of_any_kind__says_what_its_page_may_do(path: str) -> None:
    # E-02, E-08
    answer: Any = Client().get(path)

    if answer.streaming:  # a file that would stay open
        list(answer.streaming_content)
        answer.close()
    told = {name: answer.headers.get(name) for name in ALWAYS}
    assert told == ALWAYS
    assert "camera=()" in answer.headers["Permissions-Policy"]
    policy = answer.headers["Content-Security-Policy"]
    assert "unsafe" not in policy and "*" not in policy and "https:" not in policy
    assert rules_of(answer)["default-src"] == rules_of(answer)["base-uri"] == "'none'"
    assert rules_of(answer)["frame-ancestors"] == "'none'"
    is_page = answer.headers.get("Content-Type", "").startswith("text/html")
    assert is_page or policy == "; ".join(NOTHING)


@pytest.mark.django_db
@pytest.mark.parametrize("path", PAGES)
def test_page__on_a_shared_origin__runs_no_script_that_strangers_publish(path: str) -> None:
    # B-05: /sites/ is on this origin, so 'self' would let its scripts in.
    rules = rules_of(Client(SERVER_NAME="flagship.example").get(path))

    assert rules["script-src"] == "flagship.example/static/ flagship.example/admin/jsi18n/"
    assert rules["style-src"] == rules["font-src"] == "flagship.example/static/"
    assert rules["form-action"] == rules["connect-src"] == "'self'"


@pytest.mark.django_db
@pytest.mark.parametrize("host", ["[::1]:8000", "evil.example; script-src *", "a b", ""])
def test_page__under_a_host_that_a_policy_cannot_name__falls_back_to_self(
    host: str, settings: Any
) -> None:
    # E-08
    settings.ALLOWED_HOSTS = ["[::1]"]
    answer = Client(HTTP_HOST=host).get("/admin/login/")

    rules = rules_of(answer)
    assert "*" not in str(rules) and "evil" not in str(rules)
    if answer.status_code == 200:
        assert rules["script-src"] == "'self' 'self'"


@pytest.mark.django_db
def test_form__forged_from_elsewhere__is_refused_on_a_page_without_inline_style() -> None:
    # D-06
    answer = Client(enforce_csrf_checks=True).post("/admin/login/", {"username": "a"})

    assert answer.status_code == 403
    assert "The form was not taken" in answer.content.decode()
    assert "<style" not in answer.content.decode()
    assert rules_of(answer)["form-action"] == "'self'"


@pytest.mark.django_db
def test_report__address_set__is_in_every_policy(settings: Any) -> None:
    # O-06
    settings.CSP_REPORT_URL = "https://reports.example/csp"

    for path in ("/admin/login/", "/v1/errors"):
        assert rules_of(Client().get(path))["report-uri"] == "https://reports.example/csp"


@pytest.mark.django_db
def test_answer__of_the_process_that_streams__has_them_too() -> None:
    # O-02
    answer = asyncio.run(AsyncClient().get("/v1/nothing"))

    assert answer.status_code == 404
    assert answer.headers["Content-Security-Policy"] == "; ".join(NOTHING)
    assert answer.headers["Permissions-Policy"]


@pytest.mark.django_db
def test_refusal__whose_body_is_replaced__keeps_them(settings: Any) -> None:
    # E-02: REST framework's own page for what it cannot render becomes the envelope.
    answer = Client().post("/healthz")

    assert answer.status_code == 405
    assert answer.headers["Content-Type"].startswith("application/json")
    assert {name: answer.headers[name] for name in ALWAYS} == ALWAYS
    assert answer.headers["Content-Security-Policy"] == "; ".join(NOTHING)


@pytest.mark.django_db
def test_connection__behind_tls__is_never_plain(settings: Any) -> None:
    # O-01
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.SECURE_HSTS_SECONDS = 31_536_000
    settings.SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    client = Client()

    plain = client.get("/admin/login/")
    assert (plain.status_code, plain.headers["Location"]) == (
        301,
        "https://testserver/admin/login/",
    )
    for path in ("/healthz", "/readyz"):
        assert client.get(path).status_code != 301
    tls = client.get("/admin/login/", headers={"X-Forwarded-Proto": "https"})
    assert tls.status_code == 200
    expected = "max-age=31536000; includeSubDomains"
    assert tls.headers["Strict-Transport-Security"] == expected
    refused = client.get("/v1/nothing", headers={"X-Forwarded-Proto": "https"})
    assert refused.headers["Strict-Transport-Security"] == expected


@pytest.mark.django_db
def test_api__called_with_a_cookie__does_not_know_it(api: ApiCaller) -> None:
    # F-01: what a published site can make a browser send is no credential of the API.
    client = Client()
    client.force_login(User.objects.create_superuser("admin"))

    assert client.get("/v1/builds").status_code == 401
