"""The guards as the catalog lists them, so that a new one cannot be forgotten."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql

_GUARDS: Final = """
SELECT contype::text, relname, conname, coalesce(attname, '') AS on_column
  FROM pg_constraint
  JOIN pg_class ON pg_class.oid = conrelid
  LEFT JOIN pg_attribute ON contype = 'n' AND attrelid = conrelid AND attnum = conkey[1]
 WHERE relname ~ '^(builds|credits)_'
UNION ALL
SELECT 'i', t.relname, i.relname, ''
  FROM pg_index JOIN pg_class t ON t.oid = indrelid JOIN pg_class i ON i.oid = indexrelid
 WHERE indisunique AND t.relname ~ '^(builds|credits)_'
   AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u'))
UNION ALL
SELECT 't', relname, tgname, tgfoid::regproc::text
  FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
 WHERE NOT tgisinternal AND relname ~ '^(builds|credits)_'
 ORDER BY 1, 2, 3
"""


@dataclass(frozen=True, slots=True)
class Guard:
    """A constraint (`sort` as in pg_constraint), a unique index (i) or a trigger (t).

    `detail` is the column of a NOT NULL, the function of a trigger.
    """

    sort: str
    table: str
    name: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.table}.{self.name}"


def guards(connection: psycopg.Connection[Any]) -> list[Guard]:
    """Return all of them."""
    return [Guard(*row) for row in connection.execute(_GUARDS).fetchall()]


def drop(connection: psycopg.Connection[Any], guard: Guard) -> None:
    """Take a guard away, with the foreign keys that rest on it."""
    table, name = sql.Identifier(guard.table), sql.Identifier(guard.name)
    if guard.sort == "t":
        connection.execute(sql.SQL("DROP TRIGGER {} ON {}").format(name, table))
        return
    if guard.sort == "i":
        connection.execute(sql.SQL("DROP INDEX {}").format(name))
        return
    if guard.sort == "n":
        _free_column(connection, guard)
    connection.execute(
        sql.SQL("ALTER TABLE {} DROP CONSTRAINT IF EXISTS {} CASCADE").format(table, name)
    )


def _free_column(connection: psycopg.Connection[Any], guard: Guard) -> None:
    """A column of the primary key, or one that counts itself, is NOT NULL by that as well."""
    table, column = sql.Identifier(guard.table), sql.Identifier(guard.detail)
    key = connection.execute(
        "SELECT conname FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid"
        " AND attnum = ANY (conkey) WHERE contype = 'p' AND conrelid = %s::regclass"
        " AND attname = %s",
        (guard.table, guard.detail),
    ).fetchone()
    if key:
        connection.execute(
            sql.SQL("ALTER TABLE {} DROP CONSTRAINT {} CASCADE").format(
                table, sql.Identifier(key[0])
            )
        )
    connection.execute(
        sql.SQL("ALTER TABLE {} ALTER COLUMN {} DROP IDENTITY IF EXISTS").format(table, column)
    )


# --- locks --------------------------------------------------------------------------------------

_LOCK: Final = re.compile(
    r"\bFOR (?:NO KEY )?(?:UPDATE|SHARE)(?: OF \w+)?(?: SKIP LOCKED)?|LOCK TABLE [^;]+;"
    r"|PERFORM pg_advisory\w+\([^;]+;",
)
_LOCKING: Final = r"(FOR (NO KEY )?(UPDATE|SHARE)|LOCK TABLE|pg_advisory)"


@dataclass(frozen=True, slots=True)
class Lock:
    """A function of ours that locks: its name, how to make it, and how to make it without."""

    name: str
    definition: str

    def without(self) -> str:
        """Return the definition with no lock in it."""
        bare = _LOCK.sub("", self.definition)
        assert bare != self.definition, f"{self.name} locks in a way that is not known here"
        return bare


def locks(connection: psycopg.Connection[Any]) -> list[Lock]:
    """Return every function of builds and credits that locks."""
    return [
        Lock(*row)
        for row in connection.execute(
            "SELECT proname, pg_get_functiondef(oid) FROM pg_proc"
            " WHERE proname ~ '^(builds|credits)_' AND prosrc ~ %s ORDER BY 1",
            (_LOCKING,),
        )
    ]
