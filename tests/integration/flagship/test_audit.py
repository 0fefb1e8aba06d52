"""The audit log is appended to, and nothing else (F-03, P20)."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from django.db import transaction

from flagship.models import AuditEvent
from flagship.services.audit import InvalidAuditEvent, record
from jobs.ids import new_id
from jobs.trace import Trace, bind_trace

GOOD: dict[str, Any] = {
    "action": "thing.done",
    "subject_type": "thing",
    "subject_id": "1",
    "organization_id": None,
    "actor": "test",
}
ATTACKS = (
    "UPDATE flagship_auditevent SET actor = 'nobody'",
    "UPDATE flagship_auditevent SET actor = actor WHERE false",
    "DELETE FROM flagship_auditevent",
    "TRUNCATE flagship_auditevent",
    "TRUNCATE flagship_auditevent CASCADE",
    "INSERT INTO flagship_auditevent SELECT * FROM flagship_auditevent"
    " ON CONFLICT (id) DO UPDATE SET actor = 'nobody'",
    "MERGE INTO flagship_auditevent AS a USING (SELECT 1) AS b ON true WHEN MATCHED THEN DELETE",
    "WITH gone AS (DELETE FROM flagship_auditevent RETURNING 1) SELECT count(*) FROM gone",
)


@pytest.mark.parametrize("attack", ATTACKS)
def test_event__attacked_by_raw_sql__stands_against_application_and_owner(
    live_db: None, app_db: Any, owner_db: Any, attack: str
) -> None:
    # F-03, P20
    record(**GOOD)

    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        app_db.execute(attack)
    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        owner_db.execute(attack)

    assert refused.value.diag.constraint_name == "flagship_auditevent_append_only"
    assert AuditEvent.objects.values_list("actor", flat=True).get() == "test"


def test_event__attacked_in_replica_role__stands(live_db: None, servers: Any) -> None:
    # ENABLE ALWAYS: the role that switches ordinary triggers off does not switch this one off.
    record(**GOOD)

    with psycopg.connect(servers.superuser_url(), autocommit=True) as superuser:
        superuser.execute("SET session_replication_role = replica")
        for attack in ATTACKS:
            with pytest.raises(psycopg.errors.CheckViolation):
                superuser.execute(attack)

    assert AuditEvent.objects.count() == 1


@pytest.mark.django_db
def test_event__recorded_in_a_trace__carries_its_ids() -> None:
    with bind_trace(Trace("req_1", "cor_1")):
        record(**GOOD)

    stored = AuditEvent.objects.get()
    assert (stored.request_id, stored.correlation_id, stored.data) == ("req_1", "cor_1", {})
    assert {name: getattr(stored, name) for name in GOOD} == GOOD


@pytest.mark.django_db
def test_event__of_work_that_is_rolled_back__is_gone_with_it() -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        record(**GOOD)
        raise RuntimeError

    assert AuditEvent.objects.count() == 0


@pytest.mark.django_db
@pytest.mark.parametrize(
    "change",
    [
        {"action": "done"},
        {"action": "Thing.done"},
        {"action": "thing.done "},
        {"action": "thing.done\n"},
        {"action": "thing." + "x" * 100},
        {"subject_type": ""},
        {"subject_id": ""},
        {"subject_id": "x" * 101},
        {"actor": ""},
        {"actor": "x" * 151},
        {"data": {"a": object()}},
        {"data": {"a": float("nan")}},
        {"data": {"a": "\x00"}},
        {"data": {"a": new_id()}},
        {"data": {"a": "x" * 17_000}},
        {"data": {"a": "\ud800"}},
    ],
)
def test_event__misshapen__is_not_recorded(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidAuditEvent):
        record(**{**GOOD, **change})

    assert AuditEvent.objects.count() == 0


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("column", "value"),
    [("action", "'done'"), ("subject_type", "''"), ("subject_id", "''"), ("actor", "''")],
)
def test_event__misshapen_by_raw_sql__is_refused(column: str, value: str) -> None:
    from django.db import IntegrityError, connection

    values = {
        "action": "'a.b'",
        "subject_type": "'t'",
        "subject_id": "'1'",
        "actor": "'x'",
        column: value,
    }
    columns, literals = ", ".join(values), ", ".join(values.values())
    statement = (
        f"INSERT INTO flagship_auditevent (id, data, request_id, correlation_id, {columns})"
        f" VALUES (gen_random_uuid(), '{{}}', '', '', {literals})"
    )

    with connection.cursor() as cursor, pytest.raises(IntegrityError), transaction.atomic():
        cursor.execute(statement)
