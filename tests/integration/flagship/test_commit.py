"""What happens at COMMIT, with real ones (E-01, P31)."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from django.db import connection

from flagship.models.idempotency import Claim
from flagship.services.idempotency import make_claim
from tests.asserts import assert_refused
from tests.clients import ApiCaller
from tests.drills.models import Effect
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
    # E-01: it waits for the lock on the key for one second, no longer, and changes nothing.
    caller = new_caller()
    with app_db.transaction(force_rollback=True):
        hold_key(app_db, caller)
        started = time.monotonic()
        response = caller.post(EFFECTS, BODY, key=KEY)
        waited_s = time.monotonic() - started

    assert_refused(response, 409, "IDEMPOTENCY_KEY_IN_USE")
    assert response.headers["Retry-After"] == "1"
    assert 0.9 < waited_s < 3
    assert Effect.objects.filter(key="Effect").count() == 0
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
    assert Effect.objects.filter(key="Effect").count() == 1


def send_and_close(caller: ApiCaller) -> Any:
    try:
        return caller.post(EFFECTS, BODY, key=KEY)
    finally:
        connection.close()


def is_waiting(app_db: Any) -> bool:
    found = app_db.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
    return bool(found[0])


def test_twin__of_the_release_before__is_decided_by_the_row(live_db: None, app_db: Any) -> None:
    # E-01: it inserts its row first and knows no lock; ours has worked by the time they meet.
    caller = new_caller()
    with app_db.transaction(force_rollback=True):
        insert_row(app_db, caller)
        busy = caller.post(EFFECTS, BODY, key=KEY)
    assert busy.status_code == 409
    assert busy.headers["Retry-After"] == "1"
    assert Effect.objects.filter(key="Effect").count() == 0

    with ThreadPoolExecutor(1) as pool:
        with app_db.transaction():
            insert_row(app_db, caller)
            waiting = pool.submit(send_and_close, caller)
            wait_until(lambda: is_waiting(app_db), 5, poll_s=0.01)
            app_db.execute(
                "UPDATE flagship_idempotencyrecord SET status = 201, headers = '{}', body = 'x'"
            )
        response = waiting.result(10)

    assert_refused(response, 409, "IDEMPOTENCY_KEY_IN_USE")
    assert Effect.objects.filter(key="Effect").count() == 0
    assert_refused(caller.post(EFFECTS, BODY, key=KEY), 422, "IDEMPOTENCY_KEY_REUSED")


def test_claim__in_its_transaction__bounds_every_wait_and_ends_with_it(
    live_db: None, app_db: Any
) -> None:
    # E-01, P32
    key_hash = claim_of(new_caller()).key_hash
    with app_db.transaction():
        app_db.execute("SELECT * FROM flagship_claim_key(%s, 1000)", [key_hash])
        assert app_db.execute("SHOW lock_timeout").fetchone() == ("1s",)
        assert locks(app_db) == [("ExclusiveLock",)]

    assert app_db.execute("SHOW lock_timeout").fetchone() == ("0",)
    assert locks(app_db) == []


def locks(app_db: Any) -> list[Any]:
    return list(
        app_db.execute(
            "SELECT mode FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        ).fetchall()
    )


def claim_of(caller: ApiCaller) -> Claim:
    return make_claim(
        organization_id=caller.organization.id,
        method="POST",
        route="v1/test/effects",
        key=KEY,
        target="",
        media_type="",
        body_sha256=b"",
        request_id="req_twin",
    )


def hold_key(app_db: Any, caller: ApiCaller) -> None:
    """Take the key as a twin would, and do not commit."""
    app_db.execute("SELECT * FROM flagship_claim_key(%s, 1000)", [claim_of(caller).key_hash])


def insert_row(app_db: Any, caller: ApiCaller) -> None:
    """Insert the key's row without its answer, as the release before did first."""
    claim = claim_of(caller)
    app_db.execute(
        "INSERT INTO flagship_idempotencyrecord (key_hash, organization_id, method, route,"
        " fingerprint, request_id, expires_at)"
        " VALUES (%s, %s, 'POST', 'x', %s, 'req_twin', now() + interval '1 day')",
        [claim.key_hash, claim.organization_id, claim.fingerprint],
    )
