"""The engine's own statements: raw SQL, prepared, in as few round trips as can be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

import psycopg
from django.db import connection
from psycopg.pq import ExecStatus

_PREPARED: Final = "_flagship_prepared"


def run(statement: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
    """Run one statement on this thread's connection; return its rows.

    The parameters are bound by the server and the plan is kept (Django's own cursors do neither),
    inside or outside a transaction as the caller is. JSON comes back as text.
    Raises: django.db.DatabaseError and its subclasses.
    """
    raw = _connection()
    with connection.wrap_database_errors, psycopg.Cursor(raw) as cursor:
        cursor.execute(cast(Any, statement), parameters, prepare=True)
        return cursor.fetchall() if cursor.description else []


def run_together(*statements: bytes) -> list[list[bytes | None]]:
    """Send several statements in one round trip; return the last one's rows as text.

    For the two ends of a transaction: what begins it and its first statement, its last statement
    and COMMIT. They are not bound: the caller writes literals. One that fails leaves those behind
    it undone.
    Raises: django.db.DatabaseError and its subclasses.
    """
    raw = _connection()
    with connection.wrap_database_errors:
        result = raw.pgconn.exec_(b"; ".join(statements))
        if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
            raise psycopg.errors.error_from_result(result, encoding="utf-8")
        columns = range(result.nfields)
        return [
            [result.get_value(row, column) for column in columns] for row in range(result.ntuples)
        ]


def prepare(name: str, statement: str) -> None:
    """Keep a plan in this thread's connection, once, for EXECUTE.

    `statement` is what follows the name: `(types) AS query`.
    """
    known = _connection().__dict__.setdefault(_PREPARED, set())
    if name not in known:
        run_together(f"PREPARE {name} {statement}".encode())
        known.add(name)


def forget_prepared() -> None:
    """Forget which plans this thread's connection keeps: psycopg deallocates all on ROLLBACK."""
    _connection().__dict__.pop(_PREPARED, None)


def literal(value: str) -> bytes:
    """Write text as an SQL literal for this thread's connection."""
    return psycopg.pq.Escaping(_connection().pgconn).escape_literal(value.encode())


def _connection() -> psycopg.Connection[Any]:
    connection.validate_no_broken_transaction()
    connection.ensure_connection()
    return cast("psycopg.Connection[Any]", connection.connection)
