"""One active build per project unless it allows more, and no link across organizations."""

from __future__ import annotations

import uuid
from typing import Any

import psycopg
import pytest

from builds.models import Build, Project
from tests.factories import make_account, make_build, make_project, make_source
from tests.integration.builds.rows import make_build_in, snapshot

Connection = psycopg.Connection[Any]

pytestmark = pytest.mark.parametrize("role", ["owner_db", "app_db"])


@pytest.fixture
def attacker(role: str, request: pytest.FixtureRequest) -> Connection:
    """A connection as the role under test."""
    connection: Connection = request.getfixturevalue(role)
    return connection


def second_build(connection: Connection, first: Build, **columns: Any) -> None:
    """Insert a twin of a queued build, with a hold and a job of its own, by raw SQL."""
    build_id = uuid.uuid4()
    with connection.transaction():
        hold = connection.execute(
            "SELECT reservation_id FROM credits_reserve(%s, %s, 1, 'build', %s, '', 60, '')",
            [uuid.uuid4(), first.organization_id, f"build_{build_id.hex}"],
        ).fetchone()
        assert hold
        changed = {
            "id": build_id,
            "job_id": uuid.uuid4(),
            "reservation_id": hold[0],
            "slot": first.slot,
            "max_active": first.max_active,
            "source_id": first.source_id,
            "project_id": first.project_id,
        } | columns
        connection.execute(
            "INSERT INTO builds_build (id, organization_id, project_id, source_id, state,"
            " moved_by, max_active, slot, builder, options, job_id, reservation_id,"
            " estimated_credits, error_message, created_by, request_id, correlation_id,"
            " cancel_requested_by, queued_at)"
            " SELECT %(id)s, organization_id, %(project_id)s, %(source_id)s, state, moved_by,"
            " %(max_active)s, %(slot)s, builder, options, %(job_id)s, %(reservation_id)s,"
            " estimated_credits, '', created_by, '', '', '', queued_at"
            " FROM builds_build WHERE id = %(first)s",
            changed | {"first": first.id},
        )


def assert_refused(rule: str, error: type[psycopg.Error], before: list[Any], raised: Any) -> None:
    assert isinstance(raised.value, error)
    assert raised.value.diag.constraint_name == rule
    assert snapshot() == before


@pytest.mark.parametrize(
    ("columns", "error", "rule"),
    [
        ({}, psycopg.errors.UniqueViolation, "build_one_active_per_slot"),
        ({"slot": 1}, psycopg.errors.CheckViolation, "build_slot_below_max_active"),
        ({"slot": -1}, psycopg.errors.CheckViolation, "build_slot_below_max_active"),
        ({"slot": None}, psycopg.errors.CheckViolation, "build_slot_while_active"),
        (
            {"slot": 1, "max_active": None},
            psycopg.errors.CheckViolation,
            "build_max_active_while_active",
        ),
        (
            {"slot": 1, "max_active": 2},
            psycopg.errors.ForeignKeyViolation,
            "build_max_active_of_project",
        ),
    ],
)
def test_second_active_build__however_its_slot_is_written__is_refused(
    columns: dict[str, Any], error: type[psycopg.Error], rule: str, attacker: Connection
) -> None:
    # B-03 P05
    first = make_build_in("queued", make_account(credits=100))
    before = snapshot()

    with pytest.raises(psycopg.Error) as raised:
        second_build(attacker, first, **columns)

    assert_refused(rule, error, before, raised)


def test_second_active_build__project_allows_two__third_is_refused(attacker: Connection) -> None:
    # B-03
    organization_id = make_account(credits=100)
    project = make_project(organization_id, max_active=2)
    first = make_build(project)
    second_build(attacker, first, slot=1)
    before = snapshot()

    with pytest.raises(psycopg.Error) as raised:
        second_build(attacker, first, slot=2)

    assert_refused("build_slot_below_max_active", psycopg.errors.CheckViolation, before, raised)


def test_max_active__lowered_under_running_builds__is_refused(attacker: Connection) -> None:
    # B-03 P05
    project = make_project(make_account(credits=100), max_active=2)
    make_build(project)
    second = make_build(project)
    assert second.slot == 1
    before = snapshot()

    with pytest.raises(psycopg.errors.CheckViolation) as raised:
        attacker.execute("UPDATE builds_project SET max_active = 1 WHERE id = %s", [project.id])

    assert_refused("build_slot_below_max_active", psycopg.errors.CheckViolation, before, raised)
    assert Project.objects.get(id=project.id).max_active == 2


