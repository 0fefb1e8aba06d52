"""Charts as SVG: what is drawn, what is said of it."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from jobs.admin.charts import BARS_HEIGHT, CHART_HEIGHT, Series, bars, nice_ceiling, steps


def drawn(text: str, name: str) -> list[tuple[float, float]]:
    """Where the bars of a class begin, and how high they are."""
    root = ElementTree.fromstring(text)
    found = (rect for rect in root.iter("rect") if rect.get("class") == name)
    return [(float(rect.get("x", "")), float(rect.get("height", ""))) for rect in found]


def test_bars__of_numbers__are_those_that_are_not_0() -> None:
    # W-17
    text = bars([0, 10, 5], bad=[0, 0, 5], label="Runs of audit: 15, failed: 5")

    assert drawn(text, "fs-bar") == [(6, BARS_HEIGHT), (12, BARS_HEIGHT / 2)]
    assert drawn(text, "fs-bar-bad") == [(12, BARS_HEIGHT / 2)]
    assert 'aria-label="Runs of audit: 15, failed: 5"' in text


def test_bars__of_one_failure_in_a_thousand__show_it() -> None:
    assert drawn(bars([1000], bad=[1], label="x"), "fs-bar-bad")[0][1] >= 1


def test_bars__with_titles__say_each_its_own() -> None:
    # D-07
    text = bars([3, 0, 1], titles=["three", "none", "one"], label="x")

    assert re.findall(r"<title>(.*?)</title>", text) == ["three", "one"]


@pytest.mark.parametrize("values", [[], [0, 0, 0]])
def test_bars__of_nothing__are_an_empty_drawing(values: list[int]) -> None:
    assert drawn(bars(values, bad=values, label="none"), "fs-bar") == []


def test_bars__of_a_hostile_name__say_it_as_text() -> None:
    assert "<script" not in bars([1], label='"><script>alert(1)</script>')


def test_steps__of_a_balance__go_across_then_up_or_down() -> None:
    # C-07
    drawing = steps(
        [Series("balance", "Balance", [0, 0, 50, 100])], marks=["a", "b"], label="now 100"
    )

    path = re.search(r'fs-line-balance" d="([^"]*)"', drawing)
    assert path is not None
    assert path[1] == f"M0.0 {CHART_HEIGHT}.0H200.0V{CHART_HEIGHT}.0H400.0V80.0H600.0V0.0"
    assert all(text in drawing for text in (">100<", ">50<", ">a<", ">b<", "Balance"))


@pytest.mark.parametrize(
    ("value", "top"),
    [(0, 10), (7, 10), (10, 10), (11, 20), (21, 50), (99, 100), (1000, 1000), (1001, 2000)],
)
def test_ceiling__of_a_value__is_a_round_number_not_below_it(value: int, top: int) -> None:
    assert nice_ceiling(value) == top


def test_ceiling__of_any_value__is_even_and_not_much_above() -> None:
    for value in range(11, 200_000, 37):
        top = nice_ceiling(value)
        assert value <= top <= value * 2.5 and top % 2 == 0
