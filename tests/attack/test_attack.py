"""Nothing wrong can be stored, and each guard is missed once it is gone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import IntegrityError

from builds.errors import BuildAlreadyRunning
from tests.attack import acts, duels, services, states
from tests.attack.catalog import guards, locks
from tests.attack.missed import find_missed
from tests.attack.peel import attempt
from tests.attack.redundant import REDUNDANT, is_redundant
from tests.attack.statements import HERE, Case, listed, made, walled, written
from tests.attack.tally import TALLY
from tests.attack.world import WORLD, connect, forget, keep_world, make_world, scratch
from tests.conftest import _empty_valkey, _recreate
from tests.factories import make_account
from tests.integration.builds.rows import make_build_in
from tests.integration.builds.test_state_attacks import STATES
from tests.integration.credits.attacks import BY_APPLICATION_ROLE
from tests.integration.credits.ground import complete
from tests.servers import DATABASE, SERVERS, TEMPLATE

PRIVILEGE = "42501"
ROLES = ("owner", "application", "replica")
LIST = HERE / "guards.txt"
IDLE = "planted_to_refuse_nothing"
RULES_OF_BUILDS = (
    "ALTER TABLE builds_build DISABLE TRIGGER build_guard",
    "DROP TRIGGER build_guard ON builds_build",
    "ALTER TABLE builds_build DROP CONSTRAINT build_move_legal",
    "DROP INDEX build_one_active_per_slot",
    "DROP FUNCTION builds_guard_build() CASCADE",
    "ALTER FUNCTION builds_guard_event() SECURITY INVOKER",
    "TRUNCATE builds_source CASCADE",
)
FILES = ("builds.sql", "credits.sql", "lots.sql", "fetches.sql", "rollups.sql")
pytestmark = pytest.mark.skipif(
    SERVERS.postgres is None, reason="databases are copied on a server of our own only"
)


def told() -> list[Case]:
    """Every statement that is written down, with what must refuse it."""
    return [case for name in FILES for case in written(name)] + listed()


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: Any) -> Iterator[dict[str, Any]]:
    """The names of what is in the database WORLD."""
    with django_db_blocker.unblock():
        names = make_world()
        keep_world()
    _recreate(DATABASE, TEMPLATE)
    _empty_valkey()
    with connect("owner", WORLD) as connection:
        names = complete(connection, names)
    yield names
    forget(WORLD)


def test_statements__are_many_and_none_is_told_twice() -> None:
    # P20
    cases = told()

    assert len({case.tries for case in cases}) == len(cases) >= 250


@pytest.mark.parametrize("role", ROLES)
def test_statement__of_every_case__is_refused_by_its_guard(
    role: str, world: dict[str, Any]
) -> None:
    # B-02 B-03 B-08 C-04 P04 P20
    wrong = []
    with connect(role, WORLD) as connection:
        keys = {guard.name for guard in guards(connection) if guard.sort == "f"}
        for case in told():
            # Foreign keys are off in the replica role, and some cases are about nothing else.
            if case.without or (role == "replica" and (case.by_key or case.by in keys)):
                continue
            refusal = attempt(connection, case, world)
            TALLY.note(is_refused=refusal is not None)
            allowed = {case.by} | ({PRIVILEGE} if role == "application" else set())
            if refusal is None or not refusal.names & allowed:
                wrong.append(f"{case.tries}: {refusal or 'accepted'}")

    assert wrong == []


def test_statement__that_changes_the_rules__is_refused_to_the_application(
    world: dict[str, Any],
) -> None:
    # P20
    wrong = []
    with connect("application", WORLD) as connection:
        for statement in (*BY_APPLICATION_ROLE, *RULES_OF_BUILDS):
            refusal = attempt(connection, Case(statement, (statement,)), world)
            TALLY.note(is_refused=refusal is not None)
            if refusal is None or refusal.sqlstate != PRIVILEGE:
                wrong.append(f"{statement}: {refusal or 'accepted'}")

    assert wrong == []


@pytest.mark.parametrize("role", ROLES)
def test_state__of_every_pair_by_every_statement__moves_as_the_table_says(
    role: str, world: dict[str, Any]
) -> None:
    # B-02 P04
    builds = {state: world[state] for state in STATES}

    with connect(role, WORLD) as connection:
        assert list(states.raw_surprises(connection, builds)) == []


def test_state__of_every_pair_by_the_orm__is_refused_where_it_is_no_move(live_db: None) -> None:
    # B-02 P04
    organization_id = make_account(credits=1000)
    builds = {state: make_build_in(state, organization_id).id for state in STATES}

    assert list(states.orm_surprises(builds)) == []


@pytest.mark.parametrize("role", ["owner", "replica"])
def test_act__of_every_writing_guard__is_done(role: str, world: dict[str, Any]) -> None:
    # B-02 B-08 C-04
    with connect(role, WORLD) as connection:
        assert [said for act in acts.ACTS if (said := acts.fails(connection, act, world))] == []


def test_triggers__of_builds_and_credits__fire_in_the_replica_role(world: dict[str, Any]) -> None:
    # P20
    with connect("owner", WORLD) as connection:
        rows = connection.execute(
            "SELECT tgname, tgenabled FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid"
            " WHERE NOT tgisinternal AND relname ~ '^(builds|credits)_'"
        ).fetchall()

    assert len(rows) >= 25
    assert {name for name, enabled in rows if enabled != "A"} == set()


def test_guards__as_the_catalog_has_them__are_those_on_the_list(world: dict[str, Any]) -> None:
    # P20: one that goes is missed by its name, and one that comes is written down
    with connect("owner", WORLD) as connection:
        there = sorted(map(str, guards(connection)))
        there += [f"lock of {lock.name}" for lock in locks(connection)]
    there += [f"lock of {name}" for name in sorted(services.locking_functions())]
    if os.environ.get("FLAGSHIP_LIST_GUARDS"):
        LIST.write_text("\n".join(there) + "\n", encoding="utf-8")

    assert there == LIST.read_text(encoding="utf-8").splitlines(), (
        "python -m tests.attack --list writes the list anew"
    )


def test_guard__of_every_kind_taken_away__is_missed(world: dict[str, Any]) -> None:
    # B-02 B-03 C-04 P20: a proof must be able to see
    with scratch() as database, connect("owner", database) as connection:
        connection.execute(f"ALTER TABLE builds_project ADD CONSTRAINT {IDLE} CHECK (true)")
        every = guards(connection)
        generated = [*walled(), *made(connection)]
        found = find_missed(connection, every, told() + generated, world)
    for case in generated:
        TALLY.note(is_refused=case.tries not in found.accepted)
    needed = [guard for guard in every if not is_redundant(guard) and guard.name != IDLE]
    TALLY.dropped |= {str(guard) for guard in needed}
    TALLY.seen |= {str(guard) for guard in needed if guard in found.missed}
    TALLY.alone += sum(others == 0 for _, others in found.missed.values())
    TALLY.redundant += sum(map(is_redundant, every))

    assert found.accepted == []
    assert found.astray == []
    # The one that was planted refuses nothing, and is the only such one.
    assert [guard.name for guard in every if guard not in found.missed] == [IDLE]
    # What is called redundant is: nothing shows its loss while all others are there.
    assert [
        str(guard)
        for guard, (_, others) in found.missed.items()
        if str(guard) in REDUNDANT and not others
    ] == []


def test_lock__of_every_function_taken_away__is_missed(world: dict[str, Any]) -> None:
    # C-04 B-08 P18 P20
    with connect("owner", WORLD) as connection:
        every = {lock.name: lock for lock in locks(connection)}
    TALLY.dropped |= {f"lock of {name}" for name in every}
    wrong = []
    for duel in duels.DUELS:
        with scratch():
            held = duels.fight(duel, world)
        with scratch():
            bare = duels.fight(duel, world, every[duel.lock].without())
        if held != duel.ends:
            wrong.append(f"{duel.what}: {held}, not {duel.ends}")
        elif bare != held:
            TALLY.seen.add(f"lock of {duel.lock}")

    assert wrong == []
    assert {f"lock of {name}" for name in every} <= TALLY.seen


def test_lock__of_every_service_taken_away__is_missed(
    live_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # B-03 P05 P20
    found = services.locking_functions()
    TALLY.dropped |= {f"lock of {name}" for name in found}
    assert found == {"builds/services/projects.py:lock_project"}

    assert isinstance(services.two_builds_at_once(), BuildAlreadyRunning)
    services.unlock("lock_project", monkeypatch)
    assert isinstance(services.two_builds_at_once(), IntegrityError)
    TALLY.seen |= {f"lock of {name}" for name in found}
