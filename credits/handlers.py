"""Work of the ledger that runs by itself."""

from __future__ import annotations

from typing import Any

from credits.payloads import ExpireReservations
from credits.services import expire_reservations
from jobs.context import JobContext
from jobs.queues import MAINTENANCE
from jobs.registry import handler


@handler(ExpireReservations, queue=MAINTENANCE, timeout_s=60)
def sweep_expired_reservations(payload: ExpireReservations, context: JobContext) -> dict[str, Any]:
    """Expire overdue holds."""
    return {"expired": expire_reservations(limit=payload.limit)}
