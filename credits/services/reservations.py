"""Reserve, commit, release and extend.

Every function locks the account first and runs in one round trip. A Refusal leaves nothing
changed, and the surrounding transaction fit for a roll-back only: a caller that wants to go on
after one wraps the call in its own `transaction.atomic()`, which is a savepoint.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction

from credits.errors import ReservationExpired
from credits.metrics import LATE_COMMITS
from credits.services.alerts import alert_unpaid
from credits.services.ledger import call_ledger, record_on_reservation, record_overdue
from credits.services.operations import COMMIT, RELEASE, RESERVE, operate, run_on_ledger
from credits.states import (
    MAX_AMOUNT_CREDITS,
    RESERVATION_EXPIRES_IN_S,
    RESERVATION_LIFE_MAX_S,
)
from flagship.services import audit
from jobs.ids import new_id, public_id

logger = logging.getLogger("credits")


_RESERVE_EACH = """
SELECT made.reservation_id, made.amount, made.expires_at, made.available, made.expired, made.lapsed
  FROM unnest(%(reservation_ids)s::uuid[], %(amounts)s::bigint[], %(subject_ids)s::text[])
       WITH ORDINALITY AS asked (id, amount, subject_id, place)
 CROSS JOIN LATERAL credits_reserve(
       asked.id, %(organization_id)s, asked.amount, %(subject_type)s, asked.subject_id, '',
       %(expires_in_s)s, '') AS made
 ORDER BY asked.place
