"""The statements: written down in `*.sql`, taken from the ledger's list, made from the catalog."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from tests.integration.credits.attacks import ATTACKS
from tests.integration.credits.test_guards import WALLS

HERE: Final = Path(__file__).parent
_HEAD: Final = re.compile(
    r"^-- (?P<by>\w+)(?: > (?P<about>\w+))?(?: without (?P<without>[\w, ]+))?: (?P<tries>.+)$"
)
Statement = str | sql.Composed


@dataclass(frozen=True, slots=True)
class Case:
    """Statements of one transaction that must be refused.

    `by` is the constraint or SQLSTATE that refuses them, "" where any guard may; `about` is the
    guard behind that one which they are about as well. `without` names triggers that correct what
    is written instead of refusing it, and go first. `is_call` and `by_key` are as in the ledger's
    list: functions that the application may call, and what foreign keys alone refuse.
    """

    tries: str
    statements: tuple[Statement, ...]
    by: str = ""
    about: str = ""
    without: tuple[str, ...] = ()
    is_call: bool = False
    by_key: bool = False


def written(name: str) -> list[Case]:
    """Read a file: a line that says what must refuse what, then its statements."""
    cases: list[Case] = []
    head: re.Match[str] | None = None
    body: list[str] = []

    def close() -> None:
        if head is not None:
            statements = tuple(s.strip() for s in "\n".join(body).split(";\n") if s.strip())
            without = tuple((head["without"] or "").replace(",", " ").split())
            cases.append(Case(head["tries"], statements, head["by"], head["about"] or "", without))

    for line in (HERE / name).read_text(encoding="utf-8").splitlines():
        found = _HEAD.match(line)
        if found:
            close()
            head, body = found, []
        elif not line.startswith("--"):
            body.append(line.rstrip() + "\n" if line.endswith(";") else line)
    close()
    return cases


def listed() -> list[Case]:
    """The ledger's own list of attacks."""
    return [
        Case(
            f"ledger: {attack.statements[-1]}",
            attack.statements,
            attack.refused_by,
            is_call=attack.is_call,
            by_key=attack.by_key,
        )
        for attack in ATTACKS
    ]


def walled() -> list[Case]:
    """The attacks of the ledger's guards that stand behind others."""
    return [Case(f"wall: {title}", (wall.attack,)) for title, wall in WALLS.items()]


def made(connection: psycopg.Connection[Any]) -> list[Case]:
    """One statement per column that is never NULL or never negative, unique index, foreign key."""
    makers = (_nulls, _negatives, _twins, _orphans)
    return [case for maker in makers for case in maker(connection)]


_COLUMNS: Final = """
SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
 WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
 ORDER BY attnum
"""
# What is written here is corrected by a trigger, not refused.
_CORRECTED: Final = {("builds_project", "revision"): ("project_revision_counted",)}
_OURS: Final = "relname ~ '^(builds|credits)_' AND relkind = 'r'"


def _nulls(connection: psycopg.Connection[Any]) -> Iterator[Case]:
    rows = connection.execute(
        f"SELECT relname, attname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid"
        f" WHERE {_OURS} AND attnum > 0 AND attnotnull AND attgenerated = '' ORDER BY 1, 2"
    ).fetchall()
    for table, column in rows:
        statement = sql.SQL(
            "UPDATE {0} SET {1} = NULL WHERE ctid = (SELECT ctid FROM {0} LIMIT 1)"
        ).format(sql.Identifier(table), sql.Identifier(column))
        without = _CORRECTED.get((table, column), ())
        yield Case(f"{table}.{column} is NULL", (statement,), without=without)


def _negatives(connection: psycopg.Connection[Any]) -> Iterator[Case]:
    rows = connection.execute(
        "SELECT relname, (regexp_match(pg_get_constraintdef(pg_constraint.oid),"
        " '^CHECK \\(\\((\\w+) >= 0\\)\\)$'))[1] AS name"
        f" FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid WHERE {_OURS} ORDER BY 1, 2"
    ).fetchall()
    for table, column in (row for row in rows if row[1]):
        statement = sql.SQL(
            "UPDATE {0} SET {1} = -1 WHERE ctid = (SELECT ctid FROM {0}"
            " ORDER BY {1} IS NULL LIMIT 1)"
        ).format(sql.Identifier(table), sql.Identifier(column))
        without = _CORRECTED.get((table, column), ())
        yield Case(f"{table}.{column} is negative", (statement,), without=without)


def _twins(connection: psycopg.Connection[Any]) -> Iterator[Case]:
    """The same row once more, wherever an index says that there is only one."""
    rows = connection.execute(
        "SELECT t.relname, i.relname, coalesce(pg_get_expr(indpred, indrelid), 'true'),"
        " array(SELECT attname FROM pg_attribute WHERE attrelid = indrelid"
        " AND attnum = ANY (indkey))"
        " FROM pg_index JOIN pg_class t ON t.oid = indrelid JOIN pg_class i ON i.oid = indexrelid"
        f" WHERE indisunique AND t.{_OURS.replace('relkind', 't.relkind')} ORDER BY 1, 2"
    ).fetchall()
    for table, index, predicate, keys in rows:
        names = [name for name, _ in connection.execute(_COLUMNS, (table,))]
        columns = sql.SQL(", ").join(map(sql.Identifier, names))
        present = sql.SQL(" AND ").join(
            sql.SQL("{} IS NOT NULL").format(sql.Identifier(k)) for k in keys
        )
        statement = sql.SQL("INSERT INTO {0} ({1}) SELECT {1} FROM {0} WHERE {2} AND {3} LIMIT 1")
        yield Case(
            f"{index}: a row of {table} twice",
            (statement.format(sql.Identifier(table), columns, sql.SQL(predicate), present),),
        )


_NOWHERE: Final = {
    "uuid": "gen_random_uuid()",
    "bigint": "987654321",
    "smallint": "19",
    "text": "'nowhere'",
}


def _orphans(connection: psycopg.Connection[Any]) -> Iterator[Case]:
    """A row that points nowhere, by each column of each foreign key."""
    rows = connection.execute(
        "SELECT relname, conname, array(SELECT attname FROM pg_attribute WHERE attrelid = conrelid"
        " AND attnum = ANY (conkey)) FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid"
        f" WHERE contype = 'f' AND {_OURS} ORDER BY 1, 2"
    ).fetchall()
    for table, key, columns in rows:
        types = dict(connection.execute(_COLUMNS, (table,)).fetchall())
        for column in (name for name in columns if name in types):
            others = sql.SQL(" AND ").join(
                sql.SQL("{} IS NOT NULL").format(sql.Identifier(o)) for o in columns if o != column
            )
            statement = sql.SQL(
                "UPDATE {0} SET {1} = {2} WHERE ctid = (SELECT ctid FROM {0} WHERE {3} LIMIT 1)"
            ).format(
                sql.Identifier(table),
                sql.Identifier(column),
                sql.SQL(_NOWHERE[types[column]]),
                sql.SQL("true") if len(columns) == 1 else others,
            )
            yield Case(f"{key}: {table}.{column} points nowhere", (statement,))
