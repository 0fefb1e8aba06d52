"""The ledger as it was: the balance at a time, and every entry for export."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.db import connection

from credits.errors import AccountNotFound
from credits.models import Account, Entry
from jobs.clients.wall import inside
from jobs.ids import public_id
from jobs.selectors.sheets import csv_line

BATCH: Final = 1000
COLUMNS: Final = (
    *("seq", "createdAt", "kind", "balanceDelta", "balanceAfter", "reservedDelta"),
    *("reservedAfter", "issuedDelta", "chargedDelta", "lapsedDelta", "reservationId"),
    *("subjectType", "subjectId", "originalSeq", "priority", "lapsesAt", "reason", "reference"),
)

_BALANCES: Final = """
SELECT moment.at, entry.balance_after, entry.reserved_after
  FROM credits_account AS account
 CROSS JOIN LATERAL (
    SELECT %(since)s::timestamptz + (%(until)s::timestamptz - %(since)s::timestamptz)
           * part / %(parts)s AS at
      FROM generate_series(0, %(parts)s) AS part) AS moment
  LEFT JOIN LATERAL (
    SELECT balance_after, reserved_after FROM credits_entry
     WHERE account_id = account.id AND created_at <= moment.at
     ORDER BY created_at DESC, seq DESC LIMIT 1) AS entry ON true
 WHERE account.organization_id = %(organization_id)s
 ORDER BY moment.at
"""


@dataclass(frozen=True, slots=True)
class BalanceAt:
    """How the ledger stood after entry `seq`, the last one at that time; None before any.

    Units: whole credits.
    """

    seq: int | None
    balance: int
    reserved: int
    available: int


@dataclass(frozen=True, slots=True)
class BalancePoint:
    """What an account had, and what of it was held, at a moment; None before it was opened.

    Units: whole credits.
    """

    at: datetime
    balance: int | None
    reserved: int | None


def list_balances(
    *, organization_id: uuid.UUID, since: datetime, until: datetime, points: int
) -> list[BalancePoint]:
    """Return how the organization's ledger stood at evenly spaced moments, both ends included.

    One look into an index for each of them, however many entries lie between. Empty where there
    is no account.
    """
    asked: dict[str, Any] = {
        "organization_id": organization_id,
        "since": since,
        "until": until,
        "parts": points - 1,
    }
    with connection.cursor() as cursor:
        cursor.execute(_BALANCES, asked)
        return [BalancePoint(*row) for row in cursor.fetchall()]


def get_balance_at(*, organization_id: uuid.UUID, at: datetime) -> BalanceAt:
    """Return how the organization's ledger stood at a time (UTC), as its entries say.

    Unlike `get_funds`, what was overdue then but not yet swept still counts as it was booked.

    Raises: AccountNotFound.
    """
    # By the account as well, whose index has them in this order.
    entries = Entry.objects.for_organization(organization_id).filter(
        account=_account_id(organization_id), created_at__lte=at
    )
    last = entries.order_by("-created_at", "-seq").first()
    if last is None:
        return BalanceAt(None, 0, 0, 0)
    balance, reserved = last.balance_after, last.reserved_after
    return BalanceAt(last.seq, balance, reserved, balance - reserved)


def csv_lines(*, organization_id: uuid.UUID, after_seq: int = -1) -> Iterator[str]:
    """Yield the organization's entries behind `after_seq` as CSV, oldest first, header first.

    Texts that a spreadsheet would take for a formula begin with an apostrophe.

    Raises: AccountNotFound, before anything is yielded.
    """
    account_id = _account_id(organization_id)
    return _csv_lines(organization_id, account_id, after_seq)


def json_lines(*, organization_id: uuid.UUID, after_seq: int = -1) -> Iterator[str]:
    """Yield the organization's entries behind `after_seq` as JSON, one a line, oldest first.

    Raises: AccountNotFound, before anything is yielded.
    """
    account_id = _account_id(organization_id)
    rows = _rows(organization_id, account_id, after_seq)
    return (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _csv_lines(organization_id: uuid.UUID, account_id: uuid.UUID, after_seq: int) -> Iterator[str]:
    yield csv_line(COLUMNS)
    for row in _rows(organization_id, account_id, after_seq):
        yield csv_line(row.values())


def _rows(
    organization_id: uuid.UUID, account_id: uuid.UUID, after_seq: int
) -> Iterator[dict[str, Any]]:
    """Yield rows of the export; the cursor is the entry's number, so nothing shifts meanwhile.

    They are sent behind the request's transaction: each page has one of its own.
    """
    while True:
        with inside(organization_id):
            entries = Entry.objects.for_organization(organization_id).filter(
                account=account_id, seq__gt=after_seq
            )
            page = list(entries.select_related("reservation").order_by("seq")[:BATCH])
        for entry in page:
            yield dict(zip(COLUMNS, _values(entry), strict=True))
        if len(page) < BATCH:
            return
        after_seq = page[-1].seq


def _values(entry: Entry) -> tuple[Any, ...]:
    hold = entry.reservation
    return (
        entry.seq,
        _moment(entry.created_at),
        entry.kind,
        entry.balance_delta,
        entry.balance_after,
        entry.reserved_delta,
        entry.reserved_after,
        entry.issued_delta,
        entry.charged_delta,
        entry.lapsed_delta,
        public_id("res", hold.id) if hold else None,
        hold.subject_type if hold else None,
        hold.subject_id if hold else None,
        entry.original_seq,
        entry.priority,
        _moment(entry.lapses_at) if entry.lapses_at else None,
        entry.reason,
        entry.reference,
    )


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def _account_id(organization_id: uuid.UUID) -> uuid.UUID:
    account = Account.objects.for_organization(organization_id)
    found = account.values_list("id", flat=True).first()
    if found is None:
        raise AccountNotFound
    return found
