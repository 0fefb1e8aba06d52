"""What a run of the fault tests adds up to: the one line that `make faults` ends with."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from tests.faults.matrix.verdicts import Finding
from tests.soak import soaked


def full(usual: int, complete: int) -> int:
    """Return the size of a part: the complete one in `make faults`, else that of every run."""
    return complete if os.environ.get("FLAGSHIP_FAULTS") else soaked(usual)


@dataclass(slots=True)
class Tally:
    """Counts over all tests of one process."""

    points: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    findings: Counter[str] = field(default_factory=Counter)
    planted: int = 0
    seen: int = 0

    def find(self, findings: list[Finding]) -> None:
        """Count what was not as promised."""
        self.findings.update(finding.sort for finding in findings)

    def to_json(self, seconds: float) -> dict[str, Any]:
        """Return the line."""
        return {
            "points": self.points,
            "faults": dict(sorted(self.faults.items())),
            "lost": self.findings["lost"],
            "doubled": self.findings["doubled"],
            "crooked": self.findings["crooked"],
            "planted": self.planted,
            "seen": self.seen,
            "seconds": round(seconds),
        }


TALLY: Final = Tally()
