"""A database as its template is, again, after a test with real commits.

Copying the template makes 900 files, which takes longer than most tests do. So what a test has
written is taken out again, and only where that is not enough (it has changed the schema, or rows
that come with the migrations) the database is copied anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql

from tests.servers import DATABASE, SERVERS

FIRST_OWN_OID: Final = 16384
"""What `initdb` made lies below, and is nothing that a test changes."""
CATALOGS: Final = {
    "pg_attrdef": "oid",
    "pg_attribute": "attrelid, attnum",
    "pg_constraint": "oid",
    "pg_default_acl": "oid",
    "pg_event_trigger": "oid",
    "pg_extension": "oid",
    "pg_index": "indexrelid",
    "pg_namespace": "oid",
    "pg_policy": "oid",
    "pg_proc": "oid",
    "pg_publication": "oid",
    "pg_rewrite": "oid",
    "pg_statistic_ext": "oid",
    "pg_trigger": "oid",
    "pg_type": "oid",
}
"""Where a schema is written down, and by what a row is known: the first is an oid."""
# With the version of each row, so that a change that was taken back is one too.
_CATALOG: Final = """
SELECT '{catalog}', count(*), sum(hash_record_extended(ROW({key}, xmin::text), 0))
  FROM {catalog} WHERE {oid} >= {first}
"""
# Without it where emptying a table writes a row, and of the settings, which are every database's.
_CLASSES: Final = f"""
SELECT 'pg_class', count(*), sum(hash_record_extended(ROW(
       oid, relname, relowner, relkind, relacl::text, relrowsecurity, relforcerowsecurity,
       relhastriggers, reloptions), 0))
  FROM pg_class WHERE oid >= {FIRST_OWN_OID}
 UNION ALL
SELECT 'pg_db_role_setting', count(*), sum(hashtextextended(setting::text, 0))
  FROM pg_db_role_setting AS setting LEFT JOIN pg_database ON pg_database.oid = setdatabase
 WHERE setdatabase = 0 OR datname = current_database()
"""
_PRINT: Final = " UNION ALL ".join(
    [
        *(
            _CATALOG.format(catalog=name, key=key, oid=key.split(",")[0], first=FIRST_OWN_OID)
            for name, key in CATALOGS.items()
        ),
        _CLASSES,
    ]
)
_TABLES: Final = """
SELECT oid::regclass::text FROM pg_class
 WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY oid
"""
_SEQUENCES: Final = """
SELECT format('%I.%I', schemaname, sequencename), start_value, last_value FROM pg_sequences
"""
_OTHERS: Final = """
SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


@dataclass(frozen=True, slots=True)
class Pristine:
    """What a database is right after it was copied."""

    schema: list[tuple[Any, ...]]
    empty: list[str]
    seeded: dict[str, str]
    sequences: dict[str, tuple[int, int | None]]


def look() -> Pristine | None:
    """Return what the database under test is now; None where nobody may look that deep."""
    if SERVERS.postgres is None:
        return None
    with psycopg.connect(SERVERS.superuser_url(DATABASE), autocommit=True) as connection:
        tables = [name for (name,) in connection.execute(_TABLES)]
        filled = _filled(connection, tables)
        return Pristine(
            schema=_schema(connection),
            empty=[name for name in tables if name not in filled],
            seeded=_contents(connection, filled),
            sequences=_sequences(connection),
        )


def restore(pristine: Pristine) -> bool:
    """Take out what a test has left; return whether the database is as it was.

    Every other session is ended. Where it returns False nothing was taken out.
    """
    with psycopg.connect(SERVERS.superuser_url(DATABASE), autocommit=True) as connection:
        connection.execute(_OTHERS)
        if _schema(connection) != pristine.schema:
            return False
        if _contents(connection, list(pristine.seeded)) != pristine.seeded:
            return False
        _empty(connection, _filled(connection, pristine.empty))
        for name, (start, last) in _sequences(connection).items():
            if (start, last) != pristine.sequences[name]:
                before = pristine.sequences[name][1]
                connection.execute(
                    "SELECT setval(%s, %s, %s)",
                    (name, start if before is None else before, before is not None),
                )
    return True


def _empty(connection: psycopg.Connection[Any], tables: list[str]) -> None:
    """Empty tables whose guards refuse that, also to the superuser: for once they have none."""
    if not tables:
        return
    told = "UPDATE pg_class SET relhastriggers = %s WHERE oid = ANY(%s::regclass[])"
    names = sql.SQL(", ").join(sql.SQL(name) for name in tables)
    with connection.transaction():
        guarded = [
            name
            for (name,) in connection.execute(
                "SELECT oid::regclass::text FROM pg_class"
                " WHERE relhastriggers AND oid = ANY(%s::regclass[])",
                (tables,),
            )
        ]
        connection.execute(told, (False, guarded))
        connection.execute(sql.SQL("TRUNCATE {}").format(names))
        connection.execute(told, (True, guarded))


def _schema(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return connection.execute(sql.SQL(_PRINT)).fetchall()


def _filled(connection: psycopg.Connection[Any], tables: list[str]) -> list[str]:
    """Return those of the tables that have a row."""
    asked = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM {})").format(name, sql.SQL(name))
        for name in tables
    )
    return [name for (name,) in connection.execute(asked)]


def _contents(connection: psycopg.Connection[Any], tables: list[str]) -> dict[str, str]:
    """Return a digest of each table's rows."""
    asked = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {}, md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM {} AS t").format(
            name, sql.SQL(name)
        )
        for name in tables
    )
    return dict(connection.execute(asked).fetchall())


def _sequences(connection: psycopg.Connection[Any]) -> dict[str, tuple[int, int | None]]:
    return {name: (start, last) for name, start, last in connection.execute(_SEQUENCES)}
