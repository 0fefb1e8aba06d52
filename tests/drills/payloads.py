"""Payloads of the drills."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from jobs.payloads import Payload


class Touch(Payload):
    """Sleep, then store an effect together with the completion."""

    KIND: ClassVar[str] = "drills.touch"

    key: str
    sleep_s: float = 0.0
    fail_times: int = 0


class TouchElsewhere(Touch):
    """The same on another queue."""

    KIND: ClassVar[str] = "drills.touch_elsewhere"


class Stubborn(Payload):
    """Swallow every Exception until the engine has had enough."""

    KIND: ClassVar[str] = "drills.stubborn"

    swallow_everything: bool = False


class Mortal(Payload):
    """Die at once; `on_dead` fails its first times, `on_requeue` may refuse."""

    KIND: ClassVar[str] = "drills.mortal"

    key: str
    on_dead_fails: int = 0
    refuse_requeue: bool = False
    lives_from_attempt: int = Field(default=1_000_000)
