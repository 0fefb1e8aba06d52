"""Raw SQL that tries to corrupt the ledger, and what must refuse it (3.1 to 3.3, P16 to P20).

`%(a)s` and the like are names of `ground.make_ground`. Several statements run as one transaction.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Attack:
    """Statements of one transaction, and the constraint or SQLSTATE that refuses the last.

    `is_call` marks calls of the ledger's functions, which the application role may make; `by_key`
    marks what foreign keys alone refuse, which are off under session_replication_role = replica.
    """

    refused_by: str
    statements: tuple[str, ...]
    is_call: bool = False
    by_key: bool = False


def _each(refused_by: str, *statements: str) -> list[Attack]:
    return [Attack(refused_by, (statement,)) for statement in statements]


def _calls(refused_by: str, *statements: str) -> list[Attack]:
    return [Attack(refused_by, (statement,), is_call=True) for statement in statements]


_A = "WHERE id = %(account)s"
_NEW_ACCOUNT = (
    "INSERT INTO credits_account (id, organization_id, {0}) VALUES (%(new)s, %(none)s, {1})"
)

ACCOUNT_INSERTS = [
    *_each(
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
    *_each(
        "credits_account_organization_id_key",
        "INSERT INTO credits_account (id, organization_id) VALUES (%(new)s, %(a)s)",
    ),
    *_each(
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
    *_each(
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
    *_each(
        "credits_account_moves_with_entry",
        f"UPDATE credits_account SET last_seq = last_seq + 1 {_A}",
        f"UPDATE credits_account SET last_seq = last_seq + 1, balance = balance + 1 {_A}",
        "UPDATE credits_account SET last_seq = last_seq + 1, balance = balance + 9,"
        f" issued = issued + 9 {_A}",
        "UPDATE credits_account SET last_seq = last_seq + 1, issued = issued + 5,"
        f" charged = charged + 5 {_A}",
        f"UPDATE credits_account SET last_seq = last_seq + 1, reserved = 0 {_A}",
    ),
    *_each(
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
    *_each(
        "credits_account_append_only",
        f"DELETE FROM credits_account {_A}",
        "DELETE FROM credits_account WHERE false",
        "TRUNCATE credits_account CASCADE",
        "MERGE INTO credits_account t USING (SELECT 1) s ON t.id = %(account)s"
        " WHEN MATCHED THEN DELETE",
    ),
    *_each(
        "credits_reservation_append_only",
        "DELETE FROM credits_reservation WHERE id = %(held)s",
        "DELETE FROM credits_reservation WHERE id = %(committed)s",
        "DELETE FROM credits_reservation",
        "TRUNCATE credits_reservation, credits_entry CASCADE",
        "WITH gone AS (DELETE FROM credits_reservation RETURNING *) SELECT * FROM gone",
    ),
    *_each(
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

_HOLD = (
    "INSERT INTO credits_reservation (id, account_id, amount, subject_type, subject_id, expires_at"
    "{0}) VALUES (%(new)s, {2}, {1}, 'build', 'b', now() + interval '1 hour'{3})"
)


def _hold(
    amount: str = "10", names: str = "", values: str = "", account: str = "%(account)s"
) -> str:
    return _HOLD.format(names and f", {names}", amount, account, values and f", {values}")


RESERVATION_INSERTS = [
    *_each(
        "credits_reservation_starts_held",
        _hold(names="state, resolved_at, charged", values="'committed', now(), 10"),
        _hold(names="state, resolved_at", values="'released', now()"),
        _hold(names="state", values="NULL"),
        _hold(names="state", values="'paused'"),
        _hold(names="resolved_at", values="now()"),
        _hold(names="charged", values="5"),
    ),
    *_each("credits_reservation_amount_in_range", _hold("0"), _hold("-5"), _hold("1000000000001")),
    *_each("23502", _hold("NULL"), _hold(account="NULL")),
    *_each(
        "credits_entry_within_bounds",
        _hold("981"),
        _hold("1000000000000"),
        _hold("500", account="%(other)s"),
    ),
    *_each("credits_entry_account_exists", _hold(account="%(new)s")),
    *_each("credits_reservation_reference_once", _hold(names="reference", values="'taken'")),
    *_each(
        "credits_reservation_renews_expired",
        _hold(names="renews_id", values="%(held)s"),
        _hold(names="renews_id", values="%(committed)s"),
        _hold(names="renews_id", values="%(foreign_expired)s"),
        _hold(names="renews_id", values="%(new)s"),
    ),
    *_each(
        "credits_reservation_expires_later",
        _hold().replace("+ interval", "- interval"),
        _hold().replace("now() + interval '1 hour'", "'-infinity'"),
    ),
    *_each("22007", _hold().replace("now() + interval '1 hour'", "'never'")),
    *_each("credits_reservation_pkey", _hold().replace("%(new)s", "%(held)s")),
]

_R = "UPDATE credits_reservation SET {0} WHERE id = %({1})s"


def _moves(refused_by: str, hold: str, *changes: str) -> list[Attack]:
    return _each(refused_by, *(_R.format(change, hold) for change in changes))


RESERVATION_UPDATES = [
    *_moves(
        "credits_reservation_moves_with_entry",
        "held",
        "state = 'committed', charged = 0, resolved_at = now()",
        "state = 'released', resolved_at = now()",
        "state = 'expired', resolved_at = now()",
        "state = NULL",
        "state = 'paused'",
    ),
    *_moves(
        "credits_reservation_moves_with_entry", "overdue", "state = 'expired', resolved_at = now()"
    ),
    *_moves(
        "credits_reservation_resolves_once",
        "committed",
        "state = 'held', charged = NULL, resolved_at = NULL",
        "state = 'released', charged = NULL",
        "charged = 0",
        "resolved_at = now()",
        "expires_at = now() + interval '1 day'",
    ),
    *_moves("credits_reservation_resolves_once", "released", "state = 'held', resolved_at = NULL"),
    *_moves("credits_reservation_resolves_once", "expired", "state = 'committed', charged = 1"),
    *_moves(
        "credits_reservation_identity_fixed",
        "held",
        "amount = 1",
        "amount = 1000",
        "account_id = %(other)s",
        "id = %(new)s",
        "subject_id = 'other'",
        "subject_type = 'other'",
        "user_id = 'other'",
        "reference = 'other'",
        "renews_id = %(expired)s",
        "created_at = now()",
    ),
    *_moves(
        "credits_reservation_expiry_moves_on",
        "held",
        "expires_at = now()",
        "expires_at = expires_at - interval '1 second'",
        "expires_at = NULL",
    ),
    *_moves(
        "credits_reservation_expiry_moves_on",
        "overdue",
        "expires_at = now() + interval '1 day'",
        "expires_at = 'infinity'",
    ),
    *_moves("credits_reservation_resolved_at_agrees", "held", "resolved_at = now()"),
    *_moves("credits_reservation_charged_agrees", "held", "charged = 1"),
    *_each(
        "credits_reservation_identity_fixed",
        _hold().replace("%(new)s", "%(held)s") + " ON CONFLICT (id) DO UPDATE SET amount = 1",
        "MERGE INTO credits_reservation t USING (SELECT 1) s ON t.id = %(held)s"
        " WHEN MATCHED THEN UPDATE SET amount = 1",
    ),
]


def _entry(kind: str, hold: str = "", delta: str = "0", more: str = "", values: str = "") -> str:
    reservation = f"%({hold})s" if hold else "NULL"
    return (
        f"INSERT INTO credits_entry (account_id, kind, reservation_id, balance_delta"
        f"{more and ', '}{more})"
        f" VALUES (%(account)s, {kind}, {reservation}, {delta}{values and ', '}{values})"
    )


_FILLED = (
    "seq",
    "hold",
    "balance_before",
    "balance_after",
    "reserved_before",
    "reserved_delta",
    "reserved_after",
    "issued_delta",
    "charged_delta",
)

ENTRY_INSERTS = [
    *_each(
        "credits_entry_fill",
        *(_entry("'grant'", delta="5", more=name, values="1") for name in _FILLED),
        _entry("'release'", "held", more="reserved_delta, hold", values="-1, 1"),
    ),
    *_each(
        "credits_entry_kind_moves_its_books",
        _entry("'grant'", delta="0"),
        _entry("'grant'", delta="-5"),
        _entry("'grant'", "held", delta="5"),
        _entry("'gift'", delta="5"),
        _entry("'GRANT'", delta="5"),
        _entry("'reserve'"),
        _entry("'commit'", delta="-5"),
        _entry("'release'"),
        _entry("'expire'"),
        _entry("'commit'", "held", delta="50"),
        _entry("'release'", "held", delta="-5"),
        _entry("'release'", "held", delta="5"),
        _entry("'expire'", "overdue", delta="5"),
        _entry("'reserve'", "held", delta="5"),
        _entry("'charge'", "held", delta="-5"),
    ),
    *_each(
        "credits_entry_amount_in_range",
        _entry("'grant'", delta="1000000000001"),
        _entry("'grant'", delta="9000000000000000000"),
    ),
    *_each("23502", _entry("'grant'", delta="NULL"), _entry("NULL", delta="5")),
    *_each("22003", _entry("'grant'", delta="9223372036854775807")),
    *_each("credits_entry_open_is_first", _entry("'open'")),
    *_each("428C9", _entry("'grant'", delta="5", more="previous_seq", values="0")),
    *_each("credits_entry_each_kind_once", _entry("'reserve'", "held")),
    *_each(
        "credits_entry_within_bounds",
        _entry("'commit'", "held", delta="-1000"),
        _entry("'commit'", "held", delta="-826"),
    ),
    # Neither with a clock of the writer's own.
    *_each(
        "credits_entry_commit_in_time",
        _entry("'commit'", "overdue", delta="-1"),
        _entry("'commit'", "overdue", "-1", "created_at", "now() - interval '1 day'"),
        _entry("'commit'", "overdue", "-1", "created_at", "'-infinity'"),
    ),
    *_each(
        "credits_entry_expire_when_due",
        _entry("'expire'", "held"),
        _entry("'expire'", "held", "0", "created_at", "now() + interval '1 day'"),
        _entry("'expire'", "held", "0", "created_at", "'infinity'"),
    ),
    *_each(
        "credits_reservation_resolves_once",
        *(
            _entry(kind, hold, delta=delta)
            for hold in ("committed", "released", "expired")
            for kind, delta in (("'commit'", "-1"), ("'release'", "0"), ("'expire'", "0"))
        ),
    ),
    *_each(
        "credits_entry_hold_exists",
        _entry("'release'", "foreign"),
        _entry("'commit'", "foreign", delta="-1"),
        _entry("'release'", "new"),
    ),
    *_each(
        "credits_entry_account_exists",
        _entry("'grant'", delta="5").replace("%(account)s", "%(new)s"),
        _entry("'open'").replace("%(account)s", "%(new)s"),
        _entry("'grant'", delta="5").replace("%(account)s", "NULL"),
    ),
    # Two entries in one statement see the same last entry.
    *_each(
        "credits_entry_seq_once",
        _entry("'grant'", delta="5") + ", (%(account)s, 'grant', NULL, 6)",
        _entry("'release'", "held") + ", (%(account)s, 'release', %(held2)s, 0)",
        "INSERT INTO credits_entry (account_id, kind, balance_delta)"
        " SELECT %(account)s, 'grant', 5 FROM generate_series(1, 3)",
    ),
    Attack(
        "credits_entry_seq_once",
        (
            "INSERT INTO credits_account (id, organization_id) VALUES (%(new)s, %(none)s)",
            "INSERT INTO credits_entry (account_id, kind) VALUES (%(new)s, 'open')",
        ),
    ),
    Attack(
        "credits_entry_grant_reference_once",
        (
            _entry("'grant'", delta="5", more="reference", values="'again'"),
            _entry("'grant'", delta="5", more="reference", values="'again'"),
        ),
    ),
    Attack(
        "credits_reservation_resolves_once",
        (_entry("'release'", "held"), _entry("'commit'", "held", delta="-1")),
    ),
    Attack(
        "credits_entry_within_bounds",
        (_entry("'commit'", "held", delta="-825"), _hold("1")),
    ),
]

_SHADOW = (
    "CREATE TEMP TABLE credits_account (LIKE public.credits_account) ON COMMIT DROP",
    "INSERT INTO pg_temp.credits_account (id, organization_id, balance, reserved, issued, charged,"
    " last_seq, created_at) SELECT id, organization_id, 1000000, 0, 1000000, 0, 1, now()"
    " FROM public.credits_account",
)

CALLS = [
    *_calls(
        "credits_entry_kind_moves_its_books",
        "SELECT credits_grant(%(a)s, 0, 'r', 'x')",
        "SELECT credits_grant(%(a)s, -5, 'r', 'x')",
        "SELECT credits_commit_reservation(%(a)s, %(held)s, -5, NULL, %(new)s)",
    ),
    *_calls("credits_entry_amount_in_range", "SELECT credits_grant(%(a)s, 1000000000001, '', 'x')"),
    *_calls(
        "credits_reservation_amount_in_range",
        "SELECT credits_reserve(%(new)s, %(a)s, 0, 'b', 'b', '', 60, '')",
        "SELECT credits_reserve(%(new)s, %(a)s, -5, 'b', 'b', '', 60, '')",
    ),
    *_calls(
        "credits_insufficient",
        "SELECT credits_reserve(%(new)s, %(a)s, 806, 'b', 'b', '', 60, '')",
        "SELECT credits_reserve(%(new)s, %(a)s, 9223372036854775807, 'b', 'b', '', 60, '')",
        "SELECT credits_commit_reservation(%(a)s, %(held)s, 906, NULL, %(new)s)",
    ),
    *_calls(
        "23502",
        "SELECT credits_reserve(%(new)s, %(a)s, NULL, 'b', 'b', '', 60, '')",
        "SELECT credits_reserve(NULL, %(a)s, 5, 'b', 'b', '', 60, '')",
        "SELECT credits_grant(%(a)s, NULL, '', 'x')",
    ),
    *_calls(
        "credits_reservation_expires_later",
        "SELECT credits_reserve(%(new)s, %(a)s, 5, 'b', 'b', '', -60, '')",
    ),
    *_calls("22008", "SELECT credits_reserve(%(new)s, %(a)s, 5, 'b', 'b', '', 'NaN', '')"),
    *_calls(
        "credits_reservation_pkey",
        "SELECT credits_reserve(%(held)s, %(a)s, 5, 'b', 'b', '', 60, '')",
    ),
    *_calls(
        "credits_reference_reused",
        "SELECT credits_reserve(%(new)s, %(a)s, 5, 'b', 'b', '', 60, 'taken')",
    ),
    *_calls(
        "credits_account_not_found",
        "SELECT credits_grant(%(none)s, 5, '', 'x')",
        "SELECT credits_grant(NULL, 5, '', 'x')",
    ),
    *_calls(
        "credits_reservation_not_found",
        "SELECT credits_commit_reservation(%(b)s, %(held)s, 5, NULL, %(new)s)",
        "SELECT credits_release_reservation(%(b)s, %(held)s, 'x')",
        "SELECT credits_release_reservation(%(a)s, NULL, 'x')",
        "SELECT credits_extend_reservation(%(new)s, 60)",
    ),
    *_calls(
        "credits_reservation_already_expired",
        "SELECT credits_release_reservation(%(a)s, %(overdue)s, 'x')",
        "SELECT credits_extend_reservation(%(overdue)s, 60)",
        "SELECT credits_commit_reservation(%(a)s, %(expired)s, 806, NULL, %(new)s)",
    ),
    *_calls(
        "credits_reservation_already_released",
        "SELECT credits_commit_reservation(%(a)s, %(released)s, 1, NULL, %(new)s)",
    ),
    *_calls(
        "credits_reservation_already_committed",
        "SELECT credits_release_reservation(%(a)s, %(committed)s, 'x')",
        "SELECT credits_commit_reservation(%(a)s, %(committed)s, 21, NULL, %(new)s)",
    ),
    # A temporary table of the same name must not stand in for the real one.
    Attack(
        "credits_insufficient",
        (*_SHADOW, "SELECT credits_reserve(%(new)s, %(a)s, 100000, 'b', 'b', '', 60, '')"),
        is_call=True,
    ),
]

ATTACKS = [
    *ACCOUNT_INSERTS,
    *ACCOUNT_UPDATES,
    *REMOVALS,
    *RESERVATION_INSERTS,
    *RESERVATION_UPDATES,
    *ENTRY_INSERTS,
    *CALLS,
]

# What only a role without rights can be refused.
BY_APPLICATION_ROLE = (
    "SET session_replication_role = replica",
    "SET ROLE flagship_owner",
    "ALTER TABLE credits_entry DISABLE TRIGGER ALL",
    "ALTER TABLE credits_account DISABLE TRIGGER credits_account_moves_with_entry",
    "ALTER TABLE credits_account DROP CONSTRAINT credits_account_last_entry",
    "ALTER TABLE credits_account ADD COLUMN extra int",
    "DROP TRIGGER credits_entry_append_only ON credits_entry",
    "DROP FUNCTION credits_append_only() CASCADE",
    "DROP TABLE credits_entry CASCADE",
    "CREATE OR REPLACE FUNCTION credits_append_only() RETURNS trigger LANGUAGE plpgsql"
    " AS $$ BEGIN RETURN NEW; END $$",
    "ALTER FUNCTION credits_append_only() SECURITY INVOKER",
    "CREATE FUNCTION public.credits_free_for_all() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE TABLE public.credits_shadow (id int)",
    "CREATE TRIGGER aaa BEFORE INSERT ON credits_entry FOR EACH ROW"
    " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE RULE quiet AS ON INSERT TO credits_entry DO INSTEAD NOTHING",
    "CREATE INDEX ON credits_entry (reason)",
    "LOCK TABLE credits_account IN ACCESS EXCLUSIVE MODE",
    "SELECT * FROM credits_account FOR UPDATE",
    "SELECT credits_lock_account(%(a)s)",
    "SELECT credits_expire_overdue(%(account)s, 0, now())",
    "COPY credits_entry FROM '/dev/null'",
    "TRUNCATE credits_package",
)
