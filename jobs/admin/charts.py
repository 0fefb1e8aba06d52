"""Charts drawn here as SVG: nothing runs in the browser, and colours are those of the scheme.

A drawing is stretched to the width of its place, so it holds no text: what it says in words stands
beside it, and in its label for those who do not see it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

BARS_HEIGHT: Final = 32
BAR_WIDTH: Final = 5
BAR_GAP: Final = 1
CHART_WIDTH: Final = 600
CHART_HEIGHT: Final = 160


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: the whole of it, and from below the part that is bad. Units: of the drawing."""

    x: int
    height: float
    bad_height: float
    title: str

    @property
    def y(self) -> float:
        """Where it begins; drawings count from above."""
        return BARS_HEIGHT - self.height

    @property
    def bad_y(self) -> float:
        """Where the bad part begins."""
        return BARS_HEIGHT - self.bad_height


def bars(
    values: Sequence[int], *, label: str, bad: Sequence[int] = (), titles: Sequence[str] = ()
) -> SafeString:
    """Draw numbers over time as bars, the oldest at the left, the bad ones among them in red.

    `bad` counts some of `values`, part by part; `titles` are shown on each bar when it is pointed
    at. The highest fills the height; what is there at all, a bar or the bad part of one, is seen.
    """
    top = max(values, default=0)
    drawn = [
        Bar(
            number * (BAR_WIDTH + BAR_GAP),
            _height(value, top),
            _height(bad[number], top) if bad else 0.0,
            titles[number] if titles else "",
        )
        for number, value in enumerate(values)
        if value
    ]
    width = max(len(values), 1) * (BAR_WIDTH + BAR_GAP)
    context = {"bars": drawn, "width": width, "height": BARS_HEIGHT, "bar_width": BAR_WIDTH}
    return _drawn("bars", {**context, "label": label})


def _height(value: int, top: int) -> float:
    """Scale a number to the drawing."""
    return max(round(BARS_HEIGHT * value / top, 1), 2.0) if value else 0.0


@dataclass(frozen=True, slots=True)
class Series:
    """A line of a chart; `name` is also the class that colours it."""

    name: str
    title: str
    values: Sequence[int]


def steps(series: Sequence[Series], *, marks: Sequence[str], label: str) -> SafeString:
    """Draw what stands between moments and jumps at them, as a balance does.

    Every series has as many values as the others, evenly spaced in time, the oldest first; `marks`
    are written below, evenly spaced as well. The scale begins at 0.
    """
    top = nice_ceiling(max((value for each in series for value in each.values), default=0))
    lines = [{"name": s.name, "title": s.title, "path": _path(s.values, top)} for s in series]
    context = {
        "lines": lines,
        "marks": marks,
        "scale": [f"{top:,}", f"{top // 2:,}", "0"],
        "width": CHART_WIDTH,
        "height": CHART_HEIGHT,
        "half": CHART_HEIGHT // 2,
        "label": label,
    }
    return _drawn("steps", context)


def nice_ceiling(value: int) -> int:
    """Return a round number that is not below a value, and even: 10, 20, 50, 100, 200, ..."""
    if value <= 10:
        return 10
    size: int = 10 ** int(math.log10(value))
    return next(factor * size for factor in (1, 2, 5, 10, 20) if factor * size >= value)


def _path(values: Sequence[int], top: int) -> str:
    """Write a line that goes across, then up or down."""
    width = CHART_WIDTH / max(len(values) - 1, 1)
    parts: list[str] = []
    for number, value in enumerate(values):
        y = round(CHART_HEIGHT - value / top * CHART_HEIGHT, 1)
        x = round(number * width, 1)
        parts.append(f"H{x}V{y}" if parts else f"M{x} {y}")
    return "".join(parts)


def _drawn(name: str, context: dict[str, object]) -> SafeString:
    return SafeString(render_to_string(f"admin/charts/{name}.html", context).strip())
