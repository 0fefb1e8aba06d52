"""The suite's own ground: real servers, the application role."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
import redis
from django.db import connection


@pytest.mark.django_db
def test_database__in_a_test__is_postgresql_18_as_the_application_role() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user, current_setting('server_version_num')::int / 10000")
        assert cursor.fetchone() == ("flagship_app", 18)


def test_valkey__in_a_test__is_version_8(valkey: redis.Redis) -> None:
    info: dict[str, Any] = valkey.info("server")
    assert info["valkey_version"].startswith("8.")


def test_application_role__running_ddl__is_refused(app_db: psycopg.Connection[Any]) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        app_db.execute("CREATE TABLE intruder (id int)")


@pytest.mark.django_db
def test_function__of_ours__has_a_search_path_that_ends_with_temporary_tables() -> None:
    # Not named at its end, pg_temp is searched first: a caller's temporary table would stand in
    # front of the real one, also for a function that runs with its owner's rights.
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT proname, coalesce(array_to_string(proconfig, ';'), '')
            FROM pg_proc JOIN pg_language ON pg_language.oid = prolang
            WHERE pronamespace = 'public'::regnamespace AND lanname IN ('plpgsql', 'sql')
            """
        )
        functions = dict(cursor.fetchall())

    assert len(functions) > 10
    assert {
        name: config for name, config in functions.items() if not config.endswith(", pg_temp")
    } == {}


@pytest.mark.django_db
def test_trigger__of_ours__fires_always() -> None:
    # B-02, C-04: also in sessions with session_replication_role = replica
    with connection.cursor() as cursor:
        cursor.execute("SELECT tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal")
        triggers = dict(cursor.fetchall())

    assert len(triggers) > 10
    assert {name: mode for name, mode in triggers.items() if mode != "A"} == {}
