"""The ledger as it was: the balance at a time, and every entry for export."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import connection

from credits.errors import AccountNotFound
from credits.models import Account, Entry
from jobs.clients.postgres import run
from jobs.clients.wall import inside
from jobs.selectors.sheets import csv_line, csv_quoted, csv_sql

BATCH: Final = 5000
"""Entries of a page: 2 MB of JSON. Each page looks for its beginning anew, which costs a third."""
_MOMENT: Final = """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
_VALUES: Final = {
    "seq": "entry.seq",
    "createdAt": _MOMENT.format("entry.created_at"),
    "kind": "entry.kind",
    "balanceDelta": "entry.balance_delta",
    "balanceAfter": "entry.balance_after",
    "reservedDelta": "entry.reserved_delta",
    "reservedAfter": "entry.reserved_after",
    "issuedDelta": "entry.issued_delta",
    "chargedDelta": "entry.charged_delta",
    "lapsedDelta": "entry.lapsed_delta",
    "reservationId": "'res_' || replace(hold.id::text, '-', '')",
    "subjectType": "hold.subject_type",
    "subjectId": "hold.subject_id",
    "originalSeq": "entry.original_seq",
    "priority": "entry.priority",
    "lapsesAt": _MOMENT.format("entry.lapses_at"),
    "reason": "entry.reason",
    "reference": "entry.reference",
}
"""What an export tells of an entry, and how the database writes it."""
COLUMNS: Final = tuple(_VALUES)
_TEXTS: Final = ("subjectType", "subjectId", "reason", "reference")
"""What others have written; all else is a number, a time or a word of ours."""

# The database writes the lines: made here, row by row, they took several times as long.
_PAGE: Final = """
SELECT count(*), max(seq), string_agg({line}, '' ORDER BY seq) FROM (
    SELECT {columns}
      FROM credits_entry AS entry
      JOIN credits_account AS account ON account.id = entry.account_id
      LEFT JOIN credits_reservation AS hold ON hold.id = entry.reservation_id
     WHERE account.organization_id = %(organization_id)s AND entry.seq > %(after_seq)s
     ORDER BY entry.seq LIMIT %(batch)s) AS page
"""
_FIELDS: Final = csv_sql(
    csv_quoted(sql) if name in _TEXTS else sql for name, sql in _VALUES.items()
)
_CSV: Final = _PAGE.format(line="line", columns=f"entry.seq, {_FIELDS} AS line")
_MEMBERS: Final = ", ".join(f'{sql} AS "{name}"' for name, sql in _VALUES.items())
_JSON: Final = _PAGE.format(line="row_to_json(page) || E'\\n'", columns=_MEMBERS)

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


def csv_blocks(*, organization_id: uuid.UUID, after_seq: int = -1) -> Iterator[str]:
    """Yield the organization's entries behind `after_seq` as CSV, oldest first, header first.

    Each block is whole lines. Texts that a spreadsheet would take for a formula begin with an
    apostrophe.

    Raises: AccountNotFound, before anything is yielded.
    """
    _account_id(organization_id)
    return itertools.chain([csv_line(COLUMNS)], _pages(_CSV, organization_id, after_seq))


def json_blocks(*, organization_id: uuid.UUID, after_seq: int = -1) -> Iterator[str]:
    """Yield the organization's entries behind `after_seq` as JSON, one a line, oldest first.

    Each block is whole lines.

    Raises: AccountNotFound, before anything is yielded.
    """
    _account_id(organization_id)
    return _pages(_JSON, organization_id, after_seq)


def _pages(query: str, organization_id: uuid.UUID, after_seq: int) -> Iterator[str]:
    """Yield the export page by page; the cursor is the entry's number, so nothing shifts meanwhile.

    They are sent behind the request's transaction: each page has one of its own.
    """
    while True:
        asked: dict[str, Any] = {
            "organization_id": organization_id,
            "after_seq": after_seq,
            "batch": BATCH,
        }
        with inside(organization_id):
            [(rows, last_seq, text)] = run(query, asked)
        if rows:
            yield text
        if rows < BATCH:
            return
        after_seq = last_seq


def _account_id(organization_id: uuid.UUID) -> uuid.UUID:
    account = Account.objects.for_organization(organization_id)
    found = account.values_list("id", flat=True).first()
    if found is None:
        raise AccountNotFound
    return found
