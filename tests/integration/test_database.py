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
