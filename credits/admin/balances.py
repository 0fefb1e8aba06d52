"""How an account's balance went, as a chart (C-07)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from django.utils.safestring import SafeString

from credits.models import Account
from credits.selectors import list_balances
from jobs.admin.charts import Series, steps

RANGES: Final = (1, 7, 30, 90)
DAYS: Final = 30
POINTS: Final = 121
MARKS: Final = 5


def days_of(text: str) -> int:
    """Return the days that were asked for, where they are offered."""
    return int(text) if text.isdecimal() and int(text) in RANGES else DAYS


def balance_chart(account: Account, days: int) -> SafeString:
    """Draw the balance, and what of it was held, over the last days."""
    until = datetime.now(UTC)
    since = until - timedelta(days=days)
    found = list_balances(
        organization_id=account.organization_id, since=since, until=until, points=POINTS
    )
    # Before it was opened, nothing.
    series = (
        Series("balance", "Balance", [point.balance or 0 for point in found]),
        Series("reserved", "Held", [point.reserved or 0 for point in found]),
    )
    label = (
        f"Balance of {account.organization.name} over the last {days} days:"
        f" now {account.balance:,} credits, {account.reserved:,} of them held"
    )
    return steps(series, marks=_marks(since, until, days), label=label)


def _marks(since: datetime, until: datetime, days: int) -> list[str]:
    """Write evenly spaced moments: hours of one day, else days."""
    shape = "%H:%M" if days == 1 else "%b %d"
    moments = (since + (until - since) * number / (MARKS - 1) for number in range(MARKS))
    return [f"{moment:{shape}}" for moment in moments]
