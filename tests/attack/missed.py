"""Which guard is missed, by which statement, and how many others had to go with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.attack.acts import ACTS, fails
from tests.attack.catalog import Guard, drop
from tests.attack.peel import Connection, Peeler
from tests.attack.statements import Case


@dataclass(slots=True)
class Findings:
    """What taking guards away has shown.

    `missed` has for a guard what showed it, and how many others were away as well; `accepted` what
    nothing refused at all; `astray` the cases that never met the guard which they are about.
    """

    missed: dict[Guard, tuple[str, int]] = field(default_factory=dict)
    accepted: list[str] = field(default_factory=list)
    astray: list[str] = field(default_factory=list)

    def miss(self, guard: Guard, shown_by: str, others: int) -> None:
        """Note it, unless fewer others had to go before."""
        if guard not in self.missed or others < self.missed[guard][1]:
            self.missed[guard] = (shown_by, others)


def find_missed(
    connection: Connection, guards: list[Guard], cases: list[Case], names: dict[str, Any]
) -> Findings:
    """Take away the guards before every case, and every trigger from under every act.

    A guard is missed where a case that it refused by itself, the others before that case being
    gone, gets through once it is gone too; or where an act no longer does what it must.
    """
    findings = Findings()
    peeler = Peeler(connection, names, guards)
    through: list[tuple[Case, list[Guard]]] = []
    for case in cases:
        chain, got_through = peeler.chain(case)
        if got_through and chain:
            through.append((case, chain))
        elif got_through:
            findings.accepted.append(case.tries)
        if case.about and case.about not in {guard.name for guard in chain}:
            findings.astray.append(f"{case.tries}: never met {case.about}")
    through.sort(key=lambda found: len(found[1]) + len(found[0].without))
    for guard in guards:
        for case, chain in through:
            if guard in chain and (guard == chain[-1] or peeler.is_refused_by(guard, case, chain)):
                findings.miss(guard, case.tries, len(chain) - 1 + len(case.without))
                break
        if guard.sort == "t":
            _act_without(connection, guard, names, findings)
    return findings


def _act_without(
    connection: Connection, guard: Guard, names: dict[str, Any], findings: Findings
) -> None:
    with connection.transaction(force_rollback=True):
        drop(connection, guard)
        said = [said for act in ACTS if (said := fails(connection, act, names))]
    if said:
        findings.miss(guard, said[0], 0)
