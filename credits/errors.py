"""Refusals of the ledger; when one is raised nothing has changed."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from jobs.errors import Refusal
from jobs.ids import public_id


class AccountNotFound(Refusal):
    """The organization has no account."""

    code = "CREDIT_ACCOUNT_NOT_FOUND"
    status = 404
    title = "The organization has no credit account."
    next_step = "Ask an operator to open one; `manage.py bootstrap` does."


class InsufficientCredits(Refusal):
    """The free balance does not cover the amount (E-03, **ruling** 422)."""

    code = "INSUFFICIENT_CREDITS"
    status = 422
    title = "The organization has too few credits available."
    next_step = "Buy the recommended package, or ask for less; then send the same request again."
    example = {
        "required": 500,
        "available": 350,
        "recommendation": {
            "package": "pro",
            "cost": 29.99,
            "credits": 1000,
            "savings": "Best value - 2x credits",
        },
        "held": 180,
        "heldBy": 1,
        "holds": [
            {
                "reservationId": "res_0193a1b2c3d4e5f60718293a4b5c6d7e",
                "credits": 180,
                "subjectType": "build",
                "subjectId": "build_0193a1b2c3d4e5f60718293a4b5c6d7f",
                "expires": "2026-01-15T10:40:00.000000Z",
            }
        ],
        "fitsAt": "2026-01-15T10:40:00.000000Z",
    }

    def __init__(
        self,
        *,
        required: int,
        available: int,
        package: dict[str, Any] | None = None,
        holds: dict[str, Any] | None = None,
    ) -> None:
        """Say what is missing, what would cover it, and which holds block the money.

        `package`: code, price (cents), credits, base_price, base_credits. `holds`: total, count,
        fits_at, and `first`, the holds that end first: id, credits, subject_type, subject_id,
        expires_at. Units: whole credits; times as ISO 8601 texts.
        """
        super().__init__(
            f"User requires {required - available} more credits",
            data={
                "required": required,
                "available": available,
                "recommendation": _recommendation(package) if package else None,
                **_blocking(holds or {}),
            },
        )


class ReservationNotFound(Refusal):
    """The organization has no such reservation."""

    code = "RESERVATION_NOT_FOUND"
    status = 404
    title = "There is no such reservation."
    next_step = "Use the reservationId that the reserve call answered with."


class ReservationExpired(Refusal):
    """The hold ran out and its credits went back; they are not free any more."""

    code = "RESERVATION_EXPIRED"
    status = 409
    title = "The reservation expired and its credits went back to the account."
    next_step = "Make a new reservation."


class ReservationCeilingReached(Refusal):
    """The hold lasts as long as one may already (C-02)."""

    code = "RESERVATION_CEILING_REACHED"
    status = 409
    title = "The reservation cannot be extended any further."
    next_step = "Finish before `data.expires`; after that commit late, or make a new reservation."


class ReservationAlreadyCommitted(Refusal):
    """The reservation is resolved: its credits were charged."""

    code = "RESERVATION_ALREADY_COMMITTED"
    status = 409
    title = "The reservation is already committed; `data.charged` credits were taken."
    next_step = "Nothing is left to do for this reservation."


class ReservationAlreadyReleased(Refusal):
    """The reservation is resolved: its credits went back."""

    code = "RESERVATION_ALREADY_RELEASED"
    status = 409
    title = "The reservation is already released."
    next_step = "Make a new reservation if work is still to be charged."


class ReservationSubjectMismatch(Refusal):
    """The reservation was made for another build."""

    code = "RESERVATION_SUBJECT_MISMATCH"
    status = 422
    title = "The reservation was made for another build."
    next_step = "Send the buildId that was reserved for, or the reservationId of this build."


class ReferenceReused(Refusal):
    """The same reference asks for something else than it did before."""

    code = "REFERENCE_REUSED"
    status = 422
    title = "This reference was used before for another amount or subject."
    next_step = "Send the very same request again, or choose a new reference for a new one."


class LedgerEntryNotFound(Refusal):
    """The organization's account has no such entry."""

    code = "LEDGER_ENTRY_NOT_FOUND"
    status = 404
    title = "The account has no such entry."
    next_step = "Check the entry's number; GET /v1/credits/entries lists yours."


class EntryNotReversible(Refusal):
    """Only what was granted or charged can be undone."""

    code = "ENTRY_NOT_REVERSIBLE"
    status = 422
    title = "Only a grant, or a charge of at least one credit, can be reversed."
    next_step = "Name the entry of a grant or of a commit."


class ReversalTooLarge(Refusal):
    """More would be undone than is left of the original, or than a grant still has unspent."""

    code = "REVERSAL_TOO_LARGE"
    status = 422
    title = "So much of this entry cannot be reversed; `data.reversible` credits can."
    next_step = "Reverse at most `data.reversible` credits."


class CreditAccountFrozen(Refusal):
    """The reconciler found a contradiction in the account; nothing is charged on it (C-06)."""

    code = "CREDIT_ACCOUNT_FROZEN"
    status = 409
    title = "Nothing is charged on this account until an operator has looked at it."
    next_step = "Try again later; reservations can still be made, extended and released."


class FreezeNotOpen(Refusal):
    """There is no such freeze, or it was lifted."""

    code = "FREEZE_NOT_OPEN"
    status = 409
    title = "The freeze has been lifted already."
    next_step = "Nothing is left to do; charges are taken."


def _blocking(holds: dict[str, Any]) -> dict[str, Any]:
    """Return the holds as a caller reads them: those that end first, and when it would fit.

    `fitsAt` is when so many will have run out that the request fits, if none is extended and no
    credits lapse; None where they would not suffice.
    """
    return {
        "held": holds.get("total", 0),
        "heldBy": holds.get("count", 0),
        "holds": [
            {
                "reservationId": public_id("res", uuid.UUID(hold["id"])),
                "credits": hold["credits"],
                "subjectType": hold["subject_type"],
                "subjectId": hold["subject_id"],
                "expires": _moment(hold["expires_at"]),
            }
            for hold in holds.get("first", [])
        ],
        "fitsAt": _moment(holds.get("fits_at")),
    }


def _moment(text: str | None) -> str | None:
    """Write the database's time as every answer has it: UTC, microseconds, Z."""
    if text is None:
        return None
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def _recommendation(package: dict[str, Any]) -> dict[str, Any]:
    """Return a package as a caller reads it: price in whole units, and what it saves.

    The saving compares credits per price with the smallest package.
    """
    base = package["base_credits"] / max(package["base_price"], 1)
    times = round(package["credits"] / max(package["price"], 1) / base, 1)
    return {
        "package": package["code"],
        "cost": round(package["price"] / 100, 2),
        "credits": package["credits"],
        "savings": f"Best value - {times:g}x credits" if times > 1 else "Covers what is missing",
    }
