"""Attacks on lots, draws, statements and freezes."""

from __future__ import annotations

from tests.integration.credits.attacks.shape import Attack, each

_LOT = "UPDATE credits_lot SET {0} WHERE account_id = %(account)s"
_NEW_LOT = (
    "INSERT INTO credits_lot (account_id, seq, amount, priority, created_at{0})"
    " SELECT account_id, {1}, {2}, 100, created_at{3} FROM credits_entry"
    " WHERE account_id = %(account)s AND seq = 1"
)
_DRAW = "INSERT INTO credits_draw (account_id, seq, lot_seq, amount) VALUES (%(account)s, {0})"
_ENTRY = "INSERT INTO credits_entry (account_id, kind, original_seq, balance_delta) VALUES ({0})"


def lot(names: str = "", values: str = "", seq: str = "seq", amount: str = "1000") -> str:
    return _NEW_LOT.format(names and f", {names}", seq, amount, values and f", {values}")


def about(kind: str, original: str, delta: str, account: str = "%(account)s") -> str:
    return _ENTRY.format(f"{account}, '{kind}', {original}, {delta}")


def grant(name: str, value: str) -> str:
    return (
        f"INSERT INTO credits_entry (account_id, kind, balance_delta, {name})"
        f" VALUES (%(account)s, 'grant', 5, {value})"
    )


LOTS = [
    *each(
        "credits_lot_identity_fixed",
        _LOT.format("amount = 2000"),
        _LOT.format("priority = 0"),
        _LOT.format("lapses_at = now() - interval '1 day'"),
        _LOT.format("seq = seq + 1"),
        _LOT.format("account_id = %(other)s"),
        _LOT.format("created_at = now()"),
    ),
    *each(
        "credits_lot_moves_with_draw",
        _LOT.format("remaining = 0"),
        _LOT.format("remaining = amount"),
        _LOT.format("remaining = remaining - 1, draws = draws + 1"),
        _LOT.format("draws = draws + 1"),
        _LOT.format("draws = draws - 1, remaining = amount"),
        _LOT.format("remaining = NULL"),
        _LOT.format("remaining = -5"),
        _LOT.format("remaining = remaining"),
        "UPDATE credits_lot SET remaining = 0, draws = 0",
    ),
    *each(
        "credits_lot_starts_empty",
        lot("remaining", "1000"),
        lot("draws", "1"),
        lot("remaining", "NULL"),
    ),
    *each(
        "credits_lot_has_its_grants_terms",
        lot(seq="0"),
        lot(seq="%(charge)s"),
        lot(seq="99"),
        lot(amount="5"),
        lot("lapses_at", "now() + interval '1 day'"),
    ),
    *each("credits_lot_of_its_grant", lot()),
    *each(
        "credits_lot_append_only",
        "DELETE FROM credits_lot",
        "DELETE FROM credits_lot WHERE false",
        "TRUNCATE credits_lot CASCADE",
    ),
    *each(
        "credits_draw_within_entry",
        _DRAW.format("1, 1, 5"),
        _DRAW.format("1, 1, -5"),
        _DRAW.format("%(charge)s, 1, -1"),
        _DRAW.format("2, 1, -5"),
        _DRAW.format("99, 1, -5"),
        _DRAW.format("1, 1, 0"),
        _DRAW.format("1, 1, NULL"),
        _DRAW.format("NULL, 1, -5"),
    ),
    *each(
        "credits_draw_fill",
        "INSERT INTO credits_draw (account_id, seq, lot_seq, number, amount, remaining_after)"
        " VALUES (%(account)s, 2, 1, 3, -5, 975)",
    ),
    *each(
        "credits_draw_append_only",
        "UPDATE credits_draw SET amount = -1",
        "UPDATE credits_draw SET remaining_after = 0 WHERE false",
        "DELETE FROM credits_draw",
        "TRUNCATE credits_draw",
    ),
]

