"""What the ledger does by the clock."""

from __future__ import annotations

from credits.payloads import ExpireReservations, LapseGrants, ReconcileCredits
from jobs.registry import schedule

schedule("credits.expire-reservations", ExpireReservations(), every_s=10)
schedule("credits.lapse-grants", LapseGrants(), every_s=60)
# The first run of a day writes the statement of the day before.
schedule("credits.reconcile", ReconcileCredits(), cron="12 * * * *")
