"""When a failed job runs again (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

WAIT_MAX_S: Final = 366 * 24 * 3600.0
"""No wait between two runs is longer: who asked for more is asked again after a year."""

THROTTLE_MIN_S: Final = 1.0
"""A throttled job waits at least this long, whatever it was told: a zero would spin."""

THROTTLE_MAX_S: Final = 24 * 3600.0
"""It waits at most this long and then asks again: a daily quota is honoured, a slip of the
service's clock parks no job for years."""

THROTTLE_DEFAULT_S: Final = 30.0
"""What it waits when the service said nothing that can be read."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The waits between the runs of a job: as many retries as waits.

    Units: seconds. An empty tuple means the first failure is final. The list is copied into the
    job's row when it is enqueued, so a changed policy never changes work already accepted.
    """

    backoff_s: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not all(0 <= wait <= WAIT_MAX_S for wait in self.backoff_s):
            raise ValueError("a wait is a number of seconds, from zero to a year of them")

    @property
    def max_attempts(self) -> int:
        """Runs at most, the first included: "5 retries" are 6 runs (W-02)."""
        return len(self.backoff_s) + 1


def exponential(retries: int, base_s: float = 1.0, factor: float = 2.0) -> RetryPolicy:
    """Waits of `base_s`, `base_s * factor`, `base_s * factor**2`, ... seconds."""
    return RetryPolicy(tuple(base_s * factor**n for n in range(retries)))


def linear(retries: int, step_s: float = 5.0) -> RetryPolicy:
    """Waits of one, two, three ... times `step_s` seconds."""
    return RetryPolicy(tuple(step_s * n for n in range(1, retries + 1)))


def never() -> RetryPolicy:
    """No second run."""
    return RetryPolicy()


def parse_retry_after(value: str | None, *, now: datetime) -> float | None:
    """Return the seconds that a Retry-After header asks to wait; None for what is not one.

    Takes whole seconds and the three forms of an HTTP date (RFC 9110, sections 10.2.3 and 5.6.7),
    which are measured from `now`; a date in the past is 0. A date without a zone is UTC.
    """
    text = (value or "").strip(" \t")
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - now).total_seconds())


def throttle_wait_s(asked_s: float | None) -> float:
    """Return how long a throttled job waits that was asked to wait so many seconds (W-16).

    Between THROTTLE_MIN_S and THROTTLE_MAX_S; THROTTLE_DEFAULT_S for None and for no number.
    """
    if asked_s is None or asked_s != asked_s:
        return THROTTLE_DEFAULT_S
    return min(max(asked_s, THROTTLE_MIN_S), THROTTLE_MAX_S)


def snooze_wait_s(asked_s: float) -> float:
    """Return how long a job is snoozed that asked for so many seconds.

    Not at all for a time that has passed and for no number; WAIT_MAX_S at most.
    """
    return min(max(0.0, asked_s), WAIT_MAX_S)
