"""Seeded nonsense: values, JSON of them, and bytes that are nearly JSON."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from typing import Any, Final

ODD: Final[list[Any]] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**30, 0.5, -0.0, 1e308, "", " ", "x",
    "\u0000", "\ud800", "é", "𐀀", "x" * 300, "x" * 5000, "../..", "%00", "null", "0", "-1",
    "1e9", "true", "2026-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31", "20260101",
    "proj_" + "0" * 32, "build_" + "f" * 32, "src_" + uuid.UUID(int=0).hex, "res_" + "0" * 32,
    "job_x", "jobs.probe", "static", "mkdocs", "Infinity", "NaN", "٣", "\uff11", "\u202e",
    "'; DROP TABLE x; --", "{{7*7}}", "<b>", [], {}, [[]], [{}], {"": ""}, {"a": {"b": [1, None]}},
]  # fmt: skip
DEEPEST: Final = 100_000
RAW_JSON: Final[list[Callable[[random.Random], bytes]]] = [
    lambda dice: b"[" * (depth := dice.choice([31, 32, 33, 1000, DEEPEST])) + b"]" * depth,
    lambda dice: b'{"a":' * (depth := dice.choice([31, 32, 33, 1000, 9000])) + b"1" + b"}" * depth,
    lambda dice: b'{"payload": ' + b"9" * dice.choice([19, 308, 309, 4300, 4301, 100_000]) + b"}",
    lambda dice: b'{"limit": 1e' + str(dice.choice([308, 309, -400, 10**9])).encode() + b"}",
    lambda dice: b'{"kind": "' + dice.choice([b"\\u0000", b"\\ud800", b"\\udc00\\ud800"]) + b'"}',
    lambda dice: b'{"kind": "jobs.probe", "kind": "x", "payload": {}}',
    lambda dice: dice.choice([b"NaN", b"-Infinity", b'{"a": NaN}', b"nul", b"01", b"+1", b"'a'"]),
    lambda dice: dice.choice([b"\xef\xbb\xbf{}", b"\xff\xfe{\x00}\x00", b"\x00\x00\x00{", b"\xff"]),
    lambda dice: b'{"name": "' + dice.randbytes(dice.randrange(40)) + b'"}',
    lambda dice: b'{"' + b"k" * dice.choice([1000, 100_000]) + b'": 1}',
    lambda dice: b'{"name": "\xed\xa0\x80\xc0\x80"}',
    lambda dice: dice.choice([b"", b" ", b"\x00", b'"', b"[1,", b'{"a"', b"{}{}", b"{} x"]),
]  # fmt: skip


def nonsense(dice: random.Random, fields: list[str], depth: int = 0) -> Any:
    """Return a random JSON value, mostly an object with known names."""
    if depth < 3 and dice.random() < 0.6 / (depth + 1):
        size = dice.randrange(6)
        return {dice.choice(fields): nonsense(dice, fields, depth + 1) for _ in range(size)}
    return dice.choice(ODD)


def spoiled(dice: random.Random, value: Any, fields: list[str]) -> Any:
    """Return a valid value with one thing in it changed, added or left out."""
    if not isinstance(value, dict) or not value:
        return nonsense(dice, fields)
    copy = dict(value)
    name = dice.choice(sorted(copy))
    match dice.randrange(4):
        case 0:
            del copy[name]
        case 1:
            copy[dice.choice(fields)] = dice.choice(ODD)
        case 2 if isinstance(copy[name], dict):
            copy[name] = spoiled(dice, copy[name], fields)
        case _:
            copy[name] = dice.choice(ODD)
    return copy


def broken(dice: random.Random, raw: bytes) -> bytes:
    """Return the bytes with a few of them replaced, dropped or put in."""
    at = dice.randrange(len(raw) + 1)
    return raw[:at] + dice.randbytes(dice.randrange(4)) + raw[at + dice.randrange(3) :]
