"""What the running system may do in the database, and nothing more."""

from __future__ import annotations

from dataclasses import dataclass

from django.apps import apps
from django.conf import settings
from django.db import connection, models, transaction
from django.db.backends.utils import CursorWrapper
from psycopg import sql


@dataclass(frozen=True, slots=True)
class Granted:
    """What a role was granted: tables by kind."""

    ordinary: int
    append_only: int
    read_only: int


def grant_application_role(*, role: str) -> Granted:
    """Give `role` exactly the privileges the application needs, taking all others away.

    Run as the owner after each migration. Ordinary tables: SELECT, INSERT, UPDATE, DELETE. Models
    that say APPEND_ONLY: SELECT and INSERT. Models that say TRIGGER_WRITTEN, and the table of
    migrations: SELECT. Never TRUNCATE, never DDL. `role` sees the rows of all organizations.

    The role of DATABASE_TENANT_ROLE, as which requests of clients run, is granted the same on
    tables that have a wall and on models that say TENANT_WRITES, SELECT on those that say
    TENANT_READS, the `tenant_functions` of the apps, and nothing else.

    Raises: django.db.ProgrammingError when a role does not exist or the caller is not owner, or
    when `role` may not act as the tenant role.
    """
    tables = {model._meta.db_table: _privileges(model) for model in _stored_models()}
    with transaction.atomic(), connection.cursor() as cursor:
        existing = set(connection.introspection.table_names(cursor))
        for statement in _STATEMENTS:
            cursor.execute(_compose(statement, role))
        for table in sorted(existing):
            privileges = tables.get(table, READ if table == "django_migrations" else WRITE)
            statement = f"GRANT {privileges} ON TABLE public.{{table}} TO {{role}}"
            cursor.execute(_compose(statement, role, table))
        walled = _walled_tables(cursor)
        for table in walled:
            _show_all_rows(cursor, role, table)
        if settings.DATABASE_TENANT_ROLE:
            seen = {table: tables.get(table, WRITE) for table in walled}
            _grant_tenant_role(cursor, role, settings.DATABASE_TENANT_ROLE, seen)
    granted = [tables.get(table, WRITE) for table in existing - {"django_migrations"}]
    return Granted(granted.count(WRITE), granted.count(APPEND), granted.count(READ))


READ = "SELECT"
APPEND = "SELECT, INSERT"
WRITE = "SELECT, INSERT, UPDATE, DELETE"

_NOTHING = (
    "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}",
    "REVOKE ALL ON SCHEMA public FROM {role}",
)
_BASE = (
    "GRANT USAGE ON SCHEMA public TO {role}",
    "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}",
)
_STATEMENTS = (
    *_NOTHING,
    "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    *_BASE,
    "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO {role}",
)
_TENANT_STATEMENTS = (
    *_NOTHING,
    "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM {role}",
    *_BASE,
)
_WALLED = """
SELECT relname FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relrowsecurity ORDER BY relname
"""
_SHOWN = "SELECT roles FROM pg_policies WHERE tablename = %s AND policyname = 'platform'"


def _walled_tables(cursor: CursorWrapper) -> list[str]:
    """Return the tables with row-level security."""
    cursor.execute(_WALLED)
    return [table for (table,) in cursor.fetchall()]


def _show_all_rows(cursor: CursorWrapper, role: str, table: str) -> None:
    """Add a role to those that see every row; no lock is taken where it is one already."""
    cursor.execute(_SHOWN, [table])
    found = cursor.fetchone()
    shown = set(found[0] if found else ())
    wanted = (shown | {role}) - {settings.DATABASE_TENANT_ROLE}
    if wanted == shown:
        return
    roles = sql.SQL(", ").join(map(sql.Identifier, sorted(wanted))).as_string()
    make, end = ("ALTER", "") if found else ("CREATE", " USING (true)")
    statement = f"{make} POLICY platform ON public.{{table}} TO {roles}{end}"
    cursor.execute(_compose(statement, role, table))


def _grant_tenant_role(
    cursor: CursorWrapper, role: str, tenant: str, walled: dict[str, str]
) -> None:
    """Give the tenant role what requests of clients need; it is made where the caller may."""
    cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [tenant])
    if not cursor.fetchall():
        cursor.execute(_compose("CREATE ROLE {role} NOLOGIN", tenant))
    cursor.execute("SELECT pg_has_role(%s, %s, 'SET')", [role, tenant])
    if cursor.fetchone() != (True,):
        cursor.execute(_compose(f'GRANT "{tenant}" TO {{role}} WITH INHERIT FALSE, SET TRUE', role))
    for statement in _TENANT_STATEMENTS:
        cursor.execute(_compose(statement, tenant))
    for table, privileges in {**walled, **_of_platform()}.items():
        statement = f"GRANT {privileges} ON TABLE public.{{table}} TO {{role}}"
        cursor.execute(_compose(statement, tenant, table))
    for config in apps.get_app_configs():
        for function in getattr(config, "tenant_functions", ()):
            statement = "GRANT EXECUTE ON FUNCTION public.{table} TO {role}"
            cursor.execute(_compose(statement, tenant, function))


def _of_platform() -> dict[str, str]:
    """Return what the tenant role may do with tables that belong to no organization."""
    read = {model: READ for model in _stored_models() if getattr(model, "TENANT_READS", False)}
    written = {
        model: _privileges(model)
        for model in _stored_models()
        if getattr(model, "TENANT_WRITES", False)
    }
    return {model._meta.db_table: privileges for model, privileges in (read | written).items()}


def _stored_models() -> list[type[models.Model]]:
    """Return every model with a table, the automatic ones of many-to-many fields included."""
    every = apps.get_models(include_auto_created=True)
    return [model for model in every if model._meta.managed and not model._meta.proxy]


def _privileges(model: type[models.Model]) -> str:
    if getattr(model, "TRIGGER_WRITTEN", False):
        return READ
    return APPEND if getattr(model, "APPEND_ONLY", False) else WRITE


def _compose(statement: str, role: str, table: str = "") -> str:
    """Fill in quoted identifiers."""
    composed = sql.SQL(statement).format(role=sql.Identifier(role), table=sql.Identifier(table))
    return composed.as_string()
