"""Let grants lapse that nobody used in time."""

from __future__ import annotations

import logging
import uuid

from django.db import DatabaseError, transaction

from credits.selectors import list_accounts_with_overdue_lots
from credits.services.ledger import call_ledger, record_lapsed

logger = logging.getLogger("credits")


def lapse_grants(*, limit: int = 1000) -> int:
    """Let the overdue grants of up to `limit` accounts lapse; return how many entries that took.

    Each account in a short transaction of its own. One in use is passed over: whoever holds it
    lets its grants lapse itself. What live holds need stays until they are resolved.

    Source: feature-anchors D (expiry as a ledger movement); docs/adr/0012-lots.md.
    """
    lapsed = 0
    for account_id in list_accounts_with_overdue_lots(limit=limit):
        try:
            lapsed += _lapse(account_id)
        except DatabaseError:
            logger.exception("grant.lapse_failed account=%s", account_id)
    return lapsed


def _lapse(account_id: uuid.UUID) -> int:
    with transaction.atomic(durable=True):
        row = call_ledger("credits_lapse", account_id)
        record_lapsed(organization_id=row["organization_id"], entry_seqs=row["lapsed"])
    return len(row["lapsed"])
