"""Attacks on reservations."""

from __future__ import annotations

from tests.integration.credits.attacks.shape import Attack, each

_HOLD = (
    "INSERT INTO credits_reservation (id, account_id, amount, subject_type, subject_id, expires_at"
    "{0}) VALUES (%(new)s, {2}, {1}, 'build', 'b', now() + interval '1 hour'{3})"
)


def hold(
    amount: str = "10", names: str = "", values: str = "", account: str = "%(account)s"
) -> str:
    return _HOLD.format(names and f", {names}", amount, account, values and f", {values}")


RESERVATION_INSERTS = [
    *each(
        "credits_reservation_starts_held",
        hold(names="state, resolved_at, charged", values="'committed', now(), 10"),
        hold(names="state, resolved_at", values="'released', now()"),
        hold(names="state", values="NULL"),
        hold(names="state", values="'paused'"),
        hold(names="resolved_at", values="now()"),
        hold(names="charged", values="5"),
    ),
    *each("credits_reservation_amount_in_range", hold("0"), hold("-5"), hold("1000000000001")),
    *each("23502", hold("NULL"), hold(account="NULL")),
    *each(
        "credits_entry_within_bounds",
        hold("981"),
        hold("1000000000000"),
        hold("500", account="%(other)s"),
    ),
    *each("credits_entry_account_exists", hold(account="%(new)s")),
    *each("credits_reservation_reference_once", hold(names="reference", values="'taken'")),
    *each(
        "credits_reservation_renews_expired",
        hold(names="renews_id", values="%(held)s"),
        hold(names="renews_id", values="%(committed)s"),
        hold(names="renews_id", values="%(foreign_expired)s"),
        hold(names="renews_id", values="%(new)s"),
    ),
    *each(
        "credits_reservation_expires_later",
        hold().replace("+ interval", "- interval"),
        hold().replace("now() + interval '1 hour'", "'-infinity'"),
    ),
    *each("22007", hold().replace("now() + interval '1 hour'", "'never'")),
    *each("credits_reservation_pkey", hold().replace("%(new)s", "%(held)s")),
]

_R = "UPDATE credits_reservation SET {0} WHERE id = %({1})s"


def _moves(refused_by: str, hold: str, *changes: str) -> list[Attack]:
    return each(refused_by, *(_R.format(change, hold) for change in changes))


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
    *each(
        "credits_reservation_identity_fixed",
        hold().replace("%(new)s", "%(held)s") + " ON CONFLICT (id) DO UPDATE SET amount = 1",
        "MERGE INTO credits_reservation t USING (SELECT 1) s ON t.id = %(held)s"
        " WHEN MATCHED THEN UPDATE SET amount = 1",
    ),
]
