"""What the running system may do in the database, and nothing more."""

from __future__ import annotations

from dataclasses import dataclass

from django.apps import apps
from django.db import connection, models, transaction
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
    migrations: SELECT. Never TRUNCATE, never DDL.

    Raises: django.db.ProgrammingError when the role does not exist or the caller is not owner.
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
    granted = [tables.get(table, WRITE) for table in existing - {"django_migrations"}]
    return Granted(granted.count(WRITE), granted.count(APPEND), granted.count(READ))


READ = "SELECT"
APPEND = "SELECT, INSERT"
WRITE = "SELECT, INSERT, UPDATE, DELETE"

_STATEMENTS = (
    "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}",
    "REVOKE ALL ON SCHEMA public FROM {role}",
    "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    "GRANT USAGE ON SCHEMA public TO {role}",
    "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}",
    "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO {role}",
)


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
