"""Let an account be charged again."""

from __future__ import annotations

import uuid

from django.db import transaction

from credits.services.ledger import call_ledger
from flagship.services.audit import record


def lift_freeze(*, freeze_id: int, actor: str, reason: str) -> uuid.UUID:
    """Lift a freeze; return the organization. The same findings do not freeze it again.

    Raises: FreezeNotOpen; ValueError without a reason. Nothing has changed then.
    Source: C-06, D-06.
    """
    if not reason.strip():
        raise ValueError("a freeze is lifted for a reason")
    with transaction.atomic(savepoint=False):
        row = call_ledger("credits_lift_freeze", freeze_id, actor, reason)
        organization_id: uuid.UUID = row["organization_id"]
        record(
            action="credits.freeze_lifted",
            subject_type="account",
            subject_id=str(row["account_id"]),
            organization_id=organization_id,
            actor=actor,
            data={"freeze": freeze_id, "reason": reason},
        )
    return organization_id
