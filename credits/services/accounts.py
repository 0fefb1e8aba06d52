"""Open accounts and grant credits."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from django.db import transaction

from credits.models import Account
from credits.services.ledger import call_ledger
from credits.states import MAX_AMOUNT_CREDITS
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
    *, organization_id: uuid.UUID, amount_credits: int, reason: str, actor: str, reference: str
) -> Granted:
    """Give credits to an organization, once per reference.

    Units: whole credits, 1 to 10**12.
    Raises: AccountNotFound; ReferenceReused when the reference granted another amount; ValueError
    for an amount out of range or no reference. Nothing has changed then.
    Source: C-05, C-07.
    """
    if not 1 <= amount_credits <= MAX_AMOUNT_CREDITS:
        raise ValueError(f"a grant is 1 to {MAX_AMOUNT_CREDITS} credits")
    if not reference:
        raise ValueError("a grant has a reference, so that it is made once")
    with transaction.atomic(savepoint=False):
        row = call_ledger("credits_grant", organization_id, amount_credits, reason, reference)
        if row["is_new"]:
            record(
                action="credits.granted",
                subject_type="account",
                subject_id=str(row["granted_account_id"]),
                organization_id=organization_id,
                actor=actor,
                data={"amount": amount_credits, "reason": reason, "reference": reference},
            )
    return Granted(amount_credits, row["available"], row["entry_seq"])
