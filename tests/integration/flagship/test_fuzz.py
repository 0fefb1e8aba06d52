"""Seeded nonsense over every operation of the schema: never a server error (E-08, P31)."""

from __future__ import annotations

import json
import os
import random
import uuid
from collections import Counter
from typing import Any

import pytest

from flagship.api.documents import schema_json
from flagship.errors.catalogue import all_refusals
from tests.clients import ApiCaller

SEED = int(os.environ.get("FUZZ_SEED", "20260101"))
CASES = int(os.environ.get("FUZZ_CASES", "600"))
ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**30, 0.5, -0.0, 1e308, "", " ", "x",
    "\u0000", "\ud800", "é", "𐀀", "x" * 300, "x" * 5000, "../..", "%00", "null", "0", "-1",
    "1e9", "true", "2026-01-01T00:00:00Z", "proj_" + "0" * 32, "build_" + "f" * 32,
    "src_" + uuid.UUID(int=0).hex, "res_" + "0" * 32, "job_x", "jobs.probe", "static", "mkdocs",
    "'; DROP TABLE x; --", "{{7*7}}", "<b>", [], {}, [[]], [{}], {"": ""}, {"a": {"b": [1, None]}},
]  # fmt: skip
HEADERS = ("Content-Type", "Accept", "Idempotency-Key", "x-request-id", "Authorization")


def names(schema: dict[str, Any]) -> list[str]:
    """Return every property name of the schema, so that nonsense lands in real fields."""
    found = {"unknown"}
    for component in schema["components"]["schemas"].values():
        found |= component.get("properties", {}).keys()
    return sorted(found)


def nonsense(dice: random.Random, fields: list[str], depth: int = 0) -> Any:
    """Return a random JSON value, mostly an object with known names."""
    if depth < 3 and dice.random() < 0.6 / (depth + 1):
        size = dice.randrange(6)
        return {dice.choice(fields): nonsense(dice, fields, depth + 1) for _ in range(size)}
    return dice.choice(ODD)


def body_of(dice: random.Random, fields: list[str]) -> bytes:
    """Return a body: JSON, broken JSON or bytes."""
    raw = json.dumps(nonsense(dice, fields)).encode()
    if dice.random() < 0.15:
        at = dice.randrange(len(raw) + 1)
        raw = raw[:at] + dice.randbytes(dice.randrange(4)) + raw[at + dice.randrange(3) :]
    return raw


def path_of(dice: random.Random, template: str, operation: dict[str, Any]) -> str:
    """Fill a path with odd ids, and a query with odd values of known and unknown parameters."""
    from urllib.parse import quote

    path = template
    while "{" in path:
        odd = quote(str(dice.choice(ODD)).encode("utf-8", "replace"), safe="")
        path = path[: path.index("{")] + (odd or "x") + path[path.index("}") + 1 :]
    known = [p["name"] for p in operation.get("parameters", []) if p["in"] == "query"]
    pairs = [
        f"{quote(name)}={quote(str(dice.choice(ODD)).encode('utf-8', 'replace'), safe='')}"
        for name in [*known, "unknown"]
        if dice.random() < 0.3
    ]
    return path + ("?" + "&".join(pairs) if pairs else "")


@pytest.mark.django_db
def test_operations__given_seeded_nonsense__never_fail(api: ApiCaller) -> None:
    # P31
    dice = random.Random(SEED)
    schema = json.loads(schema_json())
    fields = names(schema)
    codes = {refusal.code for refusal in all_refusals()}
    operations = [
        (method, path, operation)
        for path, item in schema["paths"].items()
        for method, operation in item.items()
    ]
    seen: Counter[int] = Counter()
    for case in range(CASES):
        method, template, operation = dice.choice(operations)
        headers = {
            name: dice.choice(["", "x", "text/csv", "a" * 20, "a" * 300, "\xff", "Bearer x"])
            for name in HEADERS
            if dice.random() < 0.03
        }
        path, body = path_of(dice, template, operation), body_of(dice, fields)
        response = api.request(method.upper(), path, body, headers=headers)

        # A statement is streamed: what breaks in it breaks while it is read.
        sent = b"".join(response.streaming_content) if response.streaming else response.content
        told = (SEED, case, method, path, body, headers, sent[:500])
        seen[response.status_code] += 1
        assert response.status_code < 500, told
        if response.status_code >= 400:
            assert response.json()["error"] in codes, told
    assert len(seen) >= 6, seen
