"""Attacks on accounts, and removals of anything."""

from __future__ import annotations

from tests.integration.credits.attacks.shape import Attack, each

_A = "WHERE id = %(account)s"
_NEW_ACCOUNT = (
    "INSERT INTO credits_account (id, organization_id, {0}) VALUES (%(new)s, %(none)s, {1})"
)

ACCOUNT_INSERTS = [
    *each(
        "credits_account_starts_empty",
        _NEW_ACCOUNT.format("balance, issued", "100, 100"),
        _NEW_ACCOUNT.format("balance, reserved, issued", "5, 5, 5"),
        _NEW_ACCOUNT.format("issued, charged", "7, 7"),
        _NEW_ACCOUNT.format("last_seq", "NULL"),
        _NEW_ACCOUNT.format("last_seq", "7"),
        _NEW_ACCOUNT.format("balance", "NULL"),
        _NEW_ACCOUNT.format("balance", "-1"),
        _NEW_ACCOUNT.format("balance", "100") + " ON CONFLICT DO NOTHING",
        "MERGE INTO credits_account t USING (SELECT 1) s ON t.id = %(new)s WHEN NOT MATCHED THEN"
        " INSERT (id, organization_id, balance, issued) VALUES (%(new)s, %(none)s, 9, 9)",
    ),
    *each(
        "credits_account_organization_id_key",
        "INSERT INTO credits_account (id, organization_id) VALUES (%(new)s, %(a)s)",
    ),
    *each(
        "credits_account_pkey",
        "INSERT INTO credits_account (id, organization_id) VALUES (%(account)s, %(none)s)",
    ),
    Attack(
        "23503",
        ("INSERT INTO credits_account (id, organization_id) VALUES (%(new)s, %(new)s)",),
        by_key=True,
    ),
]

ACCOUNT_UPDATES = [
    *each(
        "credits_account_next_seq",
        f"UPDATE credits_account SET balance = balance + 100 {_A}",
        f"UPDATE credits_account SET balance = balance + 100, issued = issued + 100 {_A}",
        f"UPDATE credits_account SET balance = -1 {_A}",
        f"UPDATE credits_account SET reserved = 0 {_A}",
        f"UPDATE credits_account SET reserved = balance {_A}",
        f"UPDATE credits_account SET charged = 0, balance = issued {_A}",
        f"UPDATE credits_account SET issued = issued + 5, charged = charged + 5 {_A}",
        f"UPDATE credits_account SET last_seq = last_seq - 1 {_A}",
        f"UPDATE credits_account SET last_seq = last_seq + 2 {_A}",
        f"UPDATE credits_account SET last_seq = NULL {_A}",
        # Back to an older entry that exists: the foreign key alone would allow it.
        "UPDATE credits_account SET last_seq = 1, balance = 1000, reserved = 0, issued = 1000,"
        f" charged = 0 {_A}",
        f"UPDATE credits_account SET balance = balance {_A}",
        "UPDATE credits_account SET balance = 0, reserved = 0, issued = 0, charged = 0",
        "UPDATE credits_account x SET balance = y.balance FROM credits_account y"
        " WHERE y.id <> x.id",
        "INSERT INTO credits_account (id, organization_id) VALUES (%(new)s, %(a)s)"
        " ON CONFLICT (organization_id) DO UPDATE SET balance = 1000000, issued = 1000000",
        "MERGE INTO credits_account t USING (SELECT 1) s ON t.id = %(account)s"
        " WHEN MATCHED THEN UPDATE SET balance = 1000000",
        "WITH moved AS (UPDATE credits_account SET balance = 7 RETURNING *) SELECT * FROM moved",
    ),
    *each(
        "credits_account_moves_with_entry",
        f"UPDATE credits_account SET last_seq = last_seq + 1 {_A}",
        f"UPDATE credits_account SET last_seq = last_seq + 1, balance = balance + 1 {_A}",
        "UPDATE credits_account SET last_seq = last_seq + 1, balance = balance + 9,"
        f" issued = issued + 9 {_A}",
        "UPDATE credits_account SET last_seq = last_seq + 1, issued = issued + 5,"
        f" charged = charged + 5 {_A}",
        f"UPDATE credits_account SET last_seq = last_seq + 1, reserved = 0 {_A}",
    ),
    *each(
        "credits_account_identity_fixed",
        f"UPDATE credits_account SET id = %(new)s {_A}",
        f"UPDATE credits_account SET organization_id = %(none)s {_A}",
        f"UPDATE credits_account SET organization_id = %(none)s, last_seq = last_seq + 1 {_A}",
        f"UPDATE credits_account SET created_at = now() - interval '1 year' {_A}",
    ),
    # A grant that is written down beside a balance moved by hand.
    Attack(
        "credits_account_moves_with_entry",
        (
            "INSERT INTO credits_entry (account_id, kind, balance_delta)"
            " VALUES (%(account)s, 'grant', 5)",
            "UPDATE credits_account SET last_seq = last_seq + 1, balance = balance + 95,"
            f" issued = issued + 95 {_A}",
        ),
    ),
]

REMOVALS = [
    *each(
        "credits_account_append_only",
        f"DELETE FROM credits_account {_A}",
        "DELETE FROM credits_account WHERE false",
        "TRUNCATE credits_account CASCADE",
        "MERGE INTO credits_account t USING (SELECT 1) s ON t.id = %(account)s"
        " WHEN MATCHED THEN DELETE",
    ),
    *each(
        "credits_reservation_append_only",
        "DELETE FROM credits_reservation WHERE id = %(held)s",
        "DELETE FROM credits_reservation WHERE id = %(committed)s",
        "DELETE FROM credits_reservation",
        "TRUNCATE credits_reservation, credits_entry CASCADE",
        "WITH gone AS (DELETE FROM credits_reservation RETURNING *) SELECT * FROM gone",
    ),
    *each(
        "credits_entry_append_only",
        "DELETE FROM credits_entry",
        "DELETE FROM credits_entry WHERE account_id = %(account)s AND seq = (SELECT max(seq)"
        " FROM credits_entry WHERE account_id = %(account)s)",
        "DELETE FROM credits_entry WHERE false",
        "TRUNCATE credits_entry, credits_account CASCADE",
        "MERGE INTO credits_entry t USING (SELECT 1) s ON t.seq = 1 WHEN MATCHED THEN DELETE",
        "UPDATE credits_entry SET reason = 'other'",
        "UPDATE credits_entry SET balance_after = balance_after + 1",
        "UPDATE credits_entry SET kind = 'release' WHERE kind = 'commit'",
        "UPDATE credits_entry SET created_at = now()",
        "UPDATE credits_entry SET account_id = %(other)s WHERE account_id = %(account)s",
        "UPDATE credits_entry SET seq = seq + 1000",
        "UPDATE credits_entry SET reservation_id = %(held2)s WHERE reservation_id = %(held)s",
        "UPDATE credits_entry SET reference = 'other' WHERE false",
        "MERGE INTO credits_entry t USING (SELECT 1) s ON t.seq = 1"
        " WHEN MATCHED THEN UPDATE SET balance_delta = 0",
        "INSERT INTO credits_entry (account_id, kind, balance_delta)"
        " VALUES (%(account)s, 'grant', 5) ON CONFLICT (id) DO UPDATE SET balance_delta = 500",
    ),
]
