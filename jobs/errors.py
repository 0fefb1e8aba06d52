"""Errors of the engine, and the base of every error a caller may see."""

from __future__ import annotations

from typing import Any, ClassVar


class Refusal(Exception):
    """A request that is refused with a catalogued code; nothing has changed when it is raised.

    Subclasses state the code (stable, upper snake case), the HTTP status, a title for the
    catalogue and what the caller should do next. `data` is the machine-readable part of the
    answer, `headers` go onto the HTTP response. Source: E-02, E-03.
    """

    code: ClassVar[str] = "REFUSED"
    status: ClassVar[int] = 400
    title: ClassVar[str] = "The request was refused."
    next_step: ClassVar[str] = "Read the message, correct the request and send it again."

    def __init__(
        self,
        message: str = "",
        *,
        data: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.message = message or self.title
        self.data = data or {}
        self.headers = headers or {}
        super().__init__(self.message)


class GiveUp(Exception):
    """Raised by a handler: this error will not heal, bury the job without further attempts."""


class Snooze(Exception):
    """Raised by a handler: come back later, no attempt is used.

    Units: `delay_s` in seconds, zero or more.
    """

    def __init__(self, delay_s: float, reason: str = "") -> None:
        self.delay_s = delay_s
        self.reason = reason
        super().__init__(f"snoozed for {delay_s:g} s: {reason}")


class Interrupted(BaseException):
    """The engine stops a running handler.

    A BaseException, so that a handler's broad `except Exception` cannot swallow it (W-07).
    """


class JobTimedOut(Interrupted):
    """The job ran past its `timeout_s`; counts as a failed attempt."""


class JobCancelled(Interrupted):
    """A running job was asked to stop and confirms by ending."""


class LeaseLost(Interrupted):
    """Another worker owns the job now; whatever this one would write is refused."""


class HandedBack(Interrupted):
    """The worker is stopping and gives the job back; not counted as an attempt."""
