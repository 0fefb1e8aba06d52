"""What happens at COMMIT, with real ones (E-01, P31)."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from django.db import connection

from tests.asserts import assert_refused
from tests.integration.flagship.conftest import new_caller
from tests.servers import Servers

pytestmark = pytest.mark.urls("tests.integration.flagship.routes")


def test_late_violation__of_a_deferred_constraint__is_an_error_of_the_request(
    live_db: None, owner_db: Any
) -> None:
    # The statement succeeds, its constraint speaks at the end of the transaction.
    owner_db.execute("CREATE TABLE late_target (id int PRIMARY KEY)")
    owner_db.execute(
        "CREATE TABLE late_violation (id int, other int DEFAULT 7,"
        " FOREIGN KEY (other) REFERENCES late_target DEFERRABLE INITIALLY DEFERRED)"
    )
    owner_db.execute("GRANT SELECT, INSERT ON late_violation, late_target TO flagship_app")
    caller = new_caller()

    for key in ("", None):
        response = caller.post("/v1/test/late", b"", key=key)

        assert_refused(response, 409, "CONFLICT")
        assert owner_db.execute("SELECT count(*) FROM late_violation").fetchone() == (0,)


def test_database__lost__answers_503_and_the_process_stays_alive(
    live_db: None, servers: Servers
) -> None:
    caller = new_caller()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        row = cursor.fetchone()
    assert row
    with psycopg.connect(servers.superuser_url(), autocommit=True) as operator:
        operator.execute("SELECT pg_terminate_backend(%s, 1000)", [row[0]])

    assert_refused(caller.get("/v1/audit-events"), 503, "SERVICE_UNAVAILABLE")
    connection.close()
    assert caller.get("/v1/audit-events").status_code == 200
