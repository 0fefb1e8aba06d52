"""Every way of writing a state, for every pair of states."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import psycopg
from django.db import IntegrityError, transaction

from builds.models import Build
from builds.states import MOVES, BuildState
from tests.attack.tally import TALLY
from tests.integration.builds.rows import orm_columns
from tests.integration.builds.test_state_attacks import (
    STATES,
    by_copy,
    by_insert,
    by_merge,
    by_update,
    by_upsert,
    copied_row,
    upsert_by_the_orm,
)

Connection = psycopg.Connection[Any]
Write = Callable[[Connection, uuid.UUID, str], None]
PAIRS: Final = list(itertools.product(STATES, STATES))
# What may refuse a pair that is no move: the guard of the state, or that of an ended row.
MOVE_RULES: Final = {"build_move_allowed", "build_final_is_frozen"}
# A row that starts elsewhere also comes with the hold of the row it was copied from.
BIRTH_RULES: Final = {"build_starts_queued", "build_reservation_is_its_own"}


def by_merged_insert(connection: Connection, build_id: uuid.UUID, state: str) -> None:
    """MERGE ... WHEN NOT MATCHED: a row that starts in a state."""
    row = copied_row(connection, build_id, state)
    row |= {"id": uuid.uuid4(), "job_id": uuid.uuid4()}
    connection.execute(
        f"MERGE INTO builds_build t USING (SELECT 1) s ON t.id = %(id)s WHEN NOT MATCHED THEN"
        f" INSERT ({', '.join(row)}) VALUES ({', '.join(f'%({name})s' for name in row)})",
        row,
    )


# Whom row-level security binds copies nothing into a table at all.
NO_COPY: Final = "0A000"
MOVING: Final[list[Write]] = [by_update, by_upsert, by_merge]
BEARING: Final[list[Write]] = [by_insert, by_copy, by_merged_insert]


def is_legal(before: str, after: str) -> bool:
    """Whether a build may go from one state to the other, or stay in one that has not ended."""
    moves = MOVES[BuildState(before)]
    return BuildState(after) in moves or (before == after and bool(moves))


def raw_surprises(connection: Connection, builds: dict[str, uuid.UUID]) -> Iterator[str]:
    """Write every pair by every statement, each undone; yield what is not as it must be."""
    for write, (before, after) in itertools.product(MOVING, PAIRS):
        said = _refused_by(connection, partial(write, connection, builds[before], after))
        if is_legal(before, after):
            # The columns beside the state are those of a build that was started; one that ends
            # without having been started differs in them, and is no matter of states.
            if said not in {"", "build_started_at_once_building"}:
                yield f"{write.__name__} {before} to {after}: refused by {said}"
            continue
        TALLY.note(is_refused=bool(said))
        if said not in MOVE_RULES:
            yield f"{write.__name__} {before} to {after}: {said or 'accepted'}"
    for write, (before, after) in itertools.product(BEARING, PAIRS):
        said = _refused_by(connection, partial(write, connection, builds[before], after))
        TALLY.note(is_refused=bool(said))
        if write is by_copy and said == NO_COPY:
            continue
        if said not in BIRTH_RULES:
            yield f"{write.__name__} a copy of {before} as {after}: {said or 'accepted'}"


def _refused_by(connection: Connection, write: Callable[[], None]) -> str:
    try:
        with connection.transaction(force_rollback=True):
            write()
            connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except psycopg.Error as error:
        return error.diag.constraint_name or error.sqlstate or "an error"
    return ""


def orm_surprises(builds: dict[str, uuid.UUID]) -> Iterator[str]:
    """Write every pair by every way of the ORM, each undone; yield what was accepted."""
    for before, after in PAIRS:
        if is_legal(before, after):
            continue
        build = Build.objects.get(id=builds[before])
        twin = Build.objects.get(id=builds[before])
        for name, value in orm_columns(after).items():
            setattr(build, name, value)
            setattr(twin, name, value)
        build.state = twin.state = after
        build.moved_by = "attacker"
        twin.id, twin.job_id = uuid.uuid4(), uuid.uuid4()
        columns = {"state": after, "moved_by": "attacker", **orm_columns(after)}
        rows = Build.objects.filter(id=build.id)
        ways: dict[str, Callable[[], object]] = {
            "save": build.save,
            "bulk_update": partial(Build.objects.bulk_update, [build], list(columns)),
            "update": partial(rows.update, **columns),
            "bulk_create with update_conflicts": partial(upsert_by_the_orm, build),
            "bulk_create": partial(Build.objects.bulk_create, [twin]),
        }
        for way, write in ways.items():
            try:
                with transaction.atomic():
                    write()
            except IntegrityError:
                TALLY.note(is_refused=True)
            else:
                TALLY.note(is_refused=False)
                yield f"{way} {before} to {after}: accepted"
