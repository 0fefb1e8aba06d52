"""Strict JSON (E-08)."""

from __future__ import annotations

import pytest

from flagship.api.parsers import loads
from flagship.errors import MalformedJson


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b'{"a": [1, 2.5, "x", true, null]}', {"a": [1, 2.5, "x", True, None]}),
        (b' "\xc3\xa4\\u00e4\\ud83d\\ude00" ', "ää😀"),
        (b"[" * 32 + b"]" * 32, None),
        (b"-0.0", -0.0),
    ],
)
def test_json__that_is_strict__is_read(raw: bytes, value: object) -> None:
    assert loads(raw) == value or value is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"{",
        b"{} {}",
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a": 1, "a": 1}',
        b'{"b": [{"a": 1, "\\u0061": 2}]}',
        b"NaN",
        b"[Infinity]",
        b"[-Infinity]",
        b"1e999",
        b"-1e999",
        b"9" * 5000,
        b'"\\u0000"',
        b'{"\\u0000": 1}',
        b'"\x00"',
        b'"\\ud800"',
        b'["\\udc00\\ud800"]',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{\x00}\x00",
        b"[" * 33 + b"]" * 33,
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
    ],
)
def test_json__that_is_not__is_refused_without_quoting_it(raw: bytes) -> None:
    # E-08, P31
    with pytest.raises(MalformedJson) as caught:
        loads(raw)

    assert len(caught.value.message) < 120
