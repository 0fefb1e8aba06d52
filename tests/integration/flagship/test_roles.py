"""The application role can do its work, and nothing else."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import psycopg
import pytest
from django.apps import apps


def privileges(owner_db: Any) -> dict[str, set[str]]:
    rows = owner_db.execute(
        "SELECT table_name, privilege_type FROM information_schema.role_table_grants"
        " WHERE grantee IN ('flagship_app', 'PUBLIC') AND table_schema = 'public'"
    ).fetchall()
    granted: dict[str, set[str]] = defaultdict(set)
    for table, privilege in rows:
        granted[table].add(privilege)
    return granted


def wanted(model: Any) -> set[str]:
    if getattr(model, "TRIGGER_WRITTEN", False):
        return {"SELECT"}
    append = {"SELECT", "INSERT"}
    return append if getattr(model, "APPEND_ONLY", False) else append | {"UPDATE", "DELETE"}


def test_grants__of_every_table__are_what_its_model_says(owner_db: Any) -> None:
    # P04, P20: research 3.6, a catalogue test of each grant.
    granted = privileges(owner_db)
    models = [model for model in apps.get_models(include_auto_created=True) if model._meta.managed]
    rows = owner_db.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    tables = {name for (name,) in rows.fetchall()}

    expected = {model._meta.db_table: wanted(model) for model in models}
    expected["django_migrations"] = {"SELECT"}
    assert {table: granted[table] for table in tables} == {
        table: expected.get(table, {"SELECT", "INSERT", "UPDATE", "DELETE"}) for table in tables
    }
    assert granted["flagship_auditevent"] == {"SELECT", "INSERT"}


def test_role__outside_of_tables__owns_and_creates_nothing(owner_db: Any) -> None:
    row = owner_db.execute(
        "SELECT has_schema_privilege('flagship_app', 'public', 'CREATE'),"
        " (SELECT count(*) FROM pg_class AS c JOIN pg_roles AS r ON r.oid = c.relowner"
        "  WHERE r.rolname = 'flagship_app'),"
        " (SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolreplication"
        "  FROM pg_roles WHERE rolname = 'flagship_app')"
    ).fetchone()

    assert row == (False, 0, False)


@pytest.mark.parametrize(
    "statement",
    [
        "TRUNCATE flagship_organization CASCADE",
        "ALTER TABLE flagship_auditevent DISABLE TRIGGER ALL",
        "DROP TRIGGER audit_event_append_only ON flagship_auditevent",
        "SET session_replication_role = replica",
        "SET ROLE flagship_owner",
        "CREATE TABLE mine (id int)",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "DELETE FROM django_migrations",
    ],
)
def test_role__reaching_further__is_refused(app_db: Any, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        app_db.execute(statement)


def test_role__granted_again_after_a_stray_grant__has_lost_it(
    owner_db: Any, servers: Any, processes: Any
) -> None:
    owner_db.execute("GRANT ALL ON flagship_auditevent TO flagship_app")

    command = processes.start(
        "grant_application_role", "flagship_app", env={"DATABASE_URL": servers.owner_url()}
    )

    assert command.wait() == 0, command.output()
    assert "to append to" in command.output()
    assert privileges(owner_db)["flagship_auditevent"] == {"SELECT", "INSERT"}


def test_role__that_does_not_exist__is_a_clear_error(
    live_db: None, servers: Any, processes: Any
) -> None:
    command = processes.start(
        "grant_application_role", 'no"body', env={"DATABASE_URL": servers.owner_url()}
    )

    assert command.wait() == 1
    assert "nothing was granted" in command.output()
    assert "Traceback" not in command.output()
