"""Calls of the ledger's functions, and what only a role without rights is refused."""

from __future__ import annotations

from tests.integration.credits.attacks.shape import Attack, calls

_SHADOW = (
    "CREATE TEMP TABLE credits_account (LIKE public.credits_account) ON COMMIT DROP",
    "INSERT INTO pg_temp.credits_account (id, organization_id, balance, reserved, issued, charged,"
    " lapsed, last_seq, created_at)"
    " SELECT id, organization_id, 1000000, 0, 1000000, 0, 0, 1, now()"
    " FROM public.credits_account",
)

CALLS = [
    *calls(
        "credits_entry_kind_moves_its_books",
        "SELECT credits_grant(%(a)s, 0, 'r', 'x', 100, NULL)",
        "SELECT credits_grant(%(a)s, -5, 'r', 'x', 100, NULL)",
        "SELECT credits_commit_reservation(%(a)s, %(held)s, -5, NULL, %(new)s)",
    ),
    *calls(
        "credits_entry_amount_in_range",
        "SELECT credits_grant(%(a)s, 1000000000001, '', 'x', 100, NULL)",
    ),
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
        "SELECT credits_grant(%(a)s, NULL, '', 'x', 100, NULL)",
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
        "SELECT credits_grant(%(none)s, 5, '', 'x', 100, NULL)",
        "SELECT credits_grant(NULL, 5, '', 'x', 100, NULL)",
    ),
    *calls(
        "credits_reservation_not_found",
        "SELECT credits_commit_reservation(%(b)s, %(held)s, 5, NULL, %(new)s)",
        "SELECT credits_release_reservation(%(b)s, %(held)s, 'x')",
        "SELECT credits_release_reservation(%(a)s, NULL, 'x')",
        "SELECT credits_extend_reservation(%(new)s, 60, 7200)",
    ),
    *calls(
        "credits_reservation_already_expired",
        "SELECT credits_release_reservation(%(a)s, %(overdue)s, 'x')",
        "SELECT credits_extend_reservation(%(overdue)s, 60, 7200)",
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
    *calls("credits_reservation_ceiling", "SELECT credits_extend_reservation(%(held)s, 7200, 60)"),
    *calls(
        "credits_reservation_life_bounded",
        "SELECT credits_extend_reservation(%(held)s, 864000, 8640000)",
        "SELECT credits_reserve(%(new)s, %(a)s, 5, 'b', 'b', '', 604801, '')",
    ),
    *calls(
        "credits_entry_grant_has_terms",
        "SELECT credits_grant(%(a)s, 5, '', 'x', -1, NULL)",
        "SELECT credits_grant(%(a)s, 5, '', 'x', 1001, NULL)",
        "SELECT credits_grant(%(a)s, 5, '', 'x', 100, now() - interval '1 second')",
    ),
    *calls(
        "credits_entry_not_found",
        "SELECT credits_reverse(%(a)s, 99, 5, 'r', 'x')",
        "SELECT credits_reverse(%(a)s, -1, 5, 'r', 'x')",
        "SELECT credits_reverse(%(a)s, NULL, 5, 'r', 'x')",
    ),
    *calls(
        "credits_entry_not_reversible",
        "SELECT credits_reverse(%(a)s, 0, 5, 'r', 'x')",
        "SELECT credits_reverse(%(a)s, 2, 5, 'r', 'x')",
    ),
    *calls(
        "credits_reversal_too_large",
        "SELECT credits_reverse(%(a)s, %(charge)s, 21, 'r', 'x')",
        "SELECT credits_reverse(%(a)s, 1, 1000, 'r', 'x')",
        "SELECT credits_reverse(%(a)s, 1, 9223372036854775807, 'r', 'x')",
    ),
    *calls(
        "credits_entry_reversal_undoes",
        "SELECT credits_reverse(%(a)s, %(charge)s, 0, 'r', 'x')",
        "SELECT credits_reverse(%(a)s, %(charge)s, -5, 'r', 'x')",
    ),
    *calls(
        "credits_account_frozen",
        "SELECT credits_commit_reservation(%(b)s, %(foreign)s, 5, NULL, %(new)s)",
    ),
    *calls("credits_freeze_not_open", "SELECT credits_lift_freeze(0, 'x', 'r')"),
    *calls(
        "credits_freeze_lifted_by_somebody",
        "SELECT credits_lift_freeze(%(freeze)s, '', 'r')",
        "SELECT credits_lift_freeze(%(freeze)s, 'x', '')",
    ),
    *calls("credits_statement_day_is_over", "SELECT credits_write_statement(current_date, 0)"),
    *calls("credits_statement_days_follow", "SELECT credits_write_statement(current_date - 9, 0)"),
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
    "SELECT credits_lapse_overdue(%(other)s, now())",
    "ALTER TABLE credits_lot DISABLE TRIGGER ALL",
    "DROP TRIGGER credits_entry_spends_lots ON credits_entry",
    "LOCK TABLE credits_statement IN SHARE ROW EXCLUSIVE MODE",
    "COPY credits_entry FROM '/dev/null'",
    "TRUNCATE credits_package",
)
