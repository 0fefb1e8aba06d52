"""Undo a grant or a charge, by a new entry."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from django.db import transaction

from credits.models import Account
from credits.services.ledger import call_ledger, record_overdue
from credits.states import MAX_AMOUNT_CREDITS
from flagship.services.audit import record


@dataclass(frozen=True, slots=True)
class Reversed:
    """A reversal's entry. Units: whole credits, available right after the entry."""

    entry_seq: int
    original_seq: int
    reversed_credits: int
    available_credits: int


def reverse_entry(
    *,
    organization_id: uuid.UUID,
    entry_seq: int,
    reason: str,
    actor: str,
    reference: str,
    amount_credits: int | None = None,
) -> Reversed:
    """Undo a grant or a charge, in part or (no amount) as far as it can be; once per reference.

    All reversals of an entry together never exceed it. Of a grant only what is unspent and not
    held can be taken back. What a charge took goes back to the grants it was burnt from, last
    burnt first; of a grant that has lapsed since, it lapses at the next operation.

    Units: whole credits, 1 to 10**12.
    Raises: AccountNotFound; LedgerEntryNotFound; EntryNotReversible; ReversalTooLarge;
    ReferenceReused; ValueError for an amount out of range, no reason or no reference. Nothing has
    changed then.
    Source: C-05, C-07.
    """
    if amount_credits is not None and not 1 <= amount_credits <= MAX_AMOUNT_CREDITS:
        raise ValueError(f"a reversal is 1 to {MAX_AMOUNT_CREDITS} credits")
    if not reason.strip() or not reference:
        raise ValueError("a reversal has a reason, and a reference, so that it is made once")
    with transaction.atomic(savepoint=False):
        row = call_ledger(
            "credits_reverse", organization_id, entry_seq, amount_credits, reason, reference
        )
        record_overdue(organization_id=organization_id, row=row)
        if row["is_new"]:
            account_id = Account.objects.values_list("id", flat=True).get(
                organization_id=organization_id
            )
            record(
                action="credits.reversed",
                subject_type="account",
                subject_id=str(account_id),
                organization_id=organization_id,
                actor=actor,
                data={
                    "amount": row["reversed"],
                    "entry": row["entry_seq"],
                    "original": entry_seq,
                    "originalKind": row["original_kind"],
                    "reason": reason,
                    "reference": reference,
                },
            )
    return Reversed(row["entry_seq"], entry_seq, row["reversed"], row["available"])
