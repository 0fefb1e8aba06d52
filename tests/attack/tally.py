"""What a run adds up to: the one line that `make attack` ends with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(slots=True)
class Tally:
    """Counts over all tests of one process."""

    refused: int = 0
    accepted: int = 0
    dropped: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    alone: int = 0
    redundant: int = 0

    def note(self, *, is_refused: bool) -> None:
        """Count one statement that must be refused."""
        self.refused += is_refused
        self.accepted += not is_refused

    def to_json(self, seconds: float) -> dict[str, Any]:
        """Return the line.

        `alone` counts the guards whose loss alone lets something through; the other seen ones
        stand behind or before another guard, which was taken away as well. `redundant` ones are
        dropped and never seen, and are not counted in `dropped`.
        """
        return {
            "statements": self.refused + self.accepted,
            "refused": self.refused,
            "accepted": self.accepted,
            "dropped": len(self.dropped),
            "seen": len(self.seen),
            "alone": self.alone,
            "redundant": self.redundant,
            "seconds": round(seconds),
        }


TALLY: Final = Tally()