def test_max_active__lowered_after_they_ended__is_carried_to_the_active_ones(
    attacker: Connection,
) -> None:
    # B-03
    project = make_project(make_account(credits=100), max_active=2)
    builds = [make_build(project), make_build(project)]
    for build in builds:
        attacker.execute(
            "UPDATE builds_build SET state = 'cancelled', moved_by = 'test', slot = NULL,"
            " finished_at = now() WHERE id = %s",
            [build.id],
        )

    active = make_build(project)
    attacker.execute("UPDATE builds_project SET max_active = 1 WHERE id = %s", [project.id])
    attacker.execute("UPDATE builds_build SET max_active = 20 WHERE id = %s", [builds[0].id])

    ended = Build.objects.filter(id__in=[build.id for build in builds])
    assert set(ended.values_list("max_active", flat=True)) == {None}
    active.refresh_from_db()
    assert active.max_active == 1


def test_slot__kept_by_a_build_that_ends__is_refused(attacker: Connection) -> None:
    # B-03
    build = make_build_in("building", make_account(credits=100))
    before = snapshot()

    with pytest.raises(psycopg.errors.CheckViolation) as raised:
        attacker.execute(
            "UPDATE builds_build SET state = 'cancelled', moved_by = 'x', fence = NULL,"
            " finished_at = now() WHERE id = %s",
            [build.id],
        )

    assert_refused("build_slot_while_active", psycopg.errors.CheckViolation, before, raised)


def test_fence__lowered_by_an_older_run__is_refused(attacker: Connection) -> None:
    # P09
    build = make_build_in("building", make_account(credits=100))
    attacker.execute("UPDATE builds_build SET fence = 5 WHERE id = %s", [build.id])
    before = snapshot()

    with pytest.raises(psycopg.errors.CheckViolation) as raised:
        attacker.execute("UPDATE builds_build SET fence = 4 WHERE id = %s", [build.id])

    assert_refused("build_fence_grows", psycopg.errors.CheckViolation, before, raised)


def test_links__across_organizations_and_projects__are_refused(attacker: Connection) -> None:
    # B-03 P24
    ours, theirs = make_account(credits=100), make_account(credits=100)
    # Two builds are allowed everywhere, so that no slot is what refuses.
    home, sibling = make_project(ours, max_active=2), make_project(ours, max_active=2)
    stranger = make_project(theirs, max_active=2)
    first = make_build(home)
    foreign_hold = make_build(make_project(theirs)).reservation_id
    ours_there, theirs_there = make_source(sibling), make_source(stranger)
    before = snapshot()

    inside = {"project_id": sibling.id, "source_id": ours_there.id}
    cases: list[tuple[dict[str, Any], str]] = [
        (
            {"project_id": stranger.id, "source_id": theirs_there.id},
            "build_project_of_organization",
        ),
        ({"project_id": sibling.id}, "build_source_of_project"),
        ({"project_id": sibling.id, "source_id": theirs_there.id}, "build_source_of_project"),
        ({"source_id": ours_there.id}, "build_source_of_project"),
        (inside | {"reservation_id": foreign_hold}, "build_reservation_is_its_own"),
        (inside | {"reservation_id": first.reservation_id}, "build_reservation_is_its_own"),
    ]
    for columns, rule in cases:
        with pytest.raises(psycopg.errors.IntegrityError) as raised:
            second_build(attacker, first, slot=1, **columns)
        assert raised.value.diag.constraint_name == rule, (columns, raised.value)
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        attacker.execute(
            "INSERT INTO builds_source (id, organization_id, project_id, sha256, kind, size_bytes,"
            " unpacked_bytes, file_count, created_at) VALUES (gen_random_uuid(), %s, %s, %s,"
            " 'zip', 1, 1, 1, now())",
            [ours, stranger.id, "c" * 64],
        )

    assert snapshot() == before


def test_live_build__of_another_project_or_not_deployed__is_refused(attacker: Connection) -> None:
    # B-05
    organization_id = make_account(credits=200)
    deployed = make_build_in("deployed", organization_id)
    building = make_build_in("building", organization_id)
    before = snapshot()

    for project_id, build_id in (
        (building.project_id, building.id),
        (building.project_id, deployed.id),
    ):
        with pytest.raises(psycopg.errors.CheckViolation) as raised:
            attacker.execute(
                "UPDATE builds_project SET live_build_id = %s WHERE id = %s",
                [build_id, project_id],
            )
        assert_refused("project_live_build_deployed", psycopg.errors.CheckViolation, before, raised)


def test_project__owner_or_address_changed__is_refused(attacker: Connection) -> None:
    # P24
    ours, theirs = make_account(credits=100), make_account(credits=100)
    project = make_project(ours)

    for column, value in (
        ("organization_id", theirs),
        ("slug", "another"),
        ("site_name", "another"),
    ):
        with pytest.raises(psycopg.errors.CheckViolation) as raised:
            attacker.execute(
                f"UPDATE builds_project SET {column} = %s WHERE id = %s", [value, project.id]
            )
        assert raised.value.diag.constraint_name == "project_facts_fixed"

    project.refresh_from_db()
    assert (project.organization_id, project.slug) == (ours, project.slug)
