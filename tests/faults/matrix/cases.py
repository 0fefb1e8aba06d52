"""One case of the matrix, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.faults.matrix.points import CALM, STOP, Point
from tests.faults.matrix.verdicts import Finding


@dataclass(slots=True)
class Case:
    """One operation struck by one fault at one point, and what came of it."""

    operation: str
    place: str = ""
    point: Point | None = None
    fault: str = CALM
    key: str = ""
    struck: bool = False
    early: int = 0
    acknowledged: bool = False
    code: int | None = 0
    pid: int = 0
    stopped: int = 0
    took_s: float = 0.0
    points: list[Point] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    log: str = ""

    @property
    def name(self) -> str:
        """What `--replay` takes."""
        return f"{self.operation}:{self.place}:{self.fault}"

    def stops_a_child(self) -> bool:
        """Tell whether not the process that was started stops, but one that it starts."""
        return self.fault == STOP and self.point is not None and self.point.role.startswith("child")

    def __str__(self) -> str:
        return f"{self.name} [{self.point}] {'; '.join(map(str, self.findings))}"


@dataclass(frozen=True, slots=True)
class Shown:
    """What came of a planted bug: whether it was planted at all, and the cases."""

    name: str
    planted: bool
    cases: list[Case]

    @property
    def findings(self) -> list[Finding]:
        """What the matrix had to say."""
        return [finding for case in self.cases for finding in case.findings]


def batches(cases: list[Case], size: int, stopped: int) -> Iterator[list[Case]]:
    """Cut cases of one operation into batches; those that stop hold connections, so fewer."""
    going = [case for case in cases if case.fault != STOP]
    stopping = [case for case in cases if case.fault == STOP]
    for chosen, most in ((going, size), (stopping, stopped)):
        for start in range(0, len(chosen), most):
            yield chosen[start : start + most]
