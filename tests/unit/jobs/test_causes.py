"""What counts as the same cause of death (D-01, D-07)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from jobs.services.causes import cause_of, fingerprint_of, normalised
from jobs.services.endings import failed, lost


def raised(act: Callable[[], object]) -> BaseException:
    """Call and return what it raises."""
    try:
        act()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def fetch(number: int) -> None:
    raise TimeoutError(f"no answer from 10.0.0.{number} after {number}.5 s")


def upload(number: int) -> None:
    raise TimeoutError(f"no answer from 10.0.0.{number} after {number}.5 s")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("[Errno 28] No space left", "[Errno <n>] No space left"),
        (
            "build_0193a1b2c3d474e5a60718293a4b5c6d is gone, job "
            "0193a1b2-c3d4-74e5-a607-18293a4b5c6d stays",
            "<id> is gone, job <id> stays",
        ),
        ("GET https://api.example.org/v1?key=1 said 503", "GET <url> said <n>"),
        ("<Order object at 0x7f3a2c00>", "<Order object at <n>>"),
        ("commit 8f5c9a0e6b7d4c3f is not there", "commit <hex> is not there"),
        ("mail to ana@example.org at 12:30:05", "mail to <address> at <n>"),
        ("no column 'size' in \"orders\"", "no column 'size' in \"orders\""),
        ("deadbeef and cafebabe are words", "deadbeef and cafebabe are words"),
        ("  first line\nsecond 42", "first line"),
        ("", ""),
    ],
)
def test_message__normalised__keeps_what_tells_causes_apart(message: str, expected: str) -> None:
    # D-07
    assert normalised(message) == expected


def test_message__of_any_length__is_bounded() -> None:
    assert len(normalised("word " * 100_000)) == 300


def test_cause__of_the_same_place__is_the_same_whatever_the_numbers() -> None:
    # D-07
    one, two = raised(lambda: fetch(1)), raised(lambda: fetch(2))

    assert cause_of(one) == cause_of(two)
    assert cause_of(one) != cause_of(raised(lambda: upload(1)))
    assert f"{__name__}:fetch" in cause_of(one)


def test_cause__deep_in_a_package__is_named_by_our_own_frames() -> None:
    # D-07: a new version of a package is no new cause.
    cause = cause_of(raised(lambda: json.loads("{")))

    assert "json" not in cause.rpartition("\n")[0]
    assert __name__ in cause


def test_cause__without_a_traceback__is_the_message() -> None:
    assert cause_of(RuntimeError("7 of 9")) == "<n> of <n>"


def test_fingerprint__of_an_ending__says_its_version_and_differs_by_kind_and_class() -> None:
    # D-07
    ending = failed(raised(lambda: fetch(1)))

    assert re.fullmatch(r"v2-[0-9a-f]{40}", ending.fingerprint("a.kind"))
    assert ending.fingerprint("a.kind") == failed(raised(lambda: fetch(8))).fingerprint("a.kind")
    assert ending.fingerprint("a.kind") != ending.fingerprint("another.kind")
    assert fingerprint_of("k", "A", "c") != fingerprint_of("k", "B", "c")


def test_fingerprint__of_lost_workers__is_one_for_a_kind() -> None:
    # Whichever worker it was, and however it went.
    assert lost("web-1:4711 is gone").fingerprint("k") == lost("killed").fingerprint("k")


def test_fingerprint__of_what_cannot_be_stored__is_made_all_the_same() -> None:
    assert failed(RuntimeError("half \ud800 and \x00")).fingerprint("k")
