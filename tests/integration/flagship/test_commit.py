"""What happens at COMMIT, with real ones (E-01, P31)."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from flagship.models import Organization
from flagship.services.idempotency import make_claim
from tests.asserts import assert_refused
from tests.clients import ApiCaller
from tests.integration.flagship.conftest import new_caller
from tests.processes import wait_until
from tests.servers import Servers

pytestmark = pytest.mark.urls("tests.integration.flagship.routes")

EFFECTS = "/v1/test/effects"
KEY = "build-1:create:session-1"
BODY = {"name": "Effect"}


def test_late_violation__of_a_deferred_constraint__is_an_error_of_the_request(
    live_db: None, owner_db: Any
) -> None:
    # The statement succeeds, its constraint speaks at the end of the transaction.
    owner_db.execute("CREATE TABLE late_target (id int PRIMARY KEY)")
    owner_db.execute(
        "CREATE TABLE late_violation (id int, other int DEFAULT 7,"
        " FOREIGN KEY (other) REFERENCES late_target DEFERRABLE INITIALLY DEFERRED)"
    )
    owner_db.execute(
        "GRANT SELECT, INSERT ON late_violation, late_target TO flagship_app, flagship_tenant"
    )
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


def test_twin__that_holds_the_key_too_long__is_a_409_with_retry_after(
    live_db: None, app_db: Any
) -> None:
    # E-01: it waits on the index for one second, no longer, and changes nothing.
    caller = new_caller()
    with app_db.transaction(force_rollback=True):
        hold_key(app_db, caller)
        started = time.monotonic()
        response = caller.post(EFFECTS, BODY, key=KEY)
        waited_s = time.monotonic() - started

    assert_refused(response, 409, "IDEMPOTENCY_KEY_IN_USE")
    assert response.headers["Retry-After"] == "1"
    assert 0.9 < waited_s < 3
    assert Organization.objects.filter(name="Effect").count() == 0
    assert caller.post(EFFECTS, BODY, key=KEY).status_code == 201


def test_twin__that_gives_up_in_time__lets_the_other_through(live_db: None, app_db: Any) -> None:
    # E-01
    caller = new_caller()
    with ThreadPoolExecutor(1) as pool:
        with app_db.transaction(force_rollback=True):
            hold_key(app_db, caller)
            waiting = pool.submit(send_and_close, caller)
            wait_until(lambda: is_waiting(app_db), 5, poll_s=0.01)
        response = waiting.result(10)

    assert response.status_code == 201
    assert Organization.objects.filter(name="Effect").count() == 1


def send_and_close(caller: ApiCaller) -> Any:
    try:
        return caller.post(EFFECTS, BODY, key=KEY)
    finally:
        connection.close()


def is_waiting(app_db: Any) -> bool:
    found = app_db.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
    return bool(found[0])


def hold_key(app_db: Any, caller: ApiCaller) -> None:
    """Insert the key's row as a twin would, and do not commit."""
    claim = make_claim(
        organization_id=caller.organization.id,
        method="POST",
        route="v1/test/effects",
        key=KEY,
        target="",
        media_type="",
        body_sha256=b"",
        request_id="req_twin",
    )
    app_db.execute(
        "INSERT INTO flagship_idempotencyrecord (key_hash, organization_id, method, route,"
        " fingerprint, request_id, expires_at)"
        " VALUES (%s, %s, 'POST', 'x', %s, 'req_twin', now() + interval '1 day')",
        [claim.key_hash, claim.organization_id, claim.fingerprint],
    )


def test_statements__of_the_edge_on_a_mutating_request__are_counted(
    live_db: None, valkey: Any
) -> None:
    # Issue-wide budget: the key costs two statements and one call of Redis before the work.
    caller = new_caller()
    caller.post(EFFECTS, BODY)  # Stamps the key's last use and opens the connections.

    with CaptureQueriesContext(connection) as keyed:
        caller.post(EFFECTS, {"name": "Effect1"})
    with CaptureQueriesContext(connection) as bare:
        caller.post(EFFECTS, {"name": "Effect2"}, key=None)
    with CaptureQueriesContext(connection) as replayed:
        caller.post(EFFECTS, {"name": "Effect3"}, key=KEY)
        replayed_from = len(replayed)
        caller.post(EFFECTS, {"name": "Effect3"}, key=KEY)

    assert len(keyed) - len(bare) == 2, [query["sql"] for query in keyed]
    assert len(replayed) - replayed_from == 1  # The API key's row: the answer is cached.
