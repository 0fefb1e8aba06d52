"""Attacks on entries."""

from __future__ import annotations

from tests.integration.credits.attacks.reservations import hold
from tests.integration.credits.attacks.shape import Attack, each


def entry(kind: str, hold: str = "", delta: str = "0", more: str = "", values: str = "") -> str:
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
    *each(
        "credits_entry_fill",
        *(entry("'grant'", delta="5", more=name, values="1") for name in _FILLED),
        entry("'release'", "held", more="reserved_delta, hold", values="-1, 1"),
    ),
    *each(
        "credits_entry_kind_moves_its_books",
        entry("'grant'", delta="0"),
        entry("'grant'", delta="-5"),
        entry("'grant'", "held", delta="5"),
        entry("'gift'", delta="5"),
        entry("'GRANT'", delta="5"),
        entry("'reserve'"),
        entry("'commit'", delta="-5"),
        entry("'release'"),
        entry("'expire'"),
        entry("'commit'", "held", delta="50"),
        entry("'release'", "held", delta="-5"),
        entry("'release'", "held", delta="5"),
        entry("'expire'", "overdue", delta="5"),
        entry("'reserve'", "held", delta="5"),
        entry("'charge'", "held", delta="-5"),
    ),
    *each(
        "credits_entry_amount_in_range",
        entry("'grant'", delta="1000000000001"),
        entry("'grant'", delta="9000000000000000000"),
    ),
    *each("23502", entry("'grant'", delta="NULL"), entry("NULL", delta="5")),
    *each("22003", entry("'grant'", delta="9223372036854775807")),
    *each("credits_entry_open_is_first", entry("'open'")),
    *each("428C9", entry("'grant'", delta="5", more="previous_seq", values="0")),
    *each("credits_entry_each_kind_once", entry("'reserve'", "held")),
    *each(
        "credits_entry_within_bounds",
        entry("'commit'", "held", delta="-1000"),
        entry("'commit'", "held", delta="-826"),
    ),
    # Neither with a clock of the writer's own.
    *each(
        "credits_entry_commit_in_time",
        entry("'commit'", "overdue", delta="-1"),
        entry("'commit'", "overdue", "-1", "created_at", "now() - interval '1 day'"),
        entry("'commit'", "overdue", "-1", "created_at", "'-infinity'"),
    ),
    *each(
        "credits_entry_expire_when_due",
        entry("'expire'", "held"),
        entry("'expire'", "held", "0", "created_at", "now() + interval '1 day'"),
        entry("'expire'", "held", "0", "created_at", "'infinity'"),
    ),
    *each(
        "credits_reservation_resolves_once",
        *(
            entry(kind, hold, delta=delta)
            for hold in ("committed", "released", "expired")
            for kind, delta in (("'commit'", "-1"), ("'release'", "0"), ("'expire'", "0"))
        ),
    ),
    *each(
        "credits_entry_hold_exists",
        entry("'release'", "foreign"),
        entry("'commit'", "foreign", delta="-1"),
        entry("'release'", "new"),
    ),
    *each(
        "credits_entry_account_exists",
        entry("'grant'", delta="5").replace("%(account)s", "%(new)s"),
        entry("'open'").replace("%(account)s", "%(new)s"),
        entry("'grant'", delta="5").replace("%(account)s", "NULL"),
    ),
    # Two entries in one statement see the same last entry.
    *each(
        "credits_entry_seq_once",
        entry("'grant'", delta="5") + ", (%(account)s, 'grant', NULL, 6)",
        entry("'release'", "held") + ", (%(account)s, 'release', %(held2)s, 0)",
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
            entry("'grant'", delta="5", more="reference", values="'again'"),
            entry("'grant'", delta="5", more="reference", values="'again'"),
        ),
    ),
    Attack(
        "credits_reservation_resolves_once",
        (entry("'release'", "held"), entry("'commit'", "held", delta="-1")),
    ),
    Attack(
        "credits_entry_within_bounds",
        (entry("'commit'", "held", delta="-825"), hold("1")),
    ),
]
