"""When the story does not go as told, and how long anything in it may take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")
POLL_S = 0.1


class DemoFailed(Exception):
    """Something was not as it should be; the message says what."""


def wait_for(what: str, look: Callable[[], Found | None], timeout_s: float) -> Found:
    """Look until there is something to see, and return it.

    Raises: DemoFailed when `timeout_s` seconds pass first.
    """
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        found = look()
        if found is not None:
            return found
        time.sleep(POLL_S)
    raise DemoFailed(f"{what} did not come within {timeout_s:g} s")


def check(condition: bool, otherwise: str) -> None:
    """Go on only if the condition holds. Raises: DemoFailed."""
    if not condition:
        raise DemoFailed(otherwise)
