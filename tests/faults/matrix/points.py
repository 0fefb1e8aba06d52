"""What is struck: boundaries of an operation, and the faults that fit them."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Final

KILL: Final = "kill"
"""SIGKILL to the process itself."""
PARENT: Final = "parent"
"""SIGKILL to the worker, from the child process in which its job runs."""
CUT: Final = "cut"
"""The connection breaks: before the request is sent, or after the reply was read."""
LOST: Final = "reply_lost"
"""The other side has done it, COMMIT above all; the reply never arrives."""
STOP: Final = "stop"
"""SIGSTOP, the lease runs out, somebody else takes over, SIGCONT."""
CALM: Final = "calm"
"""No fault: what the operation does by itself."""

EVERY: Final = (KILL, PARENT, CUT, LOST, STOP)

BEFORE: Final = "before"
AFTER: Final = "after"

ANSWERED: Final = ("commit", "statement", "redis", "call")
"""Exchanges that change something for good: a lost reply leaves their caller in doubt."""


@dataclass(frozen=True, slots=True)
class Point:
    """One boundary: the `nth` time threads of this role get to this side of this exchange.

    `sort` is commit, statement (a transaction of its own), query (inside one), redis or call.
    """

    role: str
    label: str
    nth: int
    side: str
    sort: str

    def __str__(self) -> str:
        return f"{self.side} {self.label} ({self.role} {self.nth})"

    def faults(self) -> list[str]:
        """Name the faults that fit here."""
        fitting = [KILL, CUT, STOP]
        if self.side == AFTER and self.sort in ANSWERED:
            fitting.append(LOST)
        if self.role.startswith("child"):
            fitting.append(PARENT)
        return fitting

    def to_json(self) -> dict[str, Any]:
        """Return it as the journal and the orders carry it."""
        return asdict(self)


LIMITS: Final = {"main": 2, "monitor": 2}
"""How often the same exchange of a thread that polls is a boundary of its own."""
LIMIT: Final = 4


class Counts:
    """Names exchanges by role, label and how often they have been seen."""

    def __init__(self) -> None:
        self._seen: Counter[tuple[str, str]] = Counter()

    def name(self, role: str, label: str) -> int | None:
        """Return which time this is, from 1; None when it has been a boundary often enough."""
        self._seen[role, label] += 1
        nth = self._seen[role, label]
        return nth if nth <= LIMITS.get(role, LIMIT) else None
