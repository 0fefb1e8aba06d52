"""What the ledger counts."""

from __future__ import annotations

from prometheus_client import Counter

LATE_COMMITS = Counter(
    "flagship_credits_late_commits_total",
    "Commits that came after their reservation expired: renewed, or refused and work unpaid.",
    ["outcome"],
)
EXPIRED_RESERVATIONS = Counter(
    "flagship_credits_expired_reservations_total", "Reservations that ran out unresolved."
)
