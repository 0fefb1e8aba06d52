"""What one account must do, in plain Python, apart from the code under test.

It knows the rules and none of the machinery: no clock, no locks, no transactions. A hold is either
long, and lives through its history, or short, and is overdue from the next step on.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


class Refused(Exception):
    """The model refuses; nothing has changed in it."""

    def __init__(self, code: str, **data: int) -> None:
        self.code = code
        self.data = data
        super().__init__(code)


@dataclass(slots=True)
class Hold:
    """A reservation. Id and expiry are the system's, noted when it answers."""

    amount: int
    subject: str
    is_short: bool
    available: int
    state: str = "held"
    charged: int | None = None
    closed_at: int = 0
    renewal: Hold | None = None
    id: uuid.UUID | None = None
    expires_at: datetime | None = None

    @property
    def is_overdue(self) -> bool:
        """Is it held and past its expiry?"""
        return self.is_short and self.state == "held"


RESOLVED = {
    "committed": "RESERVATION_ALREADY_COMMITTED",
    "released": "RESERVATION_ALREADY_RELEASED",
    "expired": "RESERVATION_EXPIRED",
}


@dataclass(slots=True)
class LedgerModel:
    """One account. `journal` has an item for each entry: (kind, hold, balance, reserved)."""

    balance: int = 0
    reserved: int = 0
    issued: int = 0
    charged: int = 0
    holds: list[Hold] = field(default_factory=list)
    journal: list[tuple[str, Hold | None, int, int]] = field(default_factory=list)
    grants: dict[str, dict[str, int]] = field(default_factory=dict)
    references: dict[str, Hold] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._write("open", None)

    @property
    def free(self) -> int:
        """What is neither held nor spent, overdue holds counting as held."""
        return self.balance - self.reserved

    def funds(self) -> tuple[int, int, int]:
        """Balance, reserved and available, overdue holds counting as free."""
        overdue = sum(hold.amount for hold in self.overdue())
        return self.balance, self.reserved - overdue, self.free + overdue

    def overdue(self) -> list[Hold]:
        """Return the overdue holds, oldest first."""
        return [hold for hold in self.holds if hold.is_overdue]

    def grant(self, amount: int, reference: str) -> dict[str, int]:
        """Give credits, once per reference."""
        if reference in self.grants:
            if self.grants[reference]["amount_credits"] != amount:
                raise Refused("REFERENCE_REUSED")
            return self.grants[reference]
        self.balance += amount
        self.issued += amount
        self._write("grant", None)
        told = {"amount_credits": amount, "available_credits": self.free}
        self.grants[reference] = told | {"entry_seq": len(self.journal) - 1}
        return self.grants[reference]

    def reserve(self, amount: int, subject: str, reference: str, is_short: bool) -> Hold:
        """Hold credits; the same reference again is the same hold."""
        if reference in self.references:
            known = self.references[reference]
            if (known.amount, known.subject) != (amount, subject):
                raise Refused("REFERENCE_REUSED")
            return known
        available = self.funds()[2]
        if available < amount:
            raise Refused("INSUFFICIENT_CREDITS", required=amount, available=available)
        self._expire_overdue()
        hold = self._hold(amount, subject, is_short)
        if reference:
            self.references[reference] = hold
        return hold

    def commit(self, named: Hold | None, actual: int, subject: str | None) -> dict[str, Any]:
        """Charge a hold; one that expired is taken anew where the credits are there."""
        if named is None:
            raise Refused("RESERVATION_NOT_FOUND")
        if subject is not None and subject != named.subject:
            raise Refused("RESERVATION_SUBJECT_MISMATCH")
        hold = named.renewal or named
        if hold.state == "expired" or hold.is_overdue:
            hold = self._renew(hold, actual)
            self._charge(hold, actual)
        elif hold.state == "held":
            available = self.funds()[2] + hold.amount
            if available < actual:
                raise Refused("INSUFFICIENT_CREDITS", required=actual, available=available)
            self._expire_overdue()
            self._charge(hold, actual)
        elif (hold.state, hold.charged) != ("committed", actual):
            raise Refused(RESOLVED[hold.state])
        return {
            "charged": actual,
            "refunded": max(named.amount - actual, 0),
            "new_balance": hold.closed_at,
            "renewal": None if hold is named else hold,
        }

    def release(self, hold: Hold | None) -> dict[str, int]:
        """Give a hold back."""
        if hold is None:
            raise Refused("RESERVATION_NOT_FOUND")
        if hold.is_overdue:
            raise Refused("RESERVATION_EXPIRED")
        if hold.state == "held":
            self._expire_overdue()
            self._close(hold, "release", "released")
        elif hold.state != "released":
            raise Refused(RESOLVED[(hold.renewal or hold).state])
        return {"released": hold.amount, "new_balance": hold.closed_at}

    def extend(self, hold: Hold | None) -> None:
        """Let a live hold last longer: nothing here but whether it may."""
        if hold is None:
            raise Refused("RESERVATION_NOT_FOUND")
        if hold.is_overdue or hold.state != "held":
            raise Refused(RESOLVED.get(hold.state, "RESERVATION_EXPIRED"))

    def sweep(self, limit: int) -> int:
        """Expire the oldest overdue holds; return how many."""
        due = self.overdue()[:limit]
        for hold in due:
            self._close(hold, "expire", "expired")
        return len(due)

    def _expire_overdue(self) -> None:
        self.sweep(len(self.holds))

    def _hold(self, amount: int, subject: str, is_short: bool) -> Hold:
        hold = Hold(amount, subject, is_short, available=0)
        self.holds.append(hold)
        self.reserved += amount
        hold.available = self.free
        self._write("reserve", hold)
        return hold

    def _renew(self, hold: Hold, actual: int) -> Hold:
        amount, available = max(actual, 1), self.funds()[2]
        if available < amount:
            raise Refused("RESERVATION_EXPIRED", required=actual, available=available)
        if hold.is_overdue:
            self._close(hold, "expire", "expired")
        self._expire_overdue()
        hold.renewal = self._hold(amount, hold.subject, False)
        return hold.renewal

    def _charge(self, hold: Hold, actual: int) -> None:
        self.balance -= actual
        self.charged += actual
        hold.charged = actual
        self._close(hold, "commit", "committed")

    def _close(self, hold: Hold, kind: str, state: str) -> None:
        self.reserved -= hold.amount
        hold.state, hold.closed_at = state, self.free
        self._write(kind, hold)

    def _write(self, kind: str, hold: Hold | None) -> None:
        self.journal.append((kind, hold, self.balance, self.reserved))
