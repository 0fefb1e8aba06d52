"""What a run adds up to: the one line that `make fuzz` ends with."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

SHOWN: Final = 20


@dataclass(slots=True)
class Tally:
    """Counts over all parts; an operation is "METHOD /path/{as}/documented"."""

    cases: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    operations: set[str] = field(default_factory=set)
    reached: set[str] = field(default_factory=set)
    succeeded: set[str] = field(default_factory=set)
    server_errors: list[str] = field(default_factory=list)
    undocumented: list[str] = field(default_factory=list)
    forgeries_accepted: int = 0

    def note(self, part: str, operation: str | None, status: int) -> None:
        """Count an answer (status 0: the connection was closed without one)."""
        self.cases[part] += 1
        self.statuses[status] += 1
        if operation is not None and status:
            self.reached.add(operation)
            if status < 400:
                self.succeeded.add(operation)

    def faults(self) -> list[str]:
        """Return what must not be, the first of each kind."""
        accepted = [f"{self.forgeries_accepted} forgeries accepted"] * bool(self.forgeries_accepted)
        return [*self.server_errors[:SHOWN], *self.undocumented[:SHOWN], *accepted]

    def to_json(self, seed: int, seconds: float) -> dict[str, Any]:
        """Return the line."""
        return {
            "seed": seed,
            "cases": dict(self.cases),
            "operations": len(self.operations),
            "operationsReached": len(self.reached & self.operations),
            "operationsSucceeded": len(self.succeeded & self.operations),
            "serverErrors": len(self.server_errors),
            "undocumented": len(self.undocumented),
            "forgeriesAccepted": self.forgeries_accepted,
            "seconds": round(seconds),
        }


TALLY: Final = Tally()
