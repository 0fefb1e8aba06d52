"""How the console writes things."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jobs.admin.display import cut, duration, masked, moment, pretty_json, span


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0004, "0 ms"),
        (0.25, "250 ms"),
        (12.34, "12.3 s"),
        (60, "1 min"),
        (3_661, "1 h 1 min"),
        (86_400 * 3 + 3_600 * 4, "3 d 4 h"),
        (86_400, "1 d"),
    ],
)
def test_span__of_any_length__has_two_units_at_most(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_moment__past_and_coming__says_which_and_when() -> None:
    now = datetime.now(UTC)

    assert "3 h 5 min ago" in moment(now - timedelta(hours=3, minutes=5, seconds=1))
    assert "in 1 min 59 s" in moment(now + timedelta(minutes=2))
    assert f"{now:%Y-%m-%d %H:%M:%S.%f} UTC" in moment(now)
    assert moment(None, empty="never") == "never"


def test_masked__secret_keys_at_any_depth__lose_their_values_and_nothing_else() -> None:
    payload = {
        "build_id": "x",
        "Authorization": "Bearer 1",
        "nested": [{"apiKey": "2", "tokens": 3, "note": "kept"}],
    }

    assert masked(payload) == {
        "build_id": "x",
        "Authorization": "********",
        "nested": [{"apiKey": "********", "tokens": "********", "note": "kept"}],
    }
    assert payload["Authorization"] == "Bearer 1"


def test_pretty_json__with_markup__is_escaped() -> None:
    assert "&lt;b&gt;" in pretty_json({"note": "<b>"})
    assert pretty_json(None) == "-"


def test_cut__of_a_long_or_folded_text__keeps_the_start_of_its_first_line() -> None:
    assert cut("one\ntwo") == "one"
    assert cut("x" * 10, 5) == "xxxx…"
    assert duration(None, None) == "-"