LOT_ENTRIES = [
    *each(
        "credits_entry_lapse_when_due",
        about("lapse", "1", "-5"),
        about("lapse", "1", "-980"),
    ),
    *each(
        "credits_entry_original_fits",
        about("lapse", "99", "-5"),
        about("lapse", "%(charge)s", "-5"),
        about("lapse", "2", "-5"),
        about("reversal", "0", "-5"),
        about("reversal", "2", "5"),
        about("reversal", "99", "5"),
        about("grant", "1", "5"),
        about("lapse", "%(overdue_grant)s", "-5"),
    ),
    *each("credits_entry_original_named", about("lapse", "NULL", "-5")),
    *each(
        "credits_entry_kind_moves_its_books",
        about("reversal", "NULL", "5"),
        about("reversal", "NULL", "-5"),
        about("lapse", "%(overdue_grant)s", "5", "%(other)s"),
        about("lapse", "%(overdue_grant)s", "0", "%(other)s"),
    ),
    *each(
        "credits_entry_reversal_undoes",
        about("reversal", "1", "5"),
        about("reversal", "%(charge)s", "-5"),
        about("reversal", "%(charge)s", "0"),
        about("reversal", "1", "NULL"),
    ),
    *each(
        "credits_reversal_within_original",
        about("reversal", "1", "-1001"),
        about("reversal", "%(charge)s", "21"),
    ),
    *each("credits_entry_within_bounds", about("reversal", "1", "-980")),
    *each("credits_entry_spends_lots", about("lapse", "%(overdue_grant)s", "-41", "%(other)s")),
    # Two halves that are each within the original, and together more.
    Attack(
        "credits_reversal_within_original",
        (about("reversal", "%(charge)s", "11"), about("reversal", "%(charge)s", "10")),
    ),
    *each(
        "credits_entry_grant_has_terms",
        grant("priority", "-1"),
        grant("priority", "1001"),
        grant("lapses_at", "now() - interval '1 second'"),
        grant("lapses_at", "'-infinity'"),
        "INSERT INTO credits_entry (account_id, kind, reservation_id, priority)"
        " VALUES (%(account)s, 'release', %(held)s, 5)",
        "INSERT INTO credits_entry (account_id, kind, reservation_id, lapses_at)"
        " VALUES (%(account)s, 'release', %(held)s, now())",
    ),
    *each("credits_entry_fill", grant("lapsed_delta", "0"), grant("lapsed_delta", "5")),
    *each(
        "credits_account_frozen",
        "INSERT INTO credits_entry (account_id, kind, reservation_id, balance_delta)"
        " VALUES (%(other)s, 'commit', %(foreign)s, -5)",
    ),
    *each(
        "credits_reservation_life_bounded",
        "UPDATE credits_reservation SET expires_at = 'infinity' WHERE id = %(held)s",
        "UPDATE credits_reservation SET expires_at = now() + interval '8 days' WHERE id = %(held)s",
    ),
]

_STATEMENT = (
    "INSERT INTO credits_statement (day, accounts, entries, balance, reserved, issued, charged,"
    " lapsed, drifting, digest{0}) VALUES ({1}, 0, 0, {2}, 0, 0, 0, 0, 0, 'd'{3})"
)

PROOFS = [
    *each(
        "credits_statement_follows",
        _STATEMENT.format(", hash", "current_date", "0", ", 'h'"),
        _STATEMENT.format(", number", "current_date", "0", ", 7"),
        _STATEMENT.format(", previous_hash", "current_date", "0", ", ''"),
    ),
    *each(
        "credits_statement_days_follow",
        _STATEMENT.format("", "current_date - 1", "0", ""),
        _STATEMENT.format("", "current_date - 300", "0", ""),
    ),
    *each("credits_statement_books_cancel", _STATEMENT.format("", "current_date", "5", "")),
    *each(
        "credits_statement_append_only",
        "UPDATE credits_statement SET balance = 5",
        "UPDATE credits_statement SET hash = 'h' WHERE false",
        "DELETE FROM credits_statement",
        "TRUNCATE credits_statement",
    ),
    *each(
        "credits_freeze_lifts_once",
        "UPDATE credits_freeze SET findings = '[]'",
        "UPDATE credits_freeze SET frozen_at = now()",
        "UPDATE credits_freeze SET account_id = %(account)s",
        "UPDATE credits_freeze SET lifted_by = 'x'",
    ),
    *each(
        "credits_freeze_lifted_by_somebody",
        "UPDATE credits_freeze SET lifted_at = now()",
        "UPDATE credits_freeze SET lifted_at = now(), lifted_by = 'x'",
    ),
    *each(
        "credits_freeze_one_open",
        "INSERT INTO credits_freeze (account_id, findings) VALUES (%(other)s, '[]')",
    ),
    *each(
        "credits_freeze_append_only",
        "DELETE FROM credits_freeze",
        "TRUNCATE credits_freeze",
    ),
]
