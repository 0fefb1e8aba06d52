"""What is generated from the code is current: errors, schema (E-03, E-09)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.permissions import BasePermission

from flagship.api.documents import schema_json
from flagship.api.permissions import HasScope, IsClient
from flagship.errors.catalogue import APPS, all_refusals, catalogue_page
from flagship.selectors.routes import PUBLIC_PREFIXES
from flagship.services.api_keys import OPERATOR_SCOPES, SCOPES

ROOT = Path(__file__).resolve().parents[2]
METHODS = {"get", "post", "put", "patch", "delete"}
# Routes outside of the documented API: pages for people, probes for the platform.
UNDOCUMENTED = {"v1/schema", "v1/docs", "healthz", "readyz"}
PUBLIC = {"v1/errors", "v1/errors/<str:code>", "v1/schema", "v1/docs"}
PUBLIC_PATHS = {"/v1/errors", "/v1/errors/{code}"}
# Open to every key: what it shows depends on the scopes, row by row.
ANY_CLIENT = {"v1/idempotency/<path:key>"}
MUTATING = {"post", "put", "patch", "delete"}
# Archives, and the second shape of what is shown in the first.
UNSHOWN = {
    *("application/gzip", "application/zip", "application/octet-stream", "multipart/form-data"),
    "application/problem+json",
}
OLD_HEADERS = {"Deprecation", "Sunset", "Link"}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path and description of every operation."""
    for path, item in json.loads(schema_json())["paths"].items():
        for method in METHODS & item.keys():
            yield method, path, item[method]


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


def test_routes__that_ask_nobody_who_they_are__are_the_public_ones() -> None:
    # E-02, F-01
    unasked = {route for route in routes() if f"/{route}".startswith(PUBLIC_PREFIXES)}

    assert unasked == PUBLIC
    for route in unasked:
        view = getattr(routes()[route], "cls", None)
        assert view is None or not (view.authentication_classes or view.permission_classes), route


def test_schema__of_every_operation__tells_its_errors_and_its_key() -> None:
    # E-09
    for method, path, operation in operations():
        assert {"400", "500"} <= operation["responses"].keys(), (path, method)
        is_public = path in PUBLIC_PATHS
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
        # That of a hold may come in the body.
        if keys and path.startswith(("/v1/builds", "/v1/credits")):
            assert keys[0].get("required", False) is (path != "/v1/credits/reserve"), path


def test_schema__of_every_refusal__names_codes_of_the_catalogue_in_both_shapes() -> None:
    # E-02, E-03, E-09
    statuses = {refusal.code: str(refusal.status) for refusal in all_refusals()}
    for method, path, operation in operations():
        for status, response in operation["responses"].items():
            if status < "400":
                continue
            told = (method, path, status)
            codes = response["x-error-codes"]
            assert codes and {statuses[code] for code in codes} == {status}, told
            assert all(f"`{code}`" in response["description"] for code in codes), told
            shapes = response["content"]
            assert set(shapes) == {"application/json", "application/problem+json"}, told
            assert len(shapes["application/json"]["examples"]) == len(codes), told


def test_schema__of_every_operation__has_examples_that_fit_it() -> None:
    # E-09
    schema = json.loads(schema_json())
    shown = 0
    for method, path, operation in operations():
        bodies = [("request", operation.get("requestBody", {}).get("content", {}))]
        bodies += [(code, each.get("content", {})) for code, each in operation["responses"].items()]
        for where, content in bodies:
            for media_type, body in content.items():
                if media_type in UNSHOWN:
                    continue
                assert body.get("examples"), (method, path, where, media_type)
                for example in body["examples"].values():
                    assert_fits(example["value"], body["schema"], schema)
                    shown += 1
    assert shown > 500


def assert_fits(value: Any, shape: dict[str, Any], schema: dict[str, Any]) -> None:
    """Validate as OpenAPI 3.0 has it: `nullable` is a type of its own there."""
    whole = as_json_schema({**shape, "components": schema["components"]})
    jsonschema.validate(value, whole)  # type: ignore[no-untyped-call]


def as_json_schema(part: Any) -> Any:
    if isinstance(part, list):
        return [as_json_schema(each) for each in part]
    if not isinstance(part, dict):
        return part
    found = {name: as_json_schema(each) for name, each in part.items() if name != "nullable"}
    return {"anyOf": [found, {"type": "null"}]} if part.get("nullable") is True else found


def test_old_paths__in_the_schema__are_deprecated_and_like_their_successors() -> None:
    # E-09, seeds 003 and 004
    paths = json.loads(schema_json())["paths"]
    old = {path for path in paths if path.startswith("/api/")}

    assert {"/api/jobs", "/api/jobs/{job_id}", "/api/worker/health"} <= old
    assert {"/api/telemetry", "/api/telemetry/stream"} <= old
    for path in old:
        for method, operation in paths[path].items():
            successor = paths[path.replace("/api/", "/v1/", 1)][method]
            assert operation["deprecated"] is True and "deprecated" not in successor, path
            for name in ("parameters", "requestBody", "security"):
                assert operation.get(name) == successor.get(name), (path, name)
            assert operation["responses"].keys() == successor["responses"].keys(), path
            for response in operation["responses"].values():
                assert response["headers"].keys() >= OLD_HEADERS, path


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


def test_refusals__wherever_they_are_declared__are_in_the_catalogue() -> None:
    # E-03: only the rooms called errors are read for it.
    declared = {
        match
        for app in APPS
        for path in (ROOT / app).rglob("*.py")
        for match in re.findall(r"^    code = \"([A-Z_]+)\"", path.read_text(), re.M)
    }

    assert declared == {refusal.code for refusal in all_refusals()}
