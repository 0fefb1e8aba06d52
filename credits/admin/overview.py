"""Credits on the overview: what is held, whether it adds up (C-06, C-07)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db.models import Sum
from django.urls import reverse

from credits.admin.reconciliation import Report, read_report
from credits.models import Account, Reservation
from credits.states import ReservationState
from jobs.admin.display import count
from jobs.admin.panels import Alarm, Panel, Reading, register

COUNTED: Final = 10_000
OVERDUE: Final = timedelta(minutes=2)
"""The sweep expires holds each ten seconds: one that is this late waits for nobody."""


def read() -> Reading:
    """Read the panel."""
    report, now = read_report(), datetime.now(UTC)
    held = Reservation.objects.filter(state=ReservationState.HELD).order_by()
    holds = held[:COUNTED].count()
    overdue = held.filter(expires_at__lt=now - OVERDUE)[:COUNTED].count()
    sums: dict[str, Any] = Account.objects.aggregate(
        balance=Sum("balance", default=0), reserved=Sum("reserved", default=0)
    )
    shown = {
        "available": f"{sums['balance'] - sums['reserved']:,}",
        "held": f"{sums['reserved']:,}",
        "holds": count(holds, is_exact=holds < COUNTED),
        "overdue": overdue,
        "latest": report.latest,
        "frozen": report.frozen,
    }
    return Reading(shown, _alarms(report, overdue, now))


def _alarms(report: Report, overdue: int, now: datetime) -> list[Alarm]:
    """Say what does not add up, and what nobody has looked at."""
    statements = reverse("admin:credits_statement_changelist")
    holds = f"{reverse('admin:credits_reservation_changelist')}?state=held"
    found = []
    if report.frozen:
        freezes = f"{reverse('admin:credits_freeze_changelist')}?lifted_at__isempty=1"
        found.append(Alarm(f"Accounts frozen because they drift: {report.frozen}", freezes))
    if report.latest is not None and not report.latest.holds:
        found.append(Alarm("The latest pass of the reconciler found drift", statements))
    if report.is_late(now):
        found.append(Alarm("Credits have not been proven for hours", statements, "warning"))
    if overdue:
        found.append(Alarm(f"The sweep is late: holds overdue: {overdue:,}", holds, "warning"))
    return found


register(
    Panel(
        name="credits",
        title="Credits",
        icon="account_balance_wallet",
        model="credits.account",
        template="admin/overview/credits.html",
        read=read,
        place=60,
    )
)
