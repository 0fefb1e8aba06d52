"""The event log of a build: complete whoever changed it, gapless, and closed to everybody."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from builds.models import Build, BuildEvent
from builds.services.cancel import cancel_build
from builds.services.moves import fail_build, mark_deployed, start_build
from jobs.ids import public_id
from tests.asserts import assert_refused
from tests.clients import ApiCaller
from tests.factories import make_account, make_build, make_project
from tests.integration.builds.rows import columns_for, make_build_in, snapshot
from tests.integration.builds.runs import artifact, claim_run, lose_lease
from tests.servers import SERVERS

Connection = psycopg.Connection[Any]


def events_of(build: Build) -> list[tuple[Any, ...]]:
    rows = BuildEvent.objects.filter(build=build).order_by("id")
    return list(rows.values_list("seq", "name", "state", "actor"))


def everything() -> list[Any]:
    return [*snapshot(), list(BuildEvent.objects.order_by("id").values())]


@pytest.mark.django_db
def test_events__of_a_build_that_lost_a_worker__tell_its_whole_life() -> None:
    # B-08
    build = make_build(make_project(make_account(credits=100)))
    start_build(build_id=build.id, context=claim_run(build))
    lose_lease(build)
    context = claim_run(build)
    start_build(build_id=build.id, context=context)
    mark_deployed(build_id=build.id, artifact=artifact(), duration_s=1.0, context=context)

    assert events_of(build) == [
        (1, "build.created", "queued", "test"),
        (2, "build.started", "building", "worker"),
        (3, "build.taken_over", "building", "worker"),
        (4, "build.deployed", "deployed", "worker"),
    ]
    data = list(BuildEvent.objects.filter(build=build).values_list("data", flat=True))
    assert data[0]["reservationId"] == public_id("res", build.reservation_id)
    assert data[0]["estimatedCredits"] == build.estimated_credits
    assert data[1:3] == [{"from": "queued", "fence": 1}, {"fence": 2, "replaced": 1}]
    assert (data[3]["from"], data[3]["chargedCredits"]) == ("building", 3)


@pytest.mark.django_db
def test_events__of_a_cancel_that_was_asked_for__name_who_asked() -> None:
    # B-08
    build = make_build(make_project(make_account(credits=100)))
    start_build(build_id=build.id, context=claim_run(build))
    cancel_build(organization_id=build.organization_id, build_id=build.id, actor="ann")
    fail_build(build_id=build.id, code="X", message="x")

    assert events_of(build)[2:] == [
        (3, "build.cancel_requested", "building", "ann"),
        (4, "build.failed", "failed", "worker"),
    ]


@pytest.mark.django_db
def test_event__in_a_transaction_rolled_back__leaves_no_gap() -> None:
    # B-08
    from django.db import transaction

    build = make_build(make_project(make_account(credits=100)))
    with transaction.atomic():
        start_build(build_id=build.id, context=claim_run(build))
        assert len(events_of(build)) == 2
        transaction.set_rollback(True)
    fail_build(build_id=build.id, code="X", message="x")

    assert [event[:2] for event in events_of(build)] == [(1, "build.created"), (2, "build.failed")]


def test_event__of_a_move_by_raw_sql__is_written_too(app_db: Connection) -> None:
    # B-08 P04
    build = make_build_in("building", make_account(credits=100))
    columns = columns_for("cancelled")
    app_db.execute(
        "UPDATE builds_build SET state = 'cancelled', moved_by = 'hand', slot = %(slot)s,"
        " fence = %(fence)s, finished_at = now() WHERE id = %(id)s",
        columns | {"id": build.id},
    )

    assert events_of(build)[-1] == (3, "build.cancelled", "cancelled", "hand")


ATTACKS = (
    "INSERT INTO builds_buildevent (build_id, seq, name, state, actor, data)"
    " VALUES (%(id)s, 9, 'build.deployed', 'deployed', 'x', '{}')",
    "INSERT INTO builds_buildevent (build_id, seq, name, state, actor, data)"
    " VALUES (%(other)s, 9, 'build.replayed', 'deployed', 'x', '{}')",
    "INSERT INTO builds_buildevent (build_id, seq, name, state, actor, data)"
    " VALUES (%(id)s, 9, NULL, 'deployed', 'x', '{}')",
    "INSERT INTO builds_buildevent (build_id, seq, name, state, actor, data)"
    " SELECT build_id, seq + 1, name, state, actor, data FROM builds_buildevent",
    "INSERT INTO builds_buildevent (id, build_id, seq, name, state, actor, data)"
    " SELECT id, build_id, seq, 'build.replayed', state, actor, data FROM builds_buildevent"
    " ON CONFLICT (id) DO UPDATE SET actor = 'attacker'",
    "MERGE INTO builds_buildevent AS event USING (SELECT %(id)s::uuid AS id) AS wanted"
    " ON event.build_id = wanted.id WHEN MATCHED THEN UPDATE SET actor = 'attacker'",
    "MERGE INTO builds_buildevent AS event USING (SELECT %(id)s::uuid AS id) AS wanted"
    " ON event.build_id = wanted.id WHEN MATCHED THEN DELETE",
    "UPDATE builds_buildevent SET seq = seq + 10",
    "UPDATE builds_buildevent SET data = '{}', at = now()",
    "DELETE FROM builds_buildevent",
    "TRUNCATE builds_buildevent",
    "TRUNCATE builds_buildtransition",
    "TRUNCATE builds_build CASCADE",
)
REFUSALS = (
    *(psycopg.errors.IntegrityError, psycopg.errors.InsufficientPrivilege),
    # COPY by whom row-level security binds.
    psycopg.errors.FeatureNotSupported,
)


def attack_all(connection: Connection) -> None:
    build = make_build_in("building", make_account(credits=100))
    before = everything()
    for statement in ATTACKS:
        with pytest.raises(REFUSALS):
            connection.execute(
                statement, {"id": build.id, "other": "00000000-0000-0000-0000-000000000000"}
            )
    columns = "COPY builds_buildevent (build_id, seq, name, state, actor, data) FROM STDIN"
    with (
        pytest.raises(REFUSALS),
        connection.cursor() as cursor,
        cursor.copy(columns) as copy,
    ):
        copy.write_row([build.id, 3, "build.deployed", "deployed", "x", "{}"])
    assert everything() == before


@pytest.mark.parametrize("role", ["owner_db", "app_db"])
def test_log__forged_edited_or_emptied__refuses(role: str, request: pytest.FixtureRequest) -> None:
    # B-08 P20
    attack_all(request.getfixturevalue(role))


def test_log__attacked_by_the_superuser_in_replica_role__refuses(live_db: None) -> None:
    # B-08 P20
    with psycopg.connect(SERVERS.superuser_url("flagship_test"), autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        attack_all(connection)


@pytest.mark.parametrize("role", ["owner_db", "app_db"])
def test_replay_event__inserted_by_hand__gets_the_next_number_and_the_real_state(
    role: str, request: pytest.FixtureRequest
) -> None:
    # B-08
    connection: Connection = request.getfixturevalue(role)
    build = make_build_in("building", make_account(credits=100))
    connection.execute(
        "INSERT INTO builds_buildevent (build_id, seq, name, state, actor, data, at)"
        " VALUES (%s, 77, 'build.replayed', 'deployed', 'x', '{}', '2000-01-01')",
        [build.id],
    )

    assert events_of(build)[-1] == (3, "build.replayed", "building", "x")
    assert BuildEvent.objects.order_by("-id")[0].at > build.queued_at


def test_links__forged_by_raw_sql__are_refused(app_db: Connection) -> None:
    # B-02 B-03
    organization_id = make_account(credits=1000)
    ended, active = (
        make_build_in("failed", organization_id),
        make_build_in("queued", organization_id),
    )
    cancelled = make_build_in("cancelled", organization_id)
    before = everything()

    for column, of, to, rule in (
        ("rebuild_of_id", active.id, ended.id, "build_facts_fixed"),
        ("superseded_by_id", active.id, ended.id, "build_superseded_while_waiting"),
        ("superseded_by_id", active.id, active.id, "build_superseded_while_waiting"),
        ("superseded_by_id", cancelled.id, active.id, "build_final_is_frozen"),
    ):
        with pytest.raises(psycopg.errors.IntegrityError) as refused:
            app_db.execute(f"UPDATE builds_build SET {column} = %s WHERE id = %s", [to, of])
        assert refused.value.diag.constraint_name == rule
    # In a move that is right in everything else: the newer build is another project's.
    with pytest.raises(psycopg.errors.ForeignKeyViolation) as refused:
        app_db.execute(
            "UPDATE builds_build SET state = 'cancelled', moved_by = 'x', slot = NULL,"
            " finished_at = now(), superseded_by_id = %s WHERE id = %s",
            [ended.id, active.id],
        )
    assert refused.value.diag.constraint_name == "build_superseded_by_of_project"
    assert everything() == before


@pytest.mark.django_db
def test_events_api__read_in_pieces__is_gapless_and_the_callers_own(api: ApiCaller) -> None:
    # B-08 P24
    build = make_build(make_project(api.organization.id))
    start_build(build_id=build.id, context=claim_run(build))
    fail_build(build_id=build.id, code="X", message="x")
    path = f"/v1/builds/{public_id('build', build.id)}/events"

    first = api.get(f"{path}?limit=2").json()
    second = api.get(f"{path}?after={first['lastSeq']}").json()

    assert [item["seq"] for item in first["items"] + second["items"]] == [1, 2, 3]
    assert (first["hasMore"], second["hasMore"], second["state"]) == (True, False, "failed")
    assert second["items"][0] | {"at": ""} == {
        "seq": 3,
        "name": "build.failed",
        "state": "failed",
        "actor": "worker",
        "at": "",
        "data": {"from": "building", "errorCode": "X"},
    }
    empty = api.get(f"{path}?after=3").json()
    assert empty == {"items": [], "lastSeq": 3, "hasMore": False, "state": "failed"}
    assert_refused(api.get(f"{path}?after=-1"), 422, "VALIDATION_FAILED")
    theirs = make_build(make_project(make_account(credits=100)))
    foreign = f"/v1/builds/{public_id('build', theirs.id)}/events"
    assert_refused(api.get(foreign), 404, "BUILD_NOT_FOUND")
