"""What an attack is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Attack:
    """Statements of one transaction, and the constraint or SQLSTATE that refuses the last.

    `is_call` marks calls of the ledger's functions, which the application role may make; `by_key`
    marks what foreign keys alone refuse, which are off under session_replication_role = replica.
    """

    refused_by: str
    statements: tuple[str, ...]
    is_call: bool = False
    by_key: bool = False


def each(refused_by: str, *statements: str) -> list[Attack]:
    return [Attack(refused_by, (statement,)) for statement in statements]


def calls(refused_by: str, *statements: str) -> list[Attack]:
    return [Attack(refused_by, (statement,), is_call=True) for statement in statements]
