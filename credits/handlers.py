"""Work of the ledger that runs by itself."""

from __future__ import annotations

from typing import Any

from credits.payloads import ExpireReservations, LapseGrants, ReconcileCredits
from credits.services import expire_reservations, lapse_grants, reconcile
from jobs.context import JobContext
from jobs.queues import MAINTENANCE
from jobs.registry import handler


@handler(ExpireReservations, queue=MAINTENANCE, timeout_s=60)
def sweep_expired_reservations(payload: ExpireReservations, context: JobContext) -> dict[str, Any]:
    """Expire overdue holds."""
    return {"expired": expire_reservations(limit=payload.limit)}


@handler(LapseGrants, queue=MAINTENANCE, timeout_s=60)
def sweep_lapsed_grants(payload: LapseGrants, context: JobContext) -> dict[str, Any]:
    """Let overdue grants lapse."""
    return {"lapsed": lapse_grants(limit=payload.limit)}


@handler(ReconcileCredits, queue=MAINTENANCE, timeout_s=3600)
def prove_credits(payload: ReconcileCredits, context: JobContext) -> dict[str, Any]:
    """Prove every account; what it finds is in the log, the metrics and the console."""
    return reconcile(between=context.check).to_json()
