"""Every route that may change something takes a key and replays: the list is the URLconf's."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.db import connection
from django.urls import is_valid_path

from flagship.api.documents import schema_json
from flagship.selectors.routes import OLD_PREFIX, PREFIX, current, list_mutations
from tests.asserts import assert_refused
from tests.integration.flagship.mutations import CASES, make_world

KEY = "one-key-for-every-route"
ROUTED = {
    (method, route.pattern): route
    for method, route in list_mutations()
    if route.view is not None  # Streams: plain functions that answer GET.
}


def rows() -> dict[str, int]:
    """Count the rows of every table."""
    with connection.cursor() as cursor:
        names = connection.introspection.table_names(cursor)
        counts = (f"SELECT '{name}', count(*) FROM \"{name}\"" for name in names)
        cursor.execute(" UNION ALL ".join(counts))
        return dict(cursor.fetchall())


def test_cases__against_the_routes__are_one_for_each() -> None:
    # E-01: a new route without a case here is not known to be safe to send again.
    assert CASES.keys() == ROUTED.keys()


def test_schema__against_the_cases__documents_the_same_mutations() -> None:
    # E-01, E-09
    documented = {
        (method.upper(), current(path))
        for path, item in json.loads(schema_json())["paths"].items()
        for method in item.keys() & {"post", "put", "patch", "delete"}
    }

    assert documented == {
        (method, "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", pattern)) for method, pattern in CASES
    }


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("method", "pattern"), sorted(ROUTED), ids=lambda value: str(value).replace("/", ".")
)
def test_route__sent_twice_with_one_key__is_done_once_and_answered_alike(
    method: str, pattern: str
) -> None:
    # E-01, P02, P03
    world = make_world()
    call = CASES[method, pattern](world)

    def send(path: str, key: str = KEY) -> Any:
        return world.api.request(
            method,
            path,
            call.body,
            key=None,
            content_type=call.content_type,
            headers={"Idempotency-Key": key, "x-request-id": f"req_{len(path)}"},
        )

    first = send(call.path)
    assert 200 <= first.status_code < 300, first.content
    assert "Idempotency-Expires" in first.headers
    before = rows()
    again = send(call.path, f'"{KEY}"')

    assert (again.status_code, again.content) == (first.status_code, first.content)
    for header in ("Content-Type", "Location", "ETag"):
        assert again.headers.get(header) == first.headers.get(header)
    assert again.headers["Idempotency-Replayed"] == "true"
    old = call.path.replace(PREFIX, OLD_PREFIX, 1)
    if is_valid_path(old):
        on_old = send(old)
        assert (on_old.status_code, on_old.content) == (first.status_code, first.content)
        assert on_old.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Idempotency-Original-Request-Id"] == first.headers["x-request-id"]
    assert_refused(send(f"{call.path}?other=1"), 422, "IDEMPOTENCY_KEY_REUSED")
    assert_refused(send(call.path, "short"), 400, "IDEMPOTENCY_KEY_MALFORMED")
    [use] = world.api.get(f"/v1/idempotency/{KEY}").json()["uses"]
    assert (use["method"], use["status"]) == (method, first.status_code)
    assert use["answer"] == first.json()
    assert rows() == before
