"""Sweep holds that ran out."""

from __future__ import annotations

import logging
import uuid

from django.db import DatabaseError, transaction

from credits.selectors import list_overdue_reservations
from credits.services.ledger import call_ledger, record_expired

logger = logging.getLogger("credits")


def expire_reservations(*, limit: int = 1000) -> int:
    """Expire up to `limit` overdue holds, oldest first; return how many were.

    Each in a short transaction of its own, account first, so that neither a deadlock nor a row
    that cannot be settled stops the others. A busy account is passed over: whoever holds it
    expires its overdue holds itself.

    Source: C-02; reliability-security 3.5.
    """
    expired = 0
    for reservation_id, _ in list_overdue_reservations(limit=limit):
        try:
            expired += _expire_reservation(reservation_id)
        except DatabaseError:
            logger.exception("reservation.expiry_failed reservation=%s", reservation_id)
    return expired


def _expire_reservation(reservation_id: uuid.UUID) -> bool:
    with transaction.atomic(durable=True):
        row = call_ledger("credits_expire_reservation", reservation_id)
        if row["is_expired"]:
            record_expired(organization_id=row["organization_id"], reservation_ids=[reservation_id])
    return bool(row["is_expired"])
