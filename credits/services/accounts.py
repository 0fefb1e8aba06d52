"""Open accounts and grant credits."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import transaction

from credits.models import Account
from credits.services.ledger import call_ledger
from credits.states import MAX_AMOUNT_CREDITS, PRIORITY_DEFAULT, PRIORITY_MAX
from flagship.services.audit import record
from jobs.ids import new_id


@dataclass(frozen=True, slots=True)
class Granted:
    """A grant's entry. Units: whole credits, available right after the entry."""

    amount_credits: int
    available_credits: int
    entry_seq: int


def open_account(*, organization_id: uuid.UUID, actor: str = "system") -> Account:
    """Open the organization's account, empty; return the one it has if it has one.

    Source: C-05.
    """
    with transaction.atomic(savepoint=False):
        row = call_ledger("credits_open_account", new_id(), organization_id)
        if row["is_new"]:
            record(
                action="credits.account_opened",
                subject_type="account",
                subject_id=str(row["account_id"]),
                organization_id=organization_id,
                actor=actor,
            )
        return Account.objects.get(id=row["account_id"])


def grant_credits(
    *,
    organization_id: uuid.UUID,
    amount_credits: int,
    reason: str,
    actor: str,
    reference: str,
    priority: int = PRIORITY_DEFAULT,
    lapses_at: datetime | None = None,
) -> Granted:
    """Give credits to an organization, once per reference.

    They are burnt before those of any higher `priority` (0 to 1000); among equals those that lapse
    soonest go first. What is left at `lapses_at` lapses, except what a hold still needs.

    Units: whole credits, 1 to 10**12; UTC.
    Raises: AccountNotFound; ReferenceReused when the reference granted otherwise; ValueError for
    an amount or priority out of range, a time that is over, or no reference. Nothing has changed
    then.
    Source: C-05, C-07, docs/adr/0012-lots.md.
    """
    if not 1 <= amount_credits <= MAX_AMOUNT_CREDITS:
        raise ValueError(f"a grant is 1 to {MAX_AMOUNT_CREDITS} credits")
    if not 0 <= priority <= PRIORITY_MAX:
        raise ValueError(f"a priority is 0 to {PRIORITY_MAX}")
    if lapses_at is not None and lapses_at <= datetime.now(UTC):
        raise ValueError("a grant lapses after it is made, not before")
    if not reference:
        raise ValueError("a grant has a reference, so that it is made once")
    with transaction.atomic(savepoint=False):
        row = call_ledger(
            "credits_grant",
            organization_id,
            amount_credits,
            reason,
            reference,
            priority,
            lapses_at,
        )
        if row["is_new"]:
            record(
                action="credits.granted",
                subject_type="account",
                subject_id=str(row["granted_account_id"]),
                organization_id=organization_id,
                actor=actor,
                data={
                    "amount": amount_credits,
                    "reason": reason,
                    "reference": reference,
                    "priority": priority,
                    "lapsesAt": lapses_at.isoformat() if lapses_at else None,
                },
            )
    return Granted(amount_credits, row["available"], row["entry_seq"])
