"""What an organization has now: its funds, entries and holds."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import BigIntegerField, DateTimeField, Func, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from credits.errors import AccountNotFound
from credits.models import Account, Entry, Lot, Reservation
from credits.states import ReservationState


@dataclass(frozen=True, slots=True)
class Funds:
    """What an account has now: `available = balance - reserved`. Units: whole credits."""

    balance: int
    reserved: int
    available: int


class ClockTimestamp(Func):
    """The database's clock now, not at the transaction's start."""

    function = "clock_timestamp"
    output_field = DateTimeField()


def get_funds(*, organization_id: uuid.UUID) -> Funds:
    """Return what the organization has; what is overdue counts as free, or gone, already.

    A hold past its expiry is free. What a grant past its time has left is gone, except the part
    that holds still need.

    Raises: AccountNotFound.
    Source: C-02.
    """
    holds = Reservation.objects.filter(
        account=OuterRef("id"), state=ReservationState.HELD, expires_at__lte=ClockTimestamp()
    )
    lots = Lot.objects.filter(
        account=OuterRef("id"), remaining__gt=0, lapses_at__lte=ClockTimestamp()
    )
    row = (
        Account.objects.for_organization(organization_id)
        .values_list(
            "balance",
            "reserved",
            _total(holds, "amount"),
            _total(lots, "remaining"),
        )
        .first()
    )
    if row is None:
        raise AccountNotFound
    balance, reserved, freed, overdue = row
    free = balance - reserved + freed
    lapsed = min(free, overdue)
    return Funds(balance - lapsed, reserved - freed, free - lapsed)


def _total(rows: QuerySet[Any], column: str) -> Coalesce:
    """Sum a column of the account's rows, as a part of a larger query; 0 where there are none."""
    total = rows.order_by().values("account").annotate(total=Sum(column)).values("total")
    return Coalesce(Subquery(total, output_field=BigIntegerField()), 0)


def list_entries(*, organization_id: uuid.UUID, kind: str = "") -> QuerySet[Entry]:
    """Return the organization's entries, newest first, all or those of one kind.

    Ids of an account's entries grow with seq: both are taken under the account's lock.

    Raises: AccountNotFound.
    """
    accounts = Account.objects.for_organization(organization_id)
    account_id = accounts.values_list("id", flat=True).first()
    if account_id is None:
        raise AccountNotFound
    mine = Entry.objects.for_organization(organization_id)
    entries = mine.filter(account_id=account_id).order_by("-id")
    return entries.filter(kind=kind) if kind else entries


def get_reservation(*, organization_id: uuid.UUID, reservation_id: uuid.UUID) -> Reservation | None:
    """Return a reservation of the organization, None where there is none."""
    return Reservation.objects.for_organization(organization_id).filter(id=reservation_id).first()


def list_overdue_reservations(*, limit: int) -> list[tuple[uuid.UUID, datetime]]:
    """Return ids and expiry of holds past it, oldest first, without locking anything.

    Source: reliability-security 3.5: choose without a lock, settle one by one.
    """
    return list(
        Reservation.objects.filter(state=ReservationState.HELD, expires_at__lte=ClockTimestamp())
        .order_by("expires_at", "id")
        .values_list("id", "expires_at")[:limit]
    )
