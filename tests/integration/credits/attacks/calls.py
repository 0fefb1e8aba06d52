"""Calls of the ledger's functions, and what only a role without rights is refused."""

from __future__ import annotations

from tests.integration.credits.attacks.shape import Attack, calls

_SHADOW = (
    "CREATE TEMP TABLE credits_account (LIKE public.credits_account) ON COMMIT DROP",
    "INSERT INTO pg_temp.credits_account (id, organization_id, balance, reserved, issued, charged,"
    " last_seq, created_at) SELECT id, organization_id, 1000000, 0, 1000000, 0, 1, now()"
    " FROM public.credits_account",
)

CALLS = [
    *calls(
        "credits_entry_kind_moves_its_books",
        "SELECT credits_grant(%(a)s, 0, 'r', 'x')",
        "SELECT credits_grant(%(a)s, -5, 'r', 'x')",
        "SELECT credits_commit_reservation(%(a)s, %(held)s, -5, NULL, %(new)s)",
    ),
    *calls("credits_entry_amount_in_range", "SELECT credits_grant(%(a)s, 1000000000001, '', 'x')"),
    *calls(
        "credits_reservation_amount_in_range",
        "SELECT credits_reserve(%(new)s, %(a)s, 0, 'b', 'b', '', 60, '')",
        "SELECT credits_reserve(%(new)s, %(a)s, -5, 'b', 'b', '', 60, '')",
    ),
    *calls(
        "credits_insufficient",
        "SELECT credits_reserve(%(new)s, %(a)s, 806, 'b', 'b', '', 60, '')",
        "SELECT credits_reserve(%(new)s, %(a)s, 9223372036854775807, 'b', 'b', '', 60, '')",
        "SELECT credits_commit_reservation(%(a)s, %(held)s, 906, NULL, %(new)s)",
    ),
    *calls(
        "23502",
        "SELECT credits_reserve(%(new)s, %(a)s, NULL, 'b', 'b', '', 60, '')",
        "SELECT credits_reserve(NULL, %(a)s, 5, 'b', 'b', '', 60, '')",
        "SELECT credits_grant(%(a)s, NULL, '', 'x')",
    ),
    *calls(
        "credits_reservation_expires_later",
        "SELECT credits_reserve(%(new)s, %(a)s, 5, 'b', 'b', '', -60, '')",
    ),
    *calls("22008", "SELECT credits_reserve(%(new)s, %(a)s, 5, 'b', 'b', '', 'NaN', '')"),
    *calls(
        "credits_reservation_pkey",
        "SELECT credits_reserve(%(held)s, %(a)s, 5, 'b', 'b', '', 60, '')",
    ),
    *calls(
        "credits_reference_reused",
        "SELECT credits_reserve(%(new)s, %(a)s, 5, 'b', 'b', '', 60, 'taken')",
    ),
    *calls(
        "credits_account_not_found",
        "SELECT credits_grant(%(none)s, 5, '', 'x')",
        "SELECT credits_grant(NULL, 5, '', 'x')",
    ),
    *calls(
        "credits_reservation_not_found",
        "SELECT credits_commit_reservation(%(b)s, %(held)s, 5, NULL, %(new)s)",
        "SELECT credits_release_reservation(%(b)s, %(held)s, 'x')",
        "SELECT credits_release_reservation(%(a)s, NULL, 'x')",
        "SELECT credits_extend_reservation(%(new)s, 60)",
    ),
    *calls(
        "credits_reservation_already_expired",
        "SELECT credits_release_reservation(%(a)s, %(overdue)s, 'x')",
        "SELECT credits_extend_reservation(%(overdue)s, 60)",
        "SELECT credits_commit_reservation(%(a)s, %(expired)s, 806, NULL, %(new)s)",
    ),
    *calls(
        "credits_reservation_already_released",
        "SELECT credits_commit_reservation(%(a)s, %(released)s, 1, NULL, %(new)s)",
    ),
    *calls(
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
