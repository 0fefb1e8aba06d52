"""Grants that are due to lapse."""

from __future__ import annotations

import uuid

from django.db.models import F, Min

from credits.models import Lot
from credits.selectors.funds import ClockTimestamp


def list_accounts_with_overdue_lots(*, limit: int) -> list[uuid.UUID]:
    """Return accounts with a grant past its time, most overdue first, without locking anything.

    Those whose whole balance is held are left out: nothing of them can lapse yet.
    """
    due = Lot.objects.filter(
        remaining__gt=0,
        lapses_at__lte=ClockTimestamp(),
        account__balance__gt=F("account__reserved"),
    )
    accounts = due.values("account_id").annotate(first=Min("lapses_at")).order_by("first")
    return [row["account_id"] for row in accounts[:limit]]
