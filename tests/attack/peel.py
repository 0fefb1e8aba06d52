"""Take the guards before an attack away, one after another, until it gets through."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg

from tests.attack.catalog import Guard, drop
from tests.attack.statements import Case

Connection = psycopg.Connection[Any]
_FUNCTION: Final = re.compile(r"PL/pgSQL function (\w+)\(")
LIMIT: Final = 30


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the database refused a transaction."""

    sqlstate: str
    constraint: str
    table: str
    column: str
    message: str
    context: str

    @property
    def names(self) -> set[str]:
        """What a case may name it by."""
        return {self.sqlstate, self.constraint} - {""}


def attempt(connection: Connection, case: Case, names: dict[str, Any]) -> Refusal | None:
    """Run a case, deferred constraints included, and undo it; return what refused it."""
    try:
        with connection.transaction(force_rollback=True):
            for statement in case.statements:
                connection.execute(statement, names)
            connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except psycopg.Error as error:
        said = error.diag
        return Refusal(
            error.sqlstate or "",
            said.constraint_name or "",
            said.table_name or "",
            said.column_name or "",
            said.message_primary or "",
            said.context or "",
        )
    return None


@dataclass(slots=True)
class Peeler:
    """Finds which guards stand before a case; `connection` is in a transaction of its own."""

    connection: Connection
    names: dict[str, Any]
    guards: list[Guard]
    by_name: dict[tuple[str, str], Guard] = field(init=False)
    by_function: dict[str, list[Guard]] = field(init=False)

    def __post_init__(self) -> None:
        self.by_name = {(guard.table, guard.name): guard for guard in self.guards}
        self.by_function = {}
        for guard in self.guards:
            if guard.sort == "n":
                self.by_name[guard.table, f"NULL {guard.detail}"] = guard
            elif guard.sort == "t":
                self.by_function.setdefault(guard.detail, []).append(guard)

    def chain(self, case: Case) -> tuple[list[Guard], bool]:
        """Return the guards in the order in which they refuse, and whether it got through."""
        chain: list[Guard] = []
        with self.connection.transaction(force_rollback=True):
            self._drop(guard for guard in self.guards if guard.name in case.without)
            while refusal := attempt(self.connection, case, self.names):
                guard = self._find(refusal, case)
                if guard is None or guard in chain or len(chain) == LIMIT:
                    return chain, False
                drop(self.connection, guard)
                chain.append(guard)
        return chain, True

    def is_refused_by(self, guard: Guard, case: Case, others: Iterable[Guard]) -> bool:
        """Whether this guard refuses a case by itself, the others being gone."""
        with self.connection.transaction(force_rollback=True):
            self._drop(other for other in self.guards if other.name in case.without)
            self._drop(other for other in others if other != guard)
            refusal = attempt(self.connection, case, self.names)
            return refusal is not None and self._find(refusal, case) == guard

    def _drop(self, guards: Iterable[Guard]) -> None:
        for guard in guards:
            drop(self.connection, guard)

    def _find(self, refusal: Refusal, case: Case) -> Guard | None:
        """Which guard this refusal is of."""
        if refusal.table:
            name = refusal.constraint or f"NULL {refusal.column}"
            return self.by_name.get((refusal.table, name))
        for function in _FUNCTION.findall(refusal.context):
            triggers = self.by_function.get(function, [])
            if len(triggers) == 1:
                return triggers[0]
            for trigger in triggers:
                if self._makes_a_difference(trigger, refusal, case):
                    return trigger
            if triggers:
                return None
        return None

    def _makes_a_difference(self, trigger: Guard, refusal: Refusal, case: Case) -> bool:
        """Tell triggers apart that share a function: without the right one it is not so refused."""
        try:
            with self.connection.transaction(force_rollback=True):
                drop(self.connection, trigger)
                now = attempt(self.connection, case, self.names)
        except psycopg.errors.UndefinedObject:
            return False  # gone already
        return now is None or (now.constraint, now.message) != (refusal.constraint, refusal.message)
