"""Segments of organizations, by what they were charged lately (pure, B-10)."""

from __future__ import annotations

from typing import Final

WINDOW_DAYS: Final = 30
# The first segment whose bound is above the credits charged in the window; the last has none.
SEGMENTS: Final = {"idle": 1, "light": 100, "regular": 10_000, "heavy": None}


def segment_of(credits: int) -> str:
    """Return the segment of an organization that was charged so much in WINDOW_DAYS."""
    return next(name for name, below in SEGMENTS.items() if below is None or credits < below)


def segment_sql(credits: str) -> str:
    """Return the same rule as an SQL expression over one that yields the credits."""
    cases = " ".join(
        f"WHEN {credits} < {below} THEN '{name}'" for name, below in SEGMENTS.items() if below
    )
    return f"CASE {cases} ELSE '{next(reversed(SEGMENTS))}' END"
