"""Raw SQL against the states of builds: what is illegal cannot be stored, by anyone."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
import pytest
from django.db import IntegrityError, transaction
from psycopg import sql

from builds.models import Build, BuildTransition
from builds.states import MOVES, BuildState
from tests.factories import make_account
from tests.integration.builds.rows import columns_for, make_build_in, orm_columns, snapshot
from tests.servers import SERVERS

Connection = psycopg.Connection[Any]
Attack = Callable[[Connection, uuid.UUID, str], None]

# Whom row-level security binds copies nothing into a table at all.
NO_COPY = (psycopg.errors.FeatureNotSupported,)
STATES = [state.value for state in BuildState]
ILLEGAL = [
    (before, after)
    for before, after in itertools.product(STATES, STATES)
    if before != after and BuildState(after) not in MOVES[BuildState(before)]
]


def assignments(state: str, *, was_started: bool = True) -> tuple[sql.Composed, dict[str, Any]]:
    """Write `state = ..., column = ...` of a row that has everything else right."""
    columns = {"state": state, "moved_by": "attacker", **columns_for(state)}
    if not was_started:
        columns["started_at"] = None
    parts = [
        sql.SQL("{} = {}").format(
            sql.Identifier(name), sql.SQL("now()") if value == "now" else sql.Placeholder(name)
        )
        for name, value in columns.items()
    ]
    values = {name: value for name, value in columns.items() if value != "now"}
    return sql.SQL(", ").join(parts), values


def column_names(connection: Connection) -> list[str]:
    rows = connection.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'builds_build'"
        " ORDER BY ordinal_position"
    )
    return [row[0] for row in rows]


def copied_row(connection: Connection, build_id: uuid.UUID, state: str) -> dict[str, Any]:
    """Return the build's row as it would be in another state."""
    names = column_names(connection)
    found = connection.execute("SELECT * FROM builds_build WHERE id = %s", [build_id]).fetchone()
    assert found
    row = dict(zip(names, found, strict=True))
    wanted = {
        name: row["queued_at"] if value == "now" else value
        for name, value in columns_for(state).items()
    }
    row["options"] = "{}"
    return row | wanted | {"state": state, "moved_by": "attacker"}


def insert_of(row: dict[str, Any]) -> sql.Composed:
    return sql.SQL("INSERT INTO builds_build ({}) VALUES ({})").format(
        sql.SQL(", ").join(map(sql.Identifier, row)), sql.SQL(", ").join(map(sql.Placeholder, row))
    )


def by_update(connection: Connection, build_id: uuid.UUID, state: str) -> None:
    parts, values = assignments(state)
    statement = sql.SQL("UPDATE builds_build SET {} WHERE id = %(id)s").format(parts)
    connection.execute(statement, values | {"id": build_id})


def by_upsert(connection: Connection, build_id: uuid.UUID, state: str) -> None:
    parts, values = assignments(state)
    # The row that is proposed is legal, the one that is stored would not be.
    row = copied_row(connection, build_id, "queued")
    statement = sql.SQL(
        "INSERT INTO builds_build ({}) VALUES ({}) ON CONFLICT (id) DO UPDATE SET {}"
    ).format(
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join(sql.Placeholder(f"new_{name}") for name in row),
        parts,
    )
    connection.execute(statement, values | {f"new_{name}": v for name, v in row.items()})


def by_merge(connection: Connection, build_id: uuid.UUID, state: str) -> None:
    parts, values = assignments(state)
    statement = sql.SQL(
        "MERGE INTO builds_build AS build USING (SELECT %(id)s::uuid AS id) AS wanted"
        " ON build.id = wanted.id WHEN MATCHED THEN UPDATE SET {}"
    ).format(parts)
    connection.execute(statement, values | {"id": build_id})


def by_insert(connection: Connection, build_id: uuid.UUID, state: str) -> None:
    row = copied_row(connection, build_id, state)
    row |= {"id": uuid.uuid4(), "job_id": uuid.uuid4()}
    connection.execute(insert_of(row), row)


def by_copy(connection: Connection, build_id: uuid.UUID, state: str) -> None:
    row = copied_row(connection, build_id, state)
    row |= {"id": uuid.uuid4(), "job_id": uuid.uuid4()}
    names = sql.SQL(", ").join(map(sql.Identifier, row))
    statement = sql.SQL("COPY builds_build ({}) FROM STDIN").format(names)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write_row(list(row.values()))


