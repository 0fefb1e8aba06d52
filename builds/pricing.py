"""What a build costs: one rate for the estimate and for the charge (pure, B-06, B-09).

    credits = 1 (base) + 1 per started 10 s of building + 1 per started MiB of output

The estimate is the same rate over the time and size that a source is expected to need, set right by
what earlier builds of the project were charged. A build that needed less is charged less; one that
needed more is charged more, from the free balance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Final

BASE_CREDITS: Final = 1
SECONDS_PER_CREDIT: Final = 10
BYTES_PER_CREDIT: Final = 1024 * 1024

# Builders that compile take time and add a theme of their own to what they publish; the others
# publish what they are given.
_STARTUP_S: Final = {"mkdocs": 10.0, "npm": 15.0, "sphinx": 10.0}
_THEME_BYTES: Final = {"mkdocs": 3 * BYTES_PER_CREDIT, "sphinx": BYTES_PER_CREDIT}
_BYTES_PER_S: Final = {"mkdocs": 256 * 1024, "npm": BYTES_PER_CREDIT, "sphinx": 128 * 1024}
_DEFAULT_BYTES_PER_S: Final = 16 * BYTES_PER_CREDIT

# Fewer builds than this say less about the next one than its size does.
LEAST_HISTORY: Final = 3
# One build in ten costs less than `low`, one in ten more than `high`.
_LOW: Final = Fraction(1, 10)
_HIGH: Final = Fraction(9, 10)


@dataclass(frozen=True, slots=True)
class PastBuild:
    """A deployed build: its charge and the size of its source's files, in credits and bytes."""

    charged_credits: int
    unpacked_bytes: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a build is expected to cost, in whole credits; `likely` is what is held for it.

    Invariant: 1 <= low <= likely <= high. `based_on_builds` is 0 where only the size was known.
    """

    low: int
    likely: int
    high: int
    based_on_builds: int


def usage_credits(*, duration_s: float, output_bytes: int) -> int:
    """Return the charge for a build.

    Units: seconds of building, bytes published, whole credits (1 at least).
    """
    started_intervals = -int(-max(duration_s, 0.0) // SECONDS_PER_CREDIT)
    started_mebibytes = -(-max(output_bytes, 0) // BYTES_PER_CREDIT)
    return BASE_CREDITS + started_intervals + started_mebibytes


def estimate(*, builder: str, unpacked_bytes: int, history: Sequence[PastBuild] = ()) -> Estimate:
    """Return what a build of a source is expected to cost.

    Each past build says how its charge compared with what its size alone had promised; the tenth,
    the median and the ninetieth percentile of that are applied to the size at hand. A source that
    has grown costs more, a site that is cheaper than it looks stays cheap. Below LEAST_HISTORY
    builds the size alone decides, between half and twice the time and the output expected of it.

    Units: `unpacked_bytes` is the size of the source's files. Source: B-09.
    """
    likely = _by_size(builder, unpacked_bytes)
    if len(history) < LEAST_HISTORY:
        low = _by_size(builder, unpacked_bytes, Fraction(1, 2))
        return Estimate(low, likely, _by_size(builder, unpacked_bytes, Fraction(2)), 0)
    ratios = sorted(
        Fraction(past.charged_credits, _by_size(builder, past.unpacked_bytes)) for past in history
    )
    return Estimate(
        max(BASE_CREDITS, floor(likely * _quantile(ratios, _LOW))),
        max(BASE_CREDITS, ceil(likely * _quantile(ratios, Fraction(1, 2)))),
        max(BASE_CREDITS, ceil(likely * _quantile(ratios, _HIGH))),
        len(history),
    )


def _by_size(builder: str, unpacked_bytes: int, times: Fraction = Fraction(1)) -> int:
    """Return the charge for so many times what the size alone lets expect."""
    rate = _BYTES_PER_S.get(builder, _DEFAULT_BYTES_PER_S)
    duration_s = _STARTUP_S.get(builder, 1.0) + unpacked_bytes / rate
    output_bytes = unpacked_bytes + _THEME_BYTES.get(builder, 0)
    return usage_credits(
        duration_s=duration_s * float(times), output_bytes=ceil(output_bytes * times)
    )


def _quantile(ordered: Sequence[Fraction], share: Fraction) -> Fraction:
    """Return the smallest value that at least this share of the values does not exceed."""
    return ordered[max(0, ceil(len(ordered) * share) - 1)]
