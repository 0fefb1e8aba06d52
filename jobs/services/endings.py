"""The ways a run can end without success (pure)."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Final

from jobs.retry import snooze_wait_s, throttle_wait_s
from jobs.services.causes import cause_of, fingerprint_of
from jobs.states import Outcome

CRASHES_MAX: Final = 3
"""A job that loses its worker this often is dead (W-06)."""

SUSPECT_AFTER: Final = 2
"""Lost this often, with a worker or on the way to one, a job runs in a process of its own."""

MESSAGE_CHARS: Final = 2_000
TRACEBACK_CHARS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended and what that costs the job.

    `spent` is taken from the retry budget, `crashed` from the three crashes; `permanent` buries
    whatever is left of them; `wait_s` replaces the backoff of the policy. `expired_only` lets the
    sweeper end a run only while its lease is over.
    """

    outcome: Outcome
    error_class: str = ""
    message: str = ""
    traceback: str = ""
    cause: str = ""
    spent: int = 0
    crashed: int = 0
    permanent: bool = False
    wait_s: float | None = None
    expired_only: bool = False

    def fingerprint(self, kind: str) -> str:
        """Return the key that deaths of a kind by this error and for this cause share."""
        return fingerprint_of(kind, self.error_class, self.cause)


def failed(error: BaseException, *, permanent: bool = False, spent: int = 1) -> Ending:
    """The handler raised; the backoff of the policy decides, or nothing if `permanent`."""
    text = "".join(traceback.format_exception(error))
    return Ending(
        Outcome.FAILED,
        error_class=type(error).__name__,
        message=_storable(str(error))[:MESSAGE_CHARS],
        traceback=_storable(text)[-TRACEBACK_CHARS:],
        cause=_storable(cause_of(error)),
        spent=spent,
        permanent=permanent,
    )


def lost(message: str, *, expired_only: bool = False) -> Ending:
    """The worker, or its database, went away: run again at once, three times at most."""
    return Ending(
        Outcome.LOST,
        error_class="WorkerLost",
        message=message,
        crashed=1,
        expired_only=expired_only,
    )


def handed_back(message: str = "the worker stopped") -> Ending:
    """A worker gives the job back, as a rule because it stops; it costs nothing."""
    return Ending(Outcome.HANDED_BACK, message=message, wait_s=0.0)


def snoozed(delay_s: float, reason: str) -> Ending:
    """The handler asked to be called again later; within a year, and it costs nothing."""
    return Ending(
        Outcome.SNOOZED,
        message=_storable(reason)[:MESSAGE_CHARS],
        wait_s=snooze_wait_s(delay_s),
    )


def throttled(retry_after_s: float | None, message: str) -> Ending:
    """A remote service asked to wait; within bounds it gets what it asks, and it costs nothing.

    Source: W-16.
    """
    return Ending(
        Outcome.THROTTLED,
        message=_storable(message)[:MESSAGE_CHARS],
        wait_s=throttle_wait_s(retry_after_s),
    )


def cancelled(error: BaseException | None = None) -> Ending:
    """The run stopped because it was asked to."""
    return Ending(Outcome.CANCELLED, message=str(error or "cancelled on request"), wait_s=0.0)


def _storable(text: str) -> str:
    """Replace what PostgreSQL's text cannot hold."""
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()