def assert_nothing_stored(
    attack: Attack, connection: Connection, pairs: list[tuple[str, str]], rules: set[str]
) -> None:
    """Try every pair; each is refused by one of the rules, and the tables are as before."""
    organization_id = make_account(credits=1000)
    builds = {state: make_build_in(state, organization_id) for state in STATES}
    before = snapshot()

    for current, wanted in pairs:
        with pytest.raises((psycopg.errors.CheckViolation, *NO_COPY)) as refused:
            attack(connection, builds[current].id, wanted)
        if isinstance(refused.value, NO_COPY):
            assert (attack, connection.info.user) == (by_copy, SERVERS.application)
            continue
        assert refused.value.diag.constraint_name in rules, (current, wanted, refused.value)

    assert snapshot() == before


@pytest.mark.parametrize("attack", [by_update, by_upsert, by_merge])
@pytest.mark.parametrize("role", ["owner_db", "app_db"])
def test_state__illegal_move_by_raw_sql__is_refused_for_every_pair(
    attack: Attack, role: str, request: pytest.FixtureRequest
) -> None:
    # B-02 P04
    connection = request.getfixturevalue(role)

    assert_nothing_stored(attack, connection, ILLEGAL, {"build_move_allowed"})


@pytest.mark.parametrize("attack", [by_insert, by_copy])
@pytest.mark.parametrize("role", ["owner_db", "app_db"])
def test_state__row_that_does_not_start_queued__is_refused(
    attack: Attack, role: str, request: pytest.FixtureRequest
) -> None:
    # B-02 P04
    connection = request.getfixturevalue(role)
    pairs = [(current, wanted) for current in STATES for wanted in STATES if wanted != "queued"]
    # The hold of another build is noticed as well, and may be noticed first.
    rules = {"build_starts_queued", "build_reservation_is_its_own"}

    assert_nothing_stored(attack, connection, pairs, rules)


