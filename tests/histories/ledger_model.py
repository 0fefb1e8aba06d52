"""What one account must do, in plain Python, apart from the code under test.

It knows the rules and none of the machinery: no clock, no locks, no transactions. A hold is either
long, and lives through its history, or short, and is overdue from the next step on.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
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
    is_at_ceiling: bool = False
    closed_at: int = 0
    renewal: Hold | None = None
    id: uuid.UUID | None = None
    expires_at: datetime | None = None

    @property
    def is_overdue(self) -> bool:
        """Is it held and past its expiry?"""
        return self.is_short and self.state == "held"


@dataclass(slots=True)
class Lot:
    """What is left of a grant: burnt by priority, then soonest to lapse, then oldest."""

    seq: int
    priority: int
    lapses_at: datetime | None
    is_short: bool
    remaining: int

    def place(self) -> tuple[int, datetime, int]:
        """Where it is in the order of burning."""
        return self.priority, self.lapses_at or NEVER, self.seq


@dataclass(slots=True)
class Movement:
    """What a grant or a charge moved, and how much of it has been undone.

    `lots` are those a charge burnt and has not given back, in order: [lot, credits].
    """

    kind: str
    amount: int
    lots: list[tuple[Lot, int]]
    undone: int = 0


NEVER = datetime.max.replace(tzinfo=UTC)
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
    lapsed: int = 0
    lots: list[Lot] = field(default_factory=list)
    movements: dict[int, Movement] = field(default_factory=dict)
    reversals: dict[str, dict[str, int]] = field(default_factory=dict)
    terms: dict[str, tuple[Any, ...]] = field(default_factory=dict)
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
        """Balance, reserved and available, what is overdue counting as free, or gone."""
        overdue = sum(hold.amount for hold in self.overdue())
        free = self.free + overdue
        lapsed = sum(self._lapsing(free).values())
        return self.balance - lapsed, self.reserved - overdue, free - lapsed

    def overdue(self) -> list[Hold]:
        """Return the overdue holds, oldest first."""
        return [hold for hold in self.holds if hold.is_overdue]

    def grant(
        self, amount: int, reference: str, priority: int, lapses_at: datetime | None, is_short: bool
    ) -> dict[str, int]:
        """Give credits, once per reference."""
        if reference in self.grants:
            if self.terms[reference] != (amount, priority, lapses_at):
                raise Refused("REFERENCE_REUSED")
            return self.grants[reference]
        self.balance += amount
        self.issued += amount
        self._write("grant", None)
        seq = len(self.journal) - 1
        self.lots.append(Lot(seq, priority, lapses_at, is_short, amount))
        self.movements[seq] = Movement("grant", amount, [(self.lots[-1], amount)])
        self.terms[reference] = (amount, priority, lapses_at)
        told = {"amount_credits": amount, "available_credits": self.free}
        self.grants[reference] = told | {"entry_seq": seq}
        return self.grants[reference]

    def reverse(self, seq: int, amount: int | None, reference: str) -> dict[str, int]:
        """Undo a grant as far as it is unspent, or a charge; once per reference."""
        if seq >= len(self.journal):
            raise Refused("LEDGER_ENTRY_NOT_FOUND")
        if seq not in self.movements:
            raise Refused("ENTRY_NOT_REVERSIBLE")
        if reference in self.reversals:
            known = self.reversals[reference]
            if known["original_seq"] != seq or amount not in (None, known["reversed_credits"]):
                raise Refused("REFERENCE_REUSED")
            return known
        movement = self.movements[seq]
        possible = movement.amount - movement.undone
        if movement.kind == "grant":
            lot, available = movement.lots[0][0], self.funds()[2]
            free = self.free + sum(hold.amount for hold in self.overdue())
            left = lot.remaining - self._lapsing(free).get(lot.seq, 0)
            possible = min(possible, left, available)
        wanted = possible if amount is None else amount
        if possible == 0 or wanted > possible:
            raise Refused("REVERSAL_TOO_LARGE", reversible=possible)
        self._expire_overdue()
        self._undo(movement, wanted)
        self._write("reversal", None)
        told = {"entry_seq": len(self.journal) - 1, "original_seq": seq}
        told |= {"reversed_credits": wanted, "available_credits": self.free}
        self.reversals[reference] = told
        return told

    def lapse(self) -> int:
        """Let lots lapse that are due, as far as no hold needs them; return the entries."""
        lapsing = self._lapsing(self.free)
        for lot in self.lots:
            lot.remaining -= lapsing.get(lot.seq, 0)
        for credits in lapsing.values():
            self.balance -= credits
            self.lapsed += credits
            self._write("lapse", None)
        return len(lapsing)

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

    def extend(self, hold: Hold | None, beyond_the_ceiling: bool) -> None:
        """Let a live hold last longer: nothing here but whether it may."""
        if hold is None:
            raise Refused("RESERVATION_NOT_FOUND")
        if hold.is_overdue or hold.state != "held":
            raise Refused(RESOLVED.get(hold.state, "RESERVATION_EXPIRED"))
        if hold.is_at_ceiling and beyond_the_ceiling:
            raise Refused("RESERVATION_CEILING_REACHED")

    def sweep(self, limit: int) -> int:
        """Expire the oldest overdue holds; return how many."""
        due = self.overdue()[:limit]
        for hold in due:
            self._close(hold, "expire", "expired")
        return len(due)

    def _expire_overdue(self) -> None:
        self.sweep(len(self.holds))
        self.lapse()

    def _lapsing(self, free: int) -> dict[int, int]:
        """Return what would lapse now of each lot, soonest first, if so much were free."""
        due = [lot for lot in self.lots if lot.is_short and lot.remaining]
        lapsing = {}
        for lot in sorted(due, key=lambda lot: (lot.lapses_at or NEVER, lot.seq)):
            lapsing[lot.seq] = min(lot.remaining, free)
            free -= lapsing[lot.seq]
        return {seq: credits for seq, credits in lapsing.items() if credits}

    def _undo(self, movement: Movement, credits: int) -> None:
        movement.undone += credits
        if movement.kind == "grant":
            movement.lots[0][0].remaining -= credits
            self.balance -= credits
            self.issued -= credits
            return
        self.balance += credits
        self.charged -= credits
        while credits:
            lot, burnt = movement.lots.pop()
            given = min(burnt, credits)
            lot.remaining += given
            credits -= given
            if burnt > given:
                movement.lots.append((lot, burnt - given))

    def _burn(self, credits: int) -> list[tuple[Lot, int]]:
        burnt = []
        for lot in sorted(self.lots, key=Lot.place):
            part = min(lot.remaining, credits)
            if part:
                lot.remaining -= part
                credits -= part
                burnt.append((lot, part))
        return burnt

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
        burnt = self._burn(actual)
        self._close(hold, "commit", "committed")
        if actual:
            self.movements[len(self.journal) - 1] = Movement("commit", actual, burnt)

    def _close(self, hold: Hold, kind: str, state: str) -> None:
        self.reserved -= hold.amount
        hold.state, hold.closed_at = state, self.free
        self._write(kind, hold)

    def _write(self, kind: str, hold: Hold | None) -> None:
        self.journal.append((kind, hold, self.balance, self.reserved))
