"""What is generated from the code is current: errors, schema (E-03, E-09)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.permissions import BasePermission

from flagship.api.documents import schema_json
from flagship.api.permissions import HasScope, IsClient
from flagship.errors.catalogue import all_refusals, catalogue_page
from flagship.services.api_keys import OPERATOR_SCOPES, SCOPES

ROOT = Path(__file__).resolve().parents[2]
METHODS = ("get", "post", "put", "patch", "delete")
# Routes outside of the documented API: pages for people, probes for the platform.
UNDOCUMENTED = {"v1/schema", "v1/docs", "healthz", "readyz"}
PUBLIC = {"v1/errors", "v1/schema", "v1/docs"}
# Open to every key: what it shows depends on the scopes, row by row.
ANY_CLIENT = {"v1/idempotency/<path:key>"}
MUTATING = {"post", "put", "patch", "delete"}


def routes(resolver: URLResolver | None = None, prefix: str = "") -> dict[str, Any]:
    """Return every route outside of the admin, with its view."""
    found: dict[str, Any] = {}
    for entry in (resolver or get_resolver()).url_patterns:
        route = prefix + str(entry.pattern)
        if isinstance(entry, URLPattern):
            found[route] = entry.callback
        elif not route.startswith("admin"):
            found |= routes(entry, route)
    return found


def test_errors_page__against_the_code__is_current() -> None:
    # E-03
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")

    assert page == catalogue_page(), "run manage.py write_error_catalogue"


def test_error_codes__of_all_apps__are_unique_and_complete() -> None:
    # E-03
    refusals = all_refusals()
    codes = [refusal.code for refusal in refusals]

    assert sorted(set(codes)) == sorted(codes)
    for refusal in refusals:
        assert re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*", refusal.code), refusal
        assert 400 <= refusal.status < 600
        assert refusal.title.endswith(".") and refusal.next_step.endswith("."), refusal


def test_schema__generated__has_no_warning_and_is_valid(tmp_path: Path) -> None:
    # E-09
    done = subprocess.run(
        [sys.executable, "manage.py", "spectacular", "--validate", "--fail-on-warn",
         "--file", str(tmp_path / "schema.yaml")],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings_test"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr


def test_schema__and_the_routes__agree_in_both_directions() -> None:
    # E-09, OWASP API9
    documented = set(json.loads(schema_json())["paths"])
    routed = {
        "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route)
        for route, view in routes().items()
        if hasattr(view, "cls") and route not in UNDOCUMENTED
    }

    assert documented == routed


def test_schema__of_every_operation__tells_its_errors_and_its_key() -> None:
    # E-09
    schema = json.loads(schema_json())
    for path, item in schema["paths"].items():
        for method in METHODS & item.keys():
            operation = item[method]
            assert {"400", "500"} <= operation["responses"].keys(), (path, method)
            is_public = path.lstrip("/") in PUBLIC
            assert ({"401", "403"} <= operation["responses"].keys()) != is_public, path
            keys = [p for p in operation.get("parameters", []) if p["name"] == "Idempotency-Key"]
            assert len(keys) == (method in MUTATING), (path, method)
            marks = {
                name
                for status, response in operation["responses"].items()
                if status.startswith("2")
                for name in response.get("headers", {})
                if name.startswith("Idempotency-")
            }
            assert len(marks) == 4 * (method in MUTATING), (path, method)
            if method in MUTATING:
                assert {"409", "422"} <= operation["responses"].keys(), (path, method)
            if keys and path.startswith(("/v1/builds", "/v1/credits")):
                assert keys[0]["required"] is True, path


def test_view__of_every_route__states_a_known_scope_for_each_method() -> None:
    # P24: a method without a scope is closed to everybody, which nobody means.
    for route, view in routes().items():
        cls = getattr(view, "cls", None)
        if cls is None or route in PUBLIC:
            continue
        permissions: list[type[BasePermission]] = cls.permission_classes
        if route in ANY_CLIENT:
            assert permissions == [IsClient], route
            continue
        assert permissions == [HasScope], route
        for method in METHODS:
            if hasattr(cls, method):
                scope = cls.scopes.get(method.upper())
                assert scope in {*SCOPES, *OPERATOR_SCOPES}, (route, method)
