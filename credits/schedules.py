"""What the ledger does by the clock."""

from __future__ import annotations

from credits.payloads import ExpireReservations
from jobs.registry import schedule

schedule("credits.expire-reservations", ExpireReservations(), every_s=10)
