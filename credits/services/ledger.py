"""Call the ledger's functions, and give its refusals their names."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from typing import Any, Final

from django.db import IntegrityError, connection
from psycopg import sql

from credits.errors import (
    AccountNotFound,
    CreditAccountFrozen,
    EntryNotReversible,
    FreezeNotOpen,
    InsufficientCredits,
    LedgerEntryNotFound,
    ReferenceReused,
    ReservationAlreadyCommitted,
    ReservationAlreadyReleased,
    ReservationCeilingReached,
    ReservationExpired,
    ReservationNotFound,
    ReservationSubjectMismatch,
    ReversalTooLarge,
)
from credits.metrics import EXPIRED_RESERVATIONS, LAPSED_CREDITS
from credits.models import Entry
from flagship.services.audit import record
from jobs.errors import Refusal
from jobs.ids import public_id

EXPIRER: Final = "system:credits"

# Constraint names that the functions and triggers in credits/migrations/sql raise.
_REFUSALS: Final[dict[str, type[Refusal]]] = {
    "credits_account_not_found": AccountNotFound,
    "credits_reservation_not_found": ReservationNotFound,
    "credits_reservation_already_committed": ReservationAlreadyCommitted,
    "credits_reservation_already_released": ReservationAlreadyReleased,
    "credits_reservation_already_expired": ReservationExpired,
    # The hold ran out between the function's look at the clock and the trigger's.
    "credits_reservation_expiry_moves_on": ReservationExpired,
    "credits_subject_mismatch": ReservationSubjectMismatch,
    "credits_reservation_ceiling": ReservationCeilingReached,
    "credits_reference_reused": ReferenceReused,
    "credits_entry_not_found": LedgerEntryNotFound,
    "credits_entry_not_reversible": EntryNotReversible,
    "credits_reversal_too_large": ReversalTooLarge,
    "credits_account_frozen": CreditAccountFrozen,
    "credits_freeze_not_open": FreezeNotOpen,
}


def call_ledger(function: str, *arguments: Any) -> dict[str, Any]:
    """Call one function of the ledger in the caller's transaction; return its row.

    Raises: the Refusal that the ledger named; IntegrityError where the caller broke a rule that
    no request can. The transaction is then good for nothing but a roll-back.
    """
    query = sql.SQL("SELECT * FROM {}({})").format(
        sql.Identifier(function), sql.SQL(", ").join([sql.Placeholder()] * len(arguments))
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute(query, arguments)
            row = cursor.fetchone()
            names = [column[0] for column in cursor.description or ()]
    except IntegrityError as error:
        refusal = refusal_for(error)
        if refusal is None:
            raise
        raise refusal from error
    assert row is not None  # noqa: S101 - a function with OUT parameters always gives a row
    return dict(zip(names, row, strict=True))


def record_expired(
    *, organization_id: uuid.UUID, reservation_ids: Iterable[uuid.UUID], actor: str = EXPIRER
) -> None:
    """Record the holds that ran out, one audit event each (C-05)."""
    for reservation_id in reservation_ids:
        EXPIRED_RESERVATIONS.inc()
        record_on_reservation(
            "credits.reservation_expired", reservation_id, organization_id, actor, {}
        )


def record_lapsed(
    *, organization_id: uuid.UUID, entry_seqs: Iterable[int], actor: str = EXPIRER
) -> None:
    """Record the grants that lapsed, one audit event for each entry (C-05)."""
    seqs = list(entry_seqs)
    if not seqs:
        return
    entries = Entry.objects.filter(account__organization_id=organization_id, seq__in=seqs)
    for entry in entries.order_by("seq"):
        LAPSED_CREDITS.inc(-entry.balance_delta)
        record(
            action="credits.lapsed",
            subject_type="account",
            subject_id=str(entry.account_id),
            organization_id=organization_id,
            actor=actor,
            data={"amount": -entry.balance_delta, "entry": entry.seq, "grant": entry.original_seq},
        )


def record_overdue(*, organization_id: uuid.UUID, row: dict[str, Any]) -> None:
    """Record what an operation found overdue on its account, holds and grants."""
    record_expired(organization_id=organization_id, reservation_ids=row["expired"])
    record_lapsed(organization_id=organization_id, entry_seqs=row["lapsed"])


def record_on_reservation(
    action: str,
    reservation_id: uuid.UUID,
    organization_id: uuid.UUID,
    actor: str,
    data: dict[str, Any],
) -> None:
    """Record an audit event whose subject is a reservation."""
    record(
        action=action,
        subject_type="reservation",
        subject_id=public_id("res", reservation_id),
        organization_id=organization_id,
        actor=actor,
        data=data,
    )


def refusal_for(error: IntegrityError) -> Refusal | None:
    """Return what a caller is told, None for a rule that only a defect can break."""
    diagnostic = getattr(error.__cause__, "diag", None)
    name = getattr(diagnostic, "constraint_name", None) or ""
    if name != "credits_insufficient" and name not in _REFUSALS:
        return None
    data = json.loads(getattr(diagnostic, "message_detail", None) or "{}")
    if name == "credits_insufficient":
        return InsufficientCredits(**data)
    return _REFUSALS[name](data=data)