"""


@dataclass(frozen=True, slots=True)
class Hold:
    """What is to be held, and for which subject. Units: whole credits."""

    amount_credits: int
    subject_id: str


@dataclass(frozen=True, slots=True)
class Reserved:
    """A hold, and what was available right after it was made. Units: whole credits, UTC."""

    reservation_id: uuid.UUID
    amount_credits: int
    expires_at: datetime
    available_credits: int


@dataclass(frozen=True, slots=True)
class Committed:
    """A charge. Units: whole credits; `new_balance` is what was available right after it.

    `renewal_id` names the hold that took the place of one that had expired.
    """

    reservation_id: uuid.UUID
    charged: int
    refunded: int
    new_balance: int
    renewal_id: uuid.UUID | None


@dataclass(frozen=True, slots=True)
class Released:
    """A hold given back. Units: whole credits; `new_balance` is what was available after it."""

    reservation_id: uuid.UUID
    released: int
    new_balance: int


def reserve_credits(
    *,
    organization_id: uuid.UUID,
    amount_credits: int,
    subject_type: str,
    subject_id: str,
    actor: str,
    user_id: str = "",
    expires_in_s: float = RESERVATION_EXPIRES_IN_S,
    reference: str = "",
) -> Reserved:
    """Hold credits for one purpose, out of what is available.

    The same `reference` with the same request answers with the reservation made before, in
    whatever state it is; without one every call makes a new reservation.

    Units: whole credits, 1 to 10**12; seconds.
    Raises: InsufficientCredits; AccountNotFound; ReferenceReused; ValueError out of range.
    Source: C-01, C-02, C-05.
    """
    _require_amount(amount_credits, minimum=1)
    _require_life(expires_in_s)
    reservation_id = new_id()
    row = operate(
        RESERVE,
        {
            "reservation_id": reservation_id,
            "organization_id": organization_id,
            "amount": amount_credits,
            "subject_type": subject_type,
            "subject_id": subject_id,
            "user_id": user_id,
            "expires_in_s": expires_in_s,
            "reference": reference,
        },
        organization_id=organization_id,
        reservation_id=reservation_id,
        actor=actor,
        data=_told(amount_credits, subject_type, subject_id, user_id),
    )
    return Reserved(row["reservation_id"], row["amount"], row["expires_at"], row["available"])


def reserve_each(
    *,
    organization_id: uuid.UUID,
    holds: Sequence[Hold],
    subject_type: str,
    actor: str,
    expires_in_s: float = RESERVATION_EXPIRES_IN_S,
) -> list[Reserved]:
    """Make several holds, in their order, as `reserve_credits` makes one; all of them or none.

    Two round trips for any number, in a transaction of their own where the caller has none.

    Raises: InsufficientCredits where the credits do not reach for all; AccountNotFound; ValueError
    out of range.
    Source: C-01, C-02, C-05.
    """
    for hold in holds:
        _require_amount(hold.amount_credits, minimum=1)
    _require_life(expires_in_s)
    asked = {
        "organization_id": organization_id,
        "reservation_ids": [new_id() for _ in holds],
        "amounts": [hold.amount_credits for hold in holds],
        "subject_type": subject_type,
        "subject_ids": [hold.subject_id for hold in holds],
        "expires_in_s": expires_in_s,
    }
    with transaction.atomic(savepoint=False):
        rows = run_on_ledger(_RESERVE_EACH, asked)
        for *_, expired, lapsed in rows:
            overdue = {"expired": expired, "lapsed": lapsed}
            record_overdue(organization_id=organization_id, row=overdue)
        reserved = [Reserved(*row[:4]) for row in rows]
        events = [
            audit.Event(
                "credits.reserved",
                "reservation",
                public_id("res", made.reservation_id),
                _told(made.amount_credits, subject_type, hold.subject_id, ""),
            )
            for made, hold in zip(reserved, holds, strict=True)
        ]
        audit.record_each(events, organization_id=organization_id, actor=actor)
    return reserved


def _told(amount: int, subject_type: str, subject_id: str, user_id: str) -> dict[str, Any]:
    """Return what the event tells of a hold."""
    return {"amount": amount, "subject": f"{subject_type} {subject_id}", "userId": user_id}


def commit_reservation(
    *,
    reservation_id: uuid.UUID,
    organization_id: uuid.UUID,
    actual_credits: int,
    actor: str,
    subject_id: str | None = None,
) -> Committed:
    """Charge what was used and give back the rest; the reservation is resolved.

    More than was reserved is taken from what is available. After the expiry the credits are
    reserved anew, if they are there. The same amount again answers as before. `subject_id`, where
    given, must be the reservation's.

    Units: whole credits, 0 to 10**12.
    Raises: InsufficientCredits; ReservationExpired (alerted: work was done and is unpaid);
    ReservationAlreadyCommitted; ReservationAlreadyReleased; ReservationNotFound;
    ReservationSubjectMismatch; CreditAccountFrozen; ValueError out of range.
    Source: C-01, C-03, C-05.
    """
    _require_amount(actual_credits, minimum=0)
    try:
        row = operate(
            COMMIT,
            {
                "organization_id": organization_id,
                "reservation_id": reservation_id,
                "actual": actual_credits,
                "subject_id": subject_id,
                "renewal_id": new_id(),
            },
            organization_id=organization_id,
            reservation_id=reservation_id,
            actor=actor,
            data={},
        )
    except ReservationExpired:
        alert_unpaid(
            reservation_id=reservation_id,
            organization_id=organization_id,
            actual_credits=actual_credits,
            actor=actor,
        )
        raise
    if row["is_new"] and row["renewal"] is not None:
        LATE_COMMITS.labels("renewed").inc()
        logger.warning("reservation.renewed reservation=%s", public_id("res", reservation_id))
    return Committed(
        reservation_id, row["charged"], row["refunded"], row["available"], row["renewal"]
    )


def release_reservation(
    *, reservation_id: uuid.UUID, organization_id: uuid.UUID, reason: str, actor: str
) -> Released:
    """Give back the whole hold; the reservation is resolved. Again it answers as before.

    Raises: ReservationExpired; ReservationAlreadyCommitted; ReservationNotFound.
    Source: C-01, C-05.
    """
    row = operate(
        RELEASE,
        {"organization_id": organization_id, "reservation_id": reservation_id, "reason": reason},
        organization_id=organization_id,
        reservation_id=reservation_id,
        actor=actor,
        data={"reason": reason},
    )
    return Released(reservation_id, row["released"], row["available"])


def extend_reservation(
    *, reservation_id: uuid.UUID, expires_in_s: float, actor: str = "system"
) -> datetime:
    """Let a live hold last at least `expires_in_s` from now; return when it expires.

    The expiry never moves back; where it is later already, nothing is written. A hold lasts
    RESERVATION_CEILING_S from when it was made at most: the extension that meets this ceiling is
    cut to it, the next one is refused.

    Units: seconds; UTC.
    Raises: ReservationCeilingReached, ReservationExpired, ReservationAlreadyCommitted,
    ReservationAlreadyReleased, ReservationNotFound.
    Source: C-02 (a running build extends its own hold), C-05.
    """
    with transaction.atomic(savepoint=False):
        row = call_ledger(
            "credits_extend_reservation",
            reservation_id,
            expires_in_s,
            settings.RESERVATION_CEILING_S,
        )
        expires_at: datetime = row["expires_at"]
        if row["is_new"]:
            record_on_reservation(
                "credits.reservation_extended",
                reservation_id,
                row["organization_id"],
                actor,
                {"expiresAt": expires_at.isoformat()},
            )
    return expires_at


def _require_life(expires_in_s: float) -> None:
    if not 0 < expires_in_s <= RESERVATION_LIFE_MAX_S:
        raise ValueError(f"a hold lasts longer than no time, {RESERVATION_LIFE_MAX_S:g} s at most")


def _require_amount(amount_credits: int, *, minimum: int) -> None:
    if not minimum <= amount_credits <= MAX_AMOUNT_CREDITS:
        raise ValueError(f"an amount is {minimum} to {MAX_AMOUNT_CREDITS} credits")
