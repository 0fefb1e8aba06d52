"""What the ledger counts."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

LATE_COMMITS = Counter(
    "flagship_credits_late_commits_total",
    "Commits that came after their reservation expired: renewed, or refused and work unpaid.",
    ["outcome"],
)
EXPIRED_RESERVATIONS = Counter(
    "flagship_credits_expired_reservations_total", "Reservations that ran out unresolved."
)
LAPSED_CREDITS = Counter(
    "flagship_credits_lapsed_credits_total", "Granted credits that nobody used in time."
)
DRIFTING_ACCOUNTS = Gauge(
    "flagship_credits_drifting_accounts",
    "Accounts whose rows contradict their entries, at the last full proof: must read 0.",
    multiprocess_mode="mostrecent",
)
BROKEN_STATEMENTS = Gauge(
    "flagship_credits_broken_statements",
    "Daily statements that do not follow from the entries or from each other: must read 0.",
    multiprocess_mode="mostrecent",
)
RECONCILED_AT = Gauge(
    "flagship_credits_reconciled_timestamp_seconds",
    "When the last full proof ended, in seconds since 1970.",
    multiprocess_mode="mostrecent",
)
