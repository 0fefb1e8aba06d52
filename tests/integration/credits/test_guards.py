"""Each guard is what refuses: without it (and those behind it) the attack gets through.

Guards are taken away one after another in a transaction that is rolled back. Before each step the
attack must be refused by the next guard's name; after the last it must succeed and leave a ledger
that no longer adds up, or history that was changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from tests.integration.credits.ground import complete, fingerprint, make_ground


@dataclass(frozen=True, slots=True)
class Wall:
    """An attack, and the guards that stand before it in order: (name it refuses by, undoing it)."""

    attack: str
    guards: tuple[tuple[str, str], ...]


def trigger(table: str, name: str, refuses_by: str = "") -> tuple[str, str]:
    return refuses_by or name, f"DROP TRIGGER {name} ON {table}"


def constraint(table: str, name: str) -> tuple[str, str]:
    return name, f"ALTER TABLE {table} DROP CONSTRAINT {name}"


def index(name: str) -> tuple[str, str]:
    return name, f"DROP INDEX {name}"


def check_of_hold(refuses_by: str) -> tuple[str, str]:
    return refuses_by, (
        "CREATE OR REPLACE FUNCTION credits_entry_check_hold(p_entry credits_entry,"
        " p_hold credits_reservation) RETURNS void LANGUAGE sql AS 'SELECT'"
    )


def check_of_original(refuses_by: str) -> tuple[str, str]:
    return refuses_by, (
        "CREATE OR REPLACE FUNCTION credits_entry_check_original(p_entry credits_entry,"
        " p_original credits_entry) RETURNS void LANGUAGE sql AS 'SELECT'"
    )


ACCOUNT, HOLD, ENTRY = "credits_account", "credits_reservation", "credits_entry"
LOT, DRAW = "credits_lot", "credits_draw"
STATEMENT, FREEZE = "credits_statement", "credits_freeze"
MOVES = trigger(ACCOUNT, "credits_account_moves_with_entry", "credits_account_next_seq")
LAST_ENTRY = constraint(ACCOUNT, "credits_account_last_entry")
FILL = trigger(ENTRY, "credits_entry_fill")
SPENDS = trigger(ENTRY, "credits_entry_spends_lots", "credits_lots_equal_balance")
FOREIGN_FIRST = (
    "INSERT INTO credits_entry (created_at, account_id, seq, kind, {0}, balance_before,"
    " balance_delta, balance_after, reserved_before, reserved_delta, reserved_after, issued_delta,"
    " charged_delta, lapsed_delta, priority)"
    " SELECT now(), a.id, a.last_seq + 1, {1} FROM credits_account a WHERE a.id = %(account)s"
)

DRAW_FILL = trigger(DRAW, "credits_draw_fill")
DRAWN = (
    "INSERT INTO credits_draw (account_id, seq, lot_seq, number, amount, remaining_after)"
    " VALUES (%(account)s, {0})"
)
STATED = (
    "INSERT INTO credits_statement (number, day, accounts, entries, balance, reserved, issued,"
    " charged, lapsed, drifting, digest, previous_hash, hash)"
    " SELECT {0}, {1}, 0, 0, {2}, 0, 0, 0, 0, 0, 'd', {3}, 'h' FROM credits_statement"
)

WALLS = {
    "balance made from nothing": Wall(
        "UPDATE credits_account SET balance = balance + 100, issued = issued + 100"
        " WHERE id = %(account)s",
        (MOVES, LAST_ENTRY),
    ),
    "more held than there is": Wall(
        "UPDATE credits_account SET reserved = balance + 1 WHERE id = %(account)s",
        (MOVES, constraint(ACCOUNT, "credits_account_reserved_in_balance"), LAST_ENTRY),
    ),
    "negative balance": Wall(
        "UPDATE credits_account SET balance = -1, reserved = -1, issued = 0, charged = 1"
        " WHERE id = %(account)s",
        (
            MOVES,
            constraint(ACCOUNT, "credits_account_balance_not_negative"),
            constraint(ACCOUNT, "credits_account_reserved_in_balance"),
            LAST_ENTRY,
        ),
    ),
    "books that do not cancel": Wall(
        "UPDATE credits_account SET charged = charged + 1 WHERE id = %(account)s",
        (MOVES, constraint(ACCOUNT, "credits_account_books_cancel")),
    ),
    # The second of the three mistakes of 3.3: only the + 1 rule stands before it.
    "account pointed back to an older entry": Wall(
        "UPDATE credits_account SET last_seq = 1, balance = 1000, reserved = 0, issued = 1000,"
        " charged = 0 WHERE id = %(account)s",
        (MOVES,),
    ),
    # The first: a NULL in a composite key is not checked.
    "account without a last entry": Wall(
        "UPDATE credits_account SET last_seq = NULL, balance = 9000, issued = 9000, charged = 0"
        " WHERE id = %(account)s",
        (
            MOVES,
            ("23502", "ALTER TABLE credits_account ALTER COLUMN last_seq DROP NOT NULL"),
        ),
    ),
    "account born rich": Wall(
        "INSERT INTO credits_account (id, organization_id, balance, issued)"
        " VALUES (%(new)s, %(none)s, 100, 100)",
        (
            trigger(ACCOUNT, "credits_account_starts_empty"),
            constraint(ENTRY, "credits_entry_open_is_first"),
        ),
    ),
    "second account": Wall(
        "INSERT INTO credits_account (id, organization_id) VALUES (%(new)s, %(a)s)",
        (constraint(ACCOUNT, "credits_account_organization_id_key"),),
    ),
    # The third: a hold without its entry, here one larger than the balance.
    "reservation without an entry": Wall(
        "INSERT INTO credits_reservation (id, account_id, amount, subject_type, subject_id,"
        " expires_at) VALUES (%(new)s, %(account)s, 5000, 'b', 'b', now() + interval '1 hour')",
        (trigger(HOLD, "credits_reservation_holds", "credits_entry_within_bounds"),),
    ),
    "reservation resolved without an entry": Wall(
        "UPDATE credits_reservation SET state = 'released', resolved_at = now()"
        " WHERE id = %(held)s",
        (trigger(HOLD, "credits_reservation_moves_with_entry"),),
    ),
    "reservation shrunk": Wall(
        "UPDATE credits_reservation SET amount = 1 WHERE id = %(held)s",
        (
            trigger(
                HOLD, "credits_reservation_moves_with_entry", "credits_reservation_identity_fixed"
            ),
            constraint(ENTRY, "credits_entry_names_its_hold"),
        ),
    ),
    "reservation born resolved": Wall(
        "INSERT INTO credits_reservation (id, account_id, amount, subject_type, subject_id, state,"
        " resolved_at, created_at, expires_at) VALUES (%(new)s, %(account)s, 5, 'b', 'b',"
        " 'released', now(), now(), now() + interval '1 hour')",
        (
            trigger(HOLD, "credits_reservation_starts_held"),
            check_of_hold("credits_reservation_resolves_once"),
        ),
    ),
    "two resolutions of one hold": Wall(
        "INSERT INTO credits_entry (account_id, kind, reservation_id)"
        " VALUES (%(account)s, 'release', %(committed)s)",
        (
            check_of_hold("credits_reservation_resolves_once"),
            index("credits_entry_one_resolution"),
            trigger(
                HOLD, "credits_reservation_moves_with_entry", "credits_reservation_resolves_once"
            ),
        ),
    ),
    "two reserves of one hold": Wall(
        "INSERT INTO credits_entry (account_id, kind, reservation_id)"
        " VALUES (%(account)s, 'reserve', %(held)s)",
        (index("credits_entry_each_kind_once"),),
    ),
    "commit after the expiry": Wall(
        "INSERT INTO credits_entry (account_id, kind, reservation_id, balance_delta)"
        " VALUES (%(account)s, 'commit', %(overdue)s, -80)",
        (check_of_hold("credits_entry_commit_in_time"),),
    ),
    "expiry before its time": Wall(
        "INSERT INTO credits_entry (account_id, kind, reservation_id)"
        " VALUES (%(account)s, 'expire', %(held)s)",
        (check_of_hold("credits_entry_expire_when_due"),),
    ),
    "somebody else's hold": Wall(
        FOREIGN_FIRST.format(
            "reservation_id, hold",
            "'release', %(foreign)s, 70, a.balance, 0, a.balance, a.reserved, -70,"
            " a.reserved - 70, 0, 0, 0, NULL",
        ),
        (FILL, constraint(ENTRY, "credits_entry_names_its_hold")),
    ),
    "entry that starts elsewhere": Wall(
        FOREIGN_FIRST.format(
            "reason",
            "'grant', 'x', a.balance + 500, 5, a.balance + 505, a.reserved, 0, a.reserved, 5, 0, 0,"
            " 100",
        ),
        (
            FILL,
            constraint(ENTRY, "credits_entry_follows_previous"),
            constraint(ACCOUNT, "credits_account_books_cancel"),
            SPENDS,
        ),
    ),
    "entry that does not add up": Wall(
        FOREIGN_FIRST.format(
            "reason",
            "'grant', 'x', a.balance, 5, a.balance + 500, a.reserved, 0, a.reserved, 5, 0, 0, 100",
        ),
        (
            FILL,
            constraint(ENTRY, "credits_entry_balance_adds_up"),
            constraint(ACCOUNT, "credits_account_books_cancel"),
            SPENDS,
        ),
    ),
    "grant that takes": Wall(
        "INSERT INTO credits_entry (account_id, kind, balance_delta)"
        " VALUES (%(account)s, 'grant', -5)",
        (
            constraint(ENTRY, "credits_entry_kind_moves_its_books"),
            constraint(LOT, "credits_lot_amount_positive"),
            constraint(LOT, "credits_lot_remaining_in_range"),
            SPENDS,
        ),
    ),
    "grant made twice": Wall(
        "WITH one AS (INSERT INTO credits_entry (account_id, kind, balance_delta, reference)"
        " VALUES (%(other)s, 'grant', 5, 'r') RETURNING 1)"
        " INSERT INTO credits_entry (account_id, kind, balance_delta, reference)"
        " VALUES (%(account)s, 'grant', 5, (SELECT reference FROM credits_entry"
        " WHERE account_id = %(account)s AND kind = 'grant'))",
        (index("credits_entry_grant_reference_once"),),
    ),
    "lot emptied by hand": Wall(
        "UPDATE credits_lot SET remaining = 0 WHERE account_id = %(account)s",
        (trigger(LOT, "credits_lot_moves_with_draw"),),
    ),
    "lot made from nothing": Wall(
        "INSERT INTO credits_lot (account_id, seq, amount, remaining, priority, created_at)"
        " VALUES (%(account)s, 77, 50, 50, 0, now())",
        (
            trigger(LOT, "credits_lot_starts_empty"),
            constraint(LOT, "credits_lot_names_its_grant"),
        ),
    ),
    "second lot of one grant": Wall(
        "INSERT INTO credits_lot (account_id, seq, amount, priority, created_at)"
        " SELECT account_id, seq, amount, priority, created_at FROM credits_lot"
        " WHERE account_id = %(account)s",
        # The draws' foreign key goes with the index that it points at.
        (
            (
                "credits_lot_of_its_grant",
                "ALTER TABLE credits_lot DROP CONSTRAINT credits_lot_of_its_grant CASCADE",
            ),
        ),
    ),
    "lot larger than its grant": Wall(
        "UPDATE credits_lot SET remaining = amount + 1 WHERE account_id = %(account)s",
        (
            trigger(LOT, "credits_lot_moves_with_draw"),
            constraint(LOT, "credits_lot_remaining_in_range"),
        ),
    ),
    "lot of other terms": Wall(
        "UPDATE credits_lot SET priority = 0 WHERE account_id = %(account)s",
        (trigger(LOT, "credits_lot_moves_with_draw", "credits_lot_identity_fixed"),),
    ),
    "lot removed": Wall(
        "DELETE FROM credits_lot WHERE account_id = %(account)s",
        (
            trigger(LOT, "credits_lot_append_only"),
            constraint(DRAW, "credits_draw_names_its_lot"),
        ),
    ),
    "draw that no entry made": Wall(
        "INSERT INTO credits_draw (account_id, seq, lot_seq, number, amount, remaining_after)"
        " VALUES (%(account)s, 2, 1, 99, -5, 975)",
        (
            trigger(DRAW, "credits_draw_fill"),
            trigger(LOT, "credits_lot_moves_with_draw"),
        ),
    ),
    "draw of an entry that is not there": Wall(
        DRAWN.format("99, 1, 99, -5, 975"),
        (
            DRAW_FILL,
            constraint(DRAW, "credits_draw_names_its_entry"),
            trigger(LOT, "credits_lot_moves_with_draw"),
        ),
    ),
    "entry drawn twice": Wall(
        DRAWN.format("1, 1, 99, 5, 985"),
        (
            DRAW_FILL,
            constraint(DRAW, "credits_draw_each_lot_once"),
            trigger(LOT, "credits_lot_moves_with_draw"),
        ),
    ),
    "two draws of one number": Wall(
        DRAWN.format("2, 1, 1, -5, 975"),
        (
            DRAW_FILL,
            constraint(DRAW, "credits_draw_number_once"),
            trigger(LOT, "credits_lot_moves_with_draw"),
        ),
    ),
    "draw of nothing": Wall(
        DRAWN.format("2, 1, 99, 0, 980"),
        (
            DRAW_FILL,
            constraint(DRAW, "credits_draw_moves"),
            trigger(LOT, "credits_lot_moves_with_draw"),
        ),
    ),
    "grant of no known priority": Wall(
        "INSERT INTO credits_entry (account_id, kind, balance_delta, priority)"
        " VALUES (%(account)s, 'grant', 5, -1)",
        (constraint(ENTRY, "credits_entry_grant_has_terms"),),
    ),
    "lapse of no grant": Wall(
        "INSERT INTO credits_entry (account_id, kind, balance_delta)"
        " VALUES (%(account)s, 'lapse', -5)",
        (constraint(ENTRY, "credits_entry_original_named"),),
    ),
    "reversal of what is not there": Wall(
        "INSERT INTO credits_entry (account_id, kind, original_seq, balance_delta)"
        " VALUES (%(account)s, 'reversal', -7, -1)",
        (
            check_of_original("credits_entry_original_fits"),
            constraint(ENTRY, "credits_entry_kind_moves_its_books"),
            constraint(ENTRY, "credits_entry_names_its_original"),
            trigger(ENTRY, "credits_entry_spends_lots"),
        ),
    ),
    "draw on a lot that is not there": Wall(
        "INSERT INTO credits_draw (account_id, seq, lot_seq, number, amount, remaining_after)"
        " VALUES (%(account)s, 2, 77, 1, -5, 0)",
        (
            trigger(DRAW, "credits_draw_fill"),
            constraint(DRAW, "credits_draw_names_its_lot"),
        ),
    ),
    "draws rewritten": Wall(
        "UPDATE credits_draw SET amount = amount - 1",
        (trigger(DRAW, "credits_draw_append_only"),),
    ),
    "more given back than was charged": Wall(
        "INSERT INTO credits_entry (account_id, kind, original_seq, balance_delta)"
        " VALUES (%(account)s, 'reversal', %(charge)s, 21)",
        (
            check_of_original("credits_reversal_within_original"),
            constraint(ACCOUNT, "credits_account_books_cancel"),
            trigger(ENTRY, "credits_entry_spends_lots"),
        ),
    ),
    "grant lapsed that never does": Wall(
        "INSERT INTO credits_entry (account_id, kind, original_seq, balance_delta)"
        " VALUES (%(account)s, 'lapse', 1, -5)",
        (check_of_original("credits_entry_lapse_when_due"),),
    ),
    "reversal made twice": Wall(
        "INSERT INTO credits_entry (account_id, kind, original_seq, balance_delta, reference)"
        " VALUES (%(other)s, 'reversal', 1, -1, 'undone')",
        (index("credits_entry_reversal_reference_once"),),
    ),
    "hold for ever": Wall(
        "UPDATE credits_reservation SET expires_at = 'infinity' WHERE id = %(held)s",
        (constraint(HOLD, "credits_reservation_life_bounded"),),
    ),
    "statement rewritten": Wall(
        "UPDATE credits_statement SET drifting = 7",
        (trigger(STATEMENT, "credits_statement_append_only"),),
    ),
    "statement that follows nothing": Wall(
        "INSERT INTO credits_statement (number, day, accounts, entries, balance, reserved, issued,"
        " charged, lapsed, drifting, digest, previous_hash, hash)"
        " VALUES (1, current_date, 0, 0, 0, 0, 0, 0, 0, 0, 'd', 'p', 'h')",
        (
            trigger(STATEMENT, "credits_statement_follows"),
            constraint(STATEMENT, "credits_statement_follows_previous"),
        ),
    ),
    "statement of a day that has one": Wall(
        STATED.format("1", "day", "0", "hash"),
        (
            trigger(STATEMENT, "credits_statement_follows"),
            constraint(STATEMENT, "credits_statement_day_key"),
        ),
    ),
    "two statements of one number": Wall(
        STATED.format("0", "day + 1", "0", "''"),
        (
            trigger(STATEMENT, "credits_statement_follows"),
            constraint(STATEMENT, "credits_statement_number_key"),
        ),
    ),
    "statement that does not cancel": Wall(
        STATED.format("1", "day + 1", "5", "hash"),
        (
            trigger(STATEMENT, "credits_statement_follows"),
            constraint(STATEMENT, "credits_statement_books_cancel"),
        ),
    ),
    "freeze forgotten": Wall(
        "DELETE FROM credits_freeze", (trigger(FREEZE, "credits_freeze_append_only"),)
    ),
    "freeze explained away": Wall(
        "UPDATE credits_freeze SET findings = '[]'",
        (trigger(FREEZE, "credits_freeze_lifts_once"),),
    ),
    "freeze lifted by nobody": Wall(
        "UPDATE credits_freeze SET lifted_at = now()",
        (constraint(FREEZE, "credits_freeze_lifted_by_somebody"),),
    ),
    "account frozen twice": Wall(
        "INSERT INTO credits_freeze (account_id, findings) VALUES (%(other)s, '[]')",
        (index("credits_freeze_one_open"),),
    ),
    "history rewritten": Wall(
        "UPDATE credits_entry SET reason = 'other'",
        (trigger(ENTRY, "credits_entry_append_only"),),
    ),
    "last entry removed": Wall(
        "DELETE FROM credits_entry WHERE account_id = %(account)s AND seq = (SELECT last_seq"
        " FROM credits_account WHERE id = %(account)s)",
        (trigger(ENTRY, "credits_entry_append_only"), LAST_ENTRY),
    ),
    "hold removed": Wall(
        "DELETE FROM credits_reservation WHERE id = %(held)s",
        (
            trigger(HOLD, "credits_reservation_append_only"),
            constraint(ENTRY, "credits_entry_names_its_hold"),
        ),
    ),
}


def attempt(connection: psycopg.Connection[Any], attack: str, names: dict[str, Any]) -> set[str]:
    """Run the attack, deferred constraints included; return by what it is refused."""
    try:
        with connection.transaction():
            connection.execute(attack, names)
            connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except psycopg.Error as error:
        return {name for name in (error.sqlstate, error.diag.constraint_name) if name}
    return set()


def walk(connection: psycopg.Connection[Any], wall: Wall, names: dict[str, Any]) -> list[str]:
    """Take the guards away one by one; say where the attack was not refused as expected."""
    problems = []
    before = fingerprint(connection)
    for name, undoing in wall.guards:
        refused = attempt(connection, wall.attack, names)
        if name not in refused:
            problems.append(f"{name}: {refused or 'accepted'}")
        connection.execute(undoing)
    refused = attempt(connection, wall.attack, names)
    if refused or fingerprint(connection) == before:
        problems.append(f"without its guards: {refused or 'nothing changed'}")
    return problems


def test_guards__taken_away_one_by_one__are_what_refuses(
    owner_db: psycopg.Connection[Any],
) -> None:
    # C-04: a proof must be able to see
    names = complete(owner_db, make_ground())
    before = fingerprint(owner_db)

    problems = {}
    for title, wall in WALLS.items():
        with owner_db.transaction(force_rollback=True):
            problems[title] = walk(owner_db, wall, names)

    assert {title: found for title, found in problems.items() if found} == {}
    assert fingerprint(owner_db) == before


@pytest.mark.parametrize(
    ("table", "count"),
    [(ACCOUNT, 4), (HOLD, 4), (ENTRY, 4), (LOT, 3), (DRAW, 3), (STATEMENT, 2), (FREEZE, 2)],
)
def test_triggers__of_the_ledger__are_enabled_always(
    owner_db: psycopg.Connection[Any], table: str, count: int
) -> None:
    # C-04: replica role skips every other trigger
    rows = owner_db.execute(
        "SELECT tgname, tgenabled FROM pg_trigger"
        " WHERE tgrelid = %s::regclass AND NOT tgisinternal",
        (table,),
    ).fetchall()

    assert len(rows) == count
    assert {enabled for _, enabled in rows} == {"A"}


def test_functions__of_the_ledger__run_as_owner_with_a_fixed_path(
    owner_db: psycopg.Connection[Any],
) -> None:
    # C-04: pg_temp last, or a temporary table stands in for the real one
    rows = owner_db.execute(
        "SELECT proname, proconfig, prosecdef, prorettype = 'trigger'::regtype,"
        " has_function_privilege('public', oid, 'execute')"
        " FROM pg_proc WHERE proname LIKE 'credits\\_%'"
    ).fetchall()

    assert len(rows) >= 44
    path = ["search_path=pg_catalog, public, pg_temp"]
    assert [name for name, config, *_ in rows if config != path] == []
    assert [name for name, _, definer, is_trigger, _ in rows if is_trigger and not definer] == []
    assert [
        name
        for name, _, definer, is_trigger, anybody in rows
        if definer and anybody and not is_trigger
    ] == []
