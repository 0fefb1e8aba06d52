"""What tells two requests apart under one key (E-01, P03)."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import unicodedata
import uuid
from typing import Any

import pytest

from flagship.errors import IdempotencyKeyMalformed
from flagship.models.idempotency import Claim
from flagship.services.idempotency import make_claim, parse_key

SEED = int(os.environ.get("CLAIMS_SEED", "20260101"))
PAIRS = 5000
PLACES: dict[str, Any] = {
    "organization_id": [uuid.UUID(int=1), uuid.UUID(int=2)],
    "method": ["POST", "PUT"],
    # Written so that joining them without care would make two places one.
    "route": ["v1/a", 'v1/a", "b', "v1/a,b"],
    "key": ["key-of-this-test-1", '", "key-of-this-test-1', "b, key-of-this-test-1"],
}
ASKED: dict[str, Any] = {
    "target": ["/v1/a", "/v1/a?", "/v1/a?b=1", "/v1/%61"],
    "media_type": ["application/json", "text/plain", ""],
}


def claim(body: bytes = b"{}", **changed: Any) -> Claim:
    given = {name: values[0] for name, values in (PLACES | ASKED).items()} | changed
    return make_claim(**given, body_sha256=hashlib.sha256(body).digest(), request_id="req_1")


def test_key_hash__of_two_places__differs_and_knows_nothing_else() -> None:
    # E-01: the scope is organization, method, route and key
    places = [
        dict(zip(PLACES, values, strict=True)) for values in itertools.product(*PLACES.values())
    ]
    hashes = {claim(**place).key_hash for place in places}

    assert len(hashes) == len(places)
    assert {claim(target=target, body=b"x").key_hash for target in ASKED["target"]} == {
        claim().key_hash
    }


def test_fingerprint__of_two_requests__differs_and_knows_nothing_of_the_place() -> None:
    # P03
    asked = [dict(zip(ASKED, values, strict=True)) for values in itertools.product(*ASKED.values())]

    assert len({claim(**each).fingerprint for each in asked}) == len(asked)
    assert {claim(route=route).fingerprint for route in PLACES["route"]} == {claim().fingerprint}


def test_fingerprint__of_bodies_that_mean_the_same__differs_with_their_bytes() -> None:
    # P03: 5,000 pairs, mutated in order, spacing, escapes, numbers and duplicate names
    dice = random.Random(SEED)
    for number in range(PAIRS):
        first, second = a_body(dice), a_body(dice)

        same = claim(first).fingerprint == claim(second).fingerprint
        assert same == (first == second), (SEED, number, first, second)


def a_body(dice: random.Random) -> bytes:
    """Return one of the ways to write one of a few values; pairs of them are often equal."""
    name = unicodedata.normalize(dice.choice(["NFC", "NFD"]), "Café")
    value: dict[str, Any] = {"name": name, "n": dice.choice([1, 1.0, True])}
    if dice.random() < 0.5:
        value = dict(reversed(value.items()))
    text = json.dumps(
        value,
        ensure_ascii=dice.random() < 0.5,
        separators=dice.choice([(",", ":"), (", ", ": ")]),
    )
    if dice.random() < 0.3:
        text = text[:-1] + dice.choice([',"n":1}', ', "n": 1}', " }"])
    return text.encode()


@pytest.mark.parametrize(
    "key", ["x" * 16, "x" * 255, "build_1:create:session_1", "a \\b' c/d?e#f;g=h"]
)
def test_key__bare_and_quoted__is_one_key(key: str) -> None:
    # E-01
    quoted = '"' + key.replace("\\", "\\\\") + '"'

    assert parse_key(header=key) == parse_key(header=quoted) == parse_key(header=f" {key} ") == key


@pytest.mark.parametrize("key", ["x" * 15, "x" * 256, '"' + "x" * 15 + '"', '"' + "x" * 256 + '"'])
def test_key__just_outside_the_limits__is_malformed(key: str) -> None:
    # E-01
    with pytest.raises(IdempotencyKeyMalformed):
        parse_key(header=key)
