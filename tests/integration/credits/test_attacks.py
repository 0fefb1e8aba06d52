"""The ledger refuses raw SQL: as its owner, as the application, and with foreign keys off."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.integration.credits.attacks import ATTACKS, BY_APPLICATION_ROLE, Attack
from tests.integration.credits.ground import complete, fingerprint, make_ground
from tests.ledger import assert_ledger_adds_up
from tests.servers import Servers

PRIVILEGE = "42501"
# Refused while the statement is read, before anybody's privileges are.
WHILE_PARSED = {"22007", "428C9"}


def run(
    connection: psycopg.Connection[Any], statements: tuple[str, ...], names: dict[str, Any]
) -> set[str]:
    """Run statements as one transaction; return by what they are refused, nothing if they pass."""
    try:
        with connection.transaction():
            for statement in statements:
                connection.execute(statement, names)
    except psycopg.Error as error:
        return {name for name in (error.sqlstate, error.diag.constraint_name) if name}
    return set()


def failures(
    connection: psycopg.Connection[Any], attacks: list[Attack], names: dict[str, Any]
) -> list[str]:
    """Run attacks one by one; say which were not refused as they should, or changed something."""
    before = fingerprint(connection)
    found = []
    for attack in attacks:
        refused = run(connection, attack.statements, names)
        if attack.refused_by not in refused:
            found.append(f"{attack.statements}: {refused or 'accepted'}, not {attack.refused_by}")
        if fingerprint(connection) != before:
            found.append(f"{attack.statements}: changed something")
            before = fingerprint(connection)
    return found


def test_attack_list__is_long_enough_and_without_repetition() -> None:
    # P20
    assert len({attack.statements for attack in ATTACKS}) == len(ATTACKS) >= 240


def test_ledger__attacked_as_owner__refuses_and_keeps_everything(
    owner_db: psycopg.Connection[Any],
) -> None:
    # C-04, P16, P17, P18, P20
    names = complete(owner_db, make_ground())

    assert failures(owner_db, ATTACKS, names) == []
    assert run(owner_db, ("SET session_replication_role = replica",), {}) == {PRIVILEGE}
    assert_ledger_adds_up()


def test_ledger__attacked_as_application__refuses_and_keeps_everything(
    app_db: psycopg.Connection[Any], servers: Servers
) -> None:
    # C-04, P20
    if servers.postgres is None:
        pytest.skip("an own server may give one role for everything")
    names = complete(app_db, make_ground())
    attacks = [
        attack
        if attack.is_call or attack.refused_by in WHILE_PARSED
        else Attack(PRIVILEGE, attack.statements)
        for attack in ATTACKS
    ]
    attacks += [Attack(PRIVILEGE, (statement,)) for statement in BY_APPLICATION_ROLE]

    assert failures(app_db, attacks, names) == []
    assert_ledger_adds_up()


def test_ledger__attacked_with_foreign_keys_off__triggers_alone_refuse(
    live_db: None, servers: Servers
) -> None:
    # C-04, P20: session_replication_role = replica skips foreign keys and ordinary triggers
    with psycopg.connect(servers.superuser_url(), autocommit=True) as superuser:
        names = complete(superuser, make_ground())
        superuser.execute("SET session_replication_role = replica")

        assert failures(superuser, [a for a in ATTACKS if not a.by_key], names) == []
    assert_ledger_adds_up()


@pytest.mark.parametrize("role", ["origin", "replica"])
def test_ledger__attacked_by_copy__refuses(live_db: None, servers: Servers, role: str) -> None:
    # P20
    with psycopg.connect(servers.superuser_url(), autocommit=True) as superuser:
        names = complete(superuser, make_ground())
        superuser.execute(f"SET session_replication_role = {role}")
        before = fingerprint(superuser)
        copies = {
            "credits_account (id, organization_id, balance, issued)": (
                names["new"],
                names["none"],
                50,
                50,
            ),
            "credits_entry (account_id, kind, balance_delta, seq)": (
                names["account"],
                "grant",
                50,
                99,
            ),
            "credits_reservation (id, account_id, amount, subject_type, subject_id, expires_at,"
            " state)": (names["new"], names["account"], 5, "b", "b", "2100-01-01", "released"),
        }
        refused = []
        for table, row in copies.items():
            with (
                pytest.raises(psycopg.errors.CheckViolation) as caught,
                superuser.cursor().copy(f"COPY {table} FROM STDIN") as copy,
            ):
                copy.write_row(row)
            refused.append(caught.value.diag.constraint_name)

        assert refused == [
            "credits_account_starts_empty",
            "credits_entry_fill",
            "credits_reservation_starts_held",
        ]
        assert fingerprint(superuser) == before