@pytest.mark.parametrize("attack", [by_update, by_upsert, by_merge])
def test_state__superuser_in_replica_role__is_refused_all_the_same(
    attack: Attack, live_db: None
) -> None:
    # B-02 P04
    with psycopg.connect(SERVERS.superuser_url("flagship_test"), autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        assert_nothing_stored(attack, connection, ILLEGAL, {"build_move_allowed"})


@pytest.mark.parametrize("attack", [by_insert, by_copy])
def test_state__born_in_another_by_the_superuser_in_replica_role__is_refused(
    attack: Attack, live_db: None
) -> None:
    # B-02 P04
    pairs = [(current, wanted) for current in STATES for wanted in STATES if wanted != "queued"]
    rules = {"build_starts_queued", "build_reservation_is_its_own"}
    with psycopg.connect(SERVERS.superuser_url("flagship_test"), autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        assert_nothing_stored(attack, connection, pairs, rules)


def upsert_by_the_orm(build: Build) -> None:
    Build.objects.bulk_create(
        [build],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["state", "slot", "fence", "finished_at", "error_code"],
    )


@pytest.mark.django_db
def test_state__born_in_another_by_the_orm__is_refused() -> None:
    # B-02 P04
    organization_id = make_account(credits=1000)
    builds = {state: make_build_in(state, organization_id) for state in STATES}
    before = snapshot()

    for current, wanted in itertools.product(STATES, STATES):
        if wanted == "queued":
            continue
        build = Build.objects.get(id=builds[current].id)
        for column, value in orm_columns(wanted).items():
            setattr(build, column, value)
        build.id, build.job_id, build.state = uuid.uuid4(), uuid.uuid4(), wanted
        for write in (
            partial(build.save, force_insert=True),
            partial(Build.objects.bulk_create, [build]),
        ):
            with pytest.raises(IntegrityError), transaction.atomic():
                write()

    assert snapshot() == before


@pytest.mark.django_db
def test_state__illegal_move_by_the_orm__is_refused() -> None:
    # B-02 P04
    organization_id = make_account(credits=1000)
    builds = {state: make_build_in(state, organization_id) for state in STATES}
    before = snapshot()

    for current, wanted in ILLEGAL:
        build = Build.objects.get(id=builds[current].id)
        for column, value in orm_columns(wanted).items():
            setattr(build, column, value)
        build.state = wanted
        columns = {"state": wanted, "moved_by": "attacker", **orm_columns(wanted)}
        for write in (
            build.save,
            partial(Build.objects.bulk_update, [build], ["state", "slot", "fence"]),
            partial(Build.objects.filter(id=build.id).update, **columns),
            partial(upsert_by_the_orm, build),
        ):
            with pytest.raises(IntegrityError), transaction.atomic():
                write()

    assert snapshot() == before


def test_state__every_legal_move__is_stored_with_its_transition(owner_db: Connection) -> None:
    # B-02
    organization_id = make_account(credits=1000)
    for before, onward in MOVES.items():
        for after in onward:
            build = make_build_in(before.value, organization_id)
            was_started = before is BuildState.BUILDING or after is BuildState.BUILDING
            parts, values = assignments(after.value, was_started=was_started)
            statement = sql.SQL("UPDATE builds_build SET {} WHERE id = %(id)s").format(parts)
            owner_db.execute(statement, values | {"id": build.id})

            build.refresh_from_db()
            last = BuildTransition.objects.filter(build=build).order_by("seq").last()
            assert last is not None
            assert (build.previous_state, build.state) == (before.value, after.value)
            assert (last.from_state, last.to_state, last.actor) == (before, after, "attacker")


@pytest.mark.django_db
def test_previous_state__written_by_a_caller__is_what_the_row_was() -> None:
    # B-02
    build = make_build_in("building", make_account(credits=100))

    Build.objects.filter(id=build.id).update(previous_state="failed")
    build.refresh_from_db()
    assert build.previous_state == "queued"

    Build.objects.filter(id=build.id).update(
        state="cancelled", previous_state=None, **orm_columns("cancelled")
    )
    build.refresh_from_db()
    assert (build.previous_state, build.state) == ("building", "cancelled")


def test_state__check_without_the_trigger__lets_no_pair_through(owner_db: Connection) -> None:
    """The null-safe CHECK stays for readers: it alone refuses every pair that is no move."""
    # B-02
    build = make_build_in("building", make_account(credits=100))
    owner_db.execute("ALTER TABLE builds_build DISABLE TRIGGER build_guard")
    owner_db.execute("ALTER TABLE builds_build DISABLE TRIGGER build_transition_written")
    for previous, state in itertools.product([None, *STATES], STATES):
        is_legal = (
            state == "queued"
            if previous is None
            else BuildState(state) in MOVES[BuildState(previous)]
        )
        was_started = previous == "building" or state == "building"
        parts, values = assignments(state, was_started=was_started)
        statement = sql.SQL(
            "UPDATE builds_build SET previous_state = %(previous)s, {} WHERE id = %(id)s"
        ).format(parts)
        values |= {"id": build.id, "previous": previous}
        if is_legal:
            owner_db.execute(statement, values)
        else:
            with pytest.raises(psycopg.errors.CheckViolation) as refused:
                owner_db.execute(statement, values)
            assert refused.value.diag.constraint_name in {
                "build_move_legal",
                "build_started_at_once_building",
            }


@pytest.mark.parametrize("role", ["owner_db", "app_db"])
def test_history__direct_write__is_refused(role: str, request: pytest.FixtureRequest) -> None:
    # B-02 P20
    connection: Connection = request.getfixturevalue(role)
    build = make_build_in("deployed", make_account(credits=100))
    before = snapshot()

    for statement in (
        "INSERT INTO builds_buildtransition (build_id, seq, to_state, actor, at)"
        " VALUES (%(id)s, 9, 'failed', 'attacker', now())",
        "UPDATE builds_buildtransition SET to_state = 'failed' WHERE build_id = %(id)s",
        "DELETE FROM builds_buildtransition WHERE build_id = %(id)s",
        "DELETE FROM builds_build WHERE id = %(id)s",
        "UPDATE builds_build SET charged_credits = 0 WHERE id = %(id)s",
        "UPDATE builds_build SET options = '{\"a\": 1}' WHERE id = %(id)s",
        "UPDATE builds_build SET finished_at = now() WHERE id = %(id)s",
        "UPDATE builds_source SET sha256 = repeat('b', 64)",
        "DELETE FROM builds_source",
    ):
        with pytest.raises((psycopg.errors.CheckViolation, psycopg.errors.InsufficientPrivilege)):
            connection.execute(statement, {"id": build.id})

    assert snapshot() == before
