"""Reading Retry-After, and how long a throttled job waits (W-16, RFC 9110 10.2.3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jobs.retry import (
    THROTTLE_DEFAULT_S,
    THROTTLE_MAX_S,
    THROTTLE_MIN_S,
    WAIT_MAX_S,
    parse_retry_after,
    snooze_wait_s,
    throttle_wait_s,
)

NOW = datetime(1994, 11, 6, 8, 49, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 120\t", 120.0),
        ("007", 7.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 30.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 30.0),
        ("Sun Nov  6 08:49:37 1994", 30.0),
        ("Sun, 06 Nov 1994 09:49:37 +0100", 30.0),
        ("Sun, 06 Nov 1994 08:00:00 GMT", 0.0),
        ("Wed, 06 Nov 1996 08:49:07 GMT", 731 * 86400.0),
    ],
)
def test_parse__of_seconds_or_a_date__is_the_wait(value: str, seconds: float) -> None:
    assert parse_retry_after(value, now=NOW) == seconds


@pytest.mark.parametrize(
    "value",
    [
        None, "", " ", "-1", "+1", "1.5", "1e3", "soon", "120, 30", "٣", "²", "inf", "nan", "0x10",
        "Sun, 99 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 99999 08:49:37 GMT", "Sun, 06", "GMT",
        "\x00", "1" * 5000 + "x",
    ],
)  # fmt: skip
def test_parse__of_anything_else__is_none(value: str | None) -> None:
    assert parse_retry_after(value, now=NOW) is None


def test_parse__of_a_number_beyond_all_bounds__is_a_wait_beyond_all_bounds() -> None:
    asked = parse_retry_after("9" * 5000, now=NOW)

    assert asked is not None
    assert throttle_wait_s(asked) == THROTTLE_MAX_S


@pytest.mark.parametrize(
    ("asked", "waits"),
    [
        (30.0, 30.0),
        (1.5, 1.5),
        (0.0, THROTTLE_MIN_S),
        (-5.0, THROTTLE_MIN_S),
        (timedelta(days=1).total_seconds(), THROTTLE_MAX_S),
        (timedelta(days=400).total_seconds(), THROTTLE_MAX_S),
        (float("inf"), THROTTLE_MAX_S),
        (float("nan"), THROTTLE_DEFAULT_S),
        (None, THROTTLE_DEFAULT_S),
    ],
)
def test_wait__of_a_throttled_job__is_as_told_within_bounds(
    asked: float | None, waits: float
) -> None:
    assert throttle_wait_s(asked) == waits


@pytest.mark.parametrize(
    ("asked", "waits"),
    [
        (30.0, 30.0),
        (0.0, 0.0),
        (-5.0, 0.0),
        (timedelta(days=400).total_seconds(), WAIT_MAX_S),
        (float("inf"), WAIT_MAX_S),
        (float("-inf"), 0.0),
        (float("nan"), 0.0),
    ],
)
def test_wait__of_a_snoozed_job__is_as_asked_within_bounds(asked: float, waits: float) -> None:
    assert snooze_wait_s(asked) == waits
