"""Refusals of the ledger; when one is raised nothing has changed."""

from __future__ import annotations

from typing import Any

from jobs.errors import Refusal


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

    def __init__(
        self, *, required: int, available: int, package: dict[str, Any] | None = None
    ) -> None:
        """Say what is missing. `package`: code, price (cents), credits, base_price, base_credits.

        Units: whole credits.
        """
        super().__init__(
            f"User requires {required - available} more credits",
            data={
                "required": required,
                "available": available,
                "recommendation": _recommendation(package) if package else None,
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
