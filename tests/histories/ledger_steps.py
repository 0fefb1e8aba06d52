"""Random operations on one account, each also made on the model."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from credits.models import Account, Entry, Lot, Reservation
from credits.selectors import get_funds
from credits.services import (
    commit_reservation,
    expire_reservations,
    extend_reservation,
    grant_credits,
    lapse_grants,
    release_reservation,
    reserve_credits,
    reverse_entry,
)
from tests.factories import make_account
from tests.histories.both import both
from tests.histories.ledger_model import Hold, LedgerModel, Refused
from tests.histories.play import Violation, expect

SHORT_S, LONG_S, CEILING_S = 0.000_001, 3600.0, 4 * 3600.0
LAPSES_IN_S = 0.03
PRIORITIES = (0, 100, 100, 200)
EVERYTHING = 1_000


class LedgerHistory:
    """One account of its own; few credits, so that they run out now and then."""

    RULES: ClassVar[Mapping[str, int]] = {
        "grant": 8,
        "reserve": 16,
        "commit": 14,
        "release": 7,
        "extend": 5,
        "sweep": 3,
        "lapse": 2,
        "reverse": 6,
        "again": 5,
    }

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._organization = make_account(credits=0)
        self._stranger = make_account(credits=0)
        self._model = LedgerModel()
        self._last: Callable[[], str] = self.grant
        self._count = 0
        self._grant(40, "the first", 100, None, False)

    # --- rules ----------------------------------------------------------------------------------

    def grant(self) -> str:
        """Give credits by a reference that is new or was used before, for ever or for a while."""
        # Small ones too, so that a charge burns several.
        amount = self._chance.randint(1, self._chance.choice([8, 60]))
        priority = self._chance.choice(PRIORITIES)
        reference = self._reference(self._model.grants)
        lasts_s = self._chance.choice([None, None, LAPSES_IN_S, LONG_S, LONG_S * 2])
        lapses_at = lasts_s and datetime.now(UTC) + timedelta(seconds=lasts_s)
        if self._chance.random() < 0.5 and reference in self._model.grants:
            amount, priority, lapses_at = self._model.terms[reference]
            if lapses_at is not None and lapses_at <= datetime.now(UTC):
                lapses_at = None  # a time that is over is no request
        is_short = lasts_s == LAPSES_IN_S and reference not in self._model.grants
        return self._do(self._grant, amount, reference, priority, lapses_at or None, is_short)

    def reverse(self) -> str:
        """Undo an entry, any, but rather one that can be, in part or as far as it goes."""
        moved = self._model.movements
        several = [seq for seq, movement in moved.items() if len(movement.lots) > 1]
        every = range(len(self._model.journal) + 1)
        seq = self._chance.choice(self._chance.choice([every, [*moved], several or every]))
        amount = self._chance.choice([None, 1, 2, self._chance.randint(1, 20)])
        return self._do(self._reverse, seq, amount, self._reference(self._model.reversals))

    def lapse(self) -> str:
        """Let grants lapse, here and everywhere."""
        return self._do(self._lapse)

    def reserve(self) -> str:
        """Hold credits, sometimes more than there are, sometimes for no time."""
        available = max(self._model.funds()[2], 0)
        # What is there to the last credit, and one more, as often as anything else.
        amount = self._chance.choice(
            [self._chance.randint(1, 25)] * 6 + [available or 1, available + 1]
        )
        subject = f"build_{self._chance.randint(1, 3)}"
        known = self._reference(self._model.references)
        reference = self._chance.choice(["", known])
        if self._chance.random() < 0.5 and reference in self._model.references:
            hold = self._model.references[reference]
            amount, subject = hold.amount, hold.subject
        return self._do(self._reserve, amount, subject, reference, self._chance.random() < 0.3)

    def commit(self) -> str:
        """Charge less than a hold, all of it, or more."""
        hold = self._hold()
        reserved = hold.amount if hold else 5
        all_of_it = reserved + self._model.funds()[2]
        some = self._chance.randint(0, 2 * reserved)
        actual = self._chance.choice([0, reserved, reserved, some, some, all_of_it, all_of_it + 1])
        subject = self._chance.choice([None, None, hold.subject if hold else "x", "build_9"])
        return self._do(self._commit, hold, actual, subject)

    def release(self) -> str:
        """Give a hold back."""
        return self._do(self._release, self._hold())

    def extend(self) -> str:
        """Let a hold last longer, or shorter, which it does not, or longer than it may."""
        live = [hold for hold in self._model.holds if hold.state == "held" and not hold.is_short]
        longest = [hold for hold in live if hold.is_at_ceiling]
        hold = self._chance.choice([self._hold(), *live[-1:], *longest[-1:]])
        lasts_s = self._chance.choice([60.0, LONG_S * 2, CEILING_S + 60, CEILING_S + 60])
        return self._do(self._extend, hold, lasts_s)

    def sweep(self) -> str:
        """Expire some of what is overdue, or all of it."""
        return self._do(self._sweep, self._chance.choice([1, 2, EVERYTHING]))

    def again(self) -> str:
        """Say the same again, as a client that heard no answer."""
        return self._last()

    # --- each operation, on the model and on the system -----------------------------------------

    def _grant(
        self,
        amount: int,
        reference: str,
        priority: int,
        lapses_at: datetime | None,
        is_short: bool,
    ) -> None:
        if lapses_at is not None and lapses_at <= datetime.now(UTC):
            return  # said again too late, which is no request at all
        granted = both(
            lambda: self._model.grant(amount, reference, priority, lapses_at, is_short),
            lambda: grant_credits(
                organization_id=self._organization,
                amount_credits=amount,
                reason="history",
                actor="test",
                reference=reference,
                priority=priority,
                lapses_at=lapses_at,
            ),
        )
        expect(asdict(granted[1]), granted[0], "grant")
        if is_short and lapses_at is not None:
            time.sleep(max((lapses_at - datetime.now(UTC)).total_seconds(), 0) + 0.002)

    def _reverse(self, seq: int, amount: int | None, reference: str) -> None:
        wanted, reply = both(
            lambda: self._model.reverse(seq, amount, reference),
            lambda: reverse_entry(
                organization_id=self._organization,
                entry_seq=seq,
                reason="history",
                actor="test",
                reference=reference,
                amount_credits=amount,
            ),
        )
        expect(asdict(reply), wanted, "reversal")

    def _lapse(self) -> None:
        expect(lapse_grants(limit=EVERYTHING), self._model.lapse(), "lapsed")

    def _reserve(self, amount: int, subject: str, reference: str, is_short: bool) -> None:
        hold, reply = both(
            lambda: self._model.reserve(amount, subject, reference, is_short),
            lambda: reserve_credits(
                organization_id=self._organization,
                amount_credits=amount,
                subject_type="build",
                subject_id=subject,
                actor="test",
                expires_in_s=SHORT_S if is_short else LONG_S,
                reference=reference,
            ),
        )
        if hold.id is None:
            hold.id, hold.expires_at = reply.reservation_id, reply.expires_at
        wanted = (hold.id, hold.amount, hold.expires_at, hold.available)
        found = (reply.reservation_id, reply.amount_credits, reply.expires_at)
        expect((*found, reply.available_credits), wanted, "reserve")

    def _commit(self, hold: Hold | None, actual: int, subject: str | None) -> None:
        wanted, reply = both(
            lambda: self._model.commit(hold, actual, subject),
            lambda: commit_reservation(
                **self._named(hold), actual_credits=actual, subject_id=subject
            ),
        )
        renewal: Hold | None = wanted["renewal"]
        if renewal is not None and renewal.id is None:
            renewal.id = reply.renewal_id
        expect(reply.renewal_id, renewal.id if renewal else None, "renewal")
        found = {"charged": reply.charged, "refunded": reply.refunded}
        found |= {"new_balance": reply.new_balance, "renewal": renewal}
        expect(found, wanted, "commit")

    def _release(self, hold: Hold | None) -> None:
        wanted, reply = both(
            lambda: self._model.release(hold),
            lambda: release_reservation(**self._named(hold), reason="history"),
        )
        expect({"released": reply.released, "new_balance": reply.new_balance}, wanted, "release")

    def _extend(self, hold: Hold | None, expires_in_s: float) -> None:
        named = hold.id if hold and hold.id else uuid.uuid4()
        is_beyond = expires_in_s > CEILING_S
        _, reply = both(
            lambda: self._model.extend(hold, is_beyond),
            lambda: extend_reservation(reservation_id=named, expires_in_s=expires_in_s),
        )
        if hold is None or hold.expires_at is None:
            raise Violation("extended a hold that nobody made")
        if expires_in_s < LONG_S or hold.is_at_ceiling:
            expect(reply, hold.expires_at, "an expiry that moved back")
        elif not reply > hold.expires_at:
            raise Violation(f"{reply} is not after {hold.expires_at}")
        hold.expires_at = reply
        hold.is_at_ceiling |= is_beyond

    def _sweep(self, limit: int) -> None:
        swept = both(lambda: self._model.sweep(limit), lambda: expire_reservations(limit=limit))
        expect(swept[1], swept[0], "swept")

    # --- comparing ------------------------------------------------------------------------------

    def check(self) -> None:
        """Compare what the account has."""
        funds = get_funds(organization_id=self._organization)
        found = (funds.balance, funds.reserved, funds.available)
        expect(found, self._model.funds(), "funds")

    def finish(self) -> None:
        """Sweep what is overdue; compare account, holds, lots and every entry."""
        self._sweep(EVERYTHING)
        self._lapse()
        account = Account.objects.get(organization_id=self._organization)
        model = self._model
        found = (account.balance, account.reserved, account.issued, account.charged, account.lapsed)
        wanted = (model.balance, model.reserved, model.issued, model.charged, model.lapsed)
        expect((*found, account.last_seq), (*wanted, len(model.journal) - 1), "account")
        holds = Reservation.objects.filter(account=account)
        columns = ("id", "amount", "state", "charged", "subject_id")
        stored = {row[0]: row[1:] for row in holds.values_list(*columns)}
        expect(
            stored,
            {
                hold.id: (hold.amount, hold.state, hold.charged, hold.subject)
                for hold in model.holds
            },
            "holds",
        )
        lots = dict(Lot.objects.filter(account=account).values_list("seq", "remaining"))
        expect(lots, {lot.seq: lot.remaining for lot in model.lots}, "lots")
        entries = Entry.objects.filter(account=account).order_by("seq")
        rows = entries.values_list("kind", "reservation", "balance_after", "reserved_after")
        journal = [(kind, hold and hold.id, *after) for kind, hold, *after in model.journal]
        expect(list(rows), journal, "entries")

    # --- helpers --------------------------------------------------------------------------------

    def _do(self, act: Callable[..., None], *arguments: Any) -> str:
        def run() -> str:
            told = ", ".join(_told(argument) for argument in arguments)
            try:
                act(*arguments)
            except Refused as refused:
                return f"{refused.code} {told}"
            return f"done {told}"

        self._last = run
        return run()

    def _named(self, hold: Hold | None) -> dict[str, Any]:
        """Name a hold; one that is not there is unknown, or another organization's to ask for."""
        named = {"reservation_id": hold.id if hold else uuid.uuid4(), "actor": "test"}
        if hold is None and self._model.holds:
            theirs = self._chance.choice(self._model.holds).id
            return named | {"reservation_id": theirs, "organization_id": self._stranger}
        return named | {"organization_id": self._organization}

    def _hold(self) -> Hold | None:
        """Choose a hold, the newest more often; sometimes none."""
        if not self._model.holds or self._chance.random() < 0.04:
            return None
        every = self._model.holds
        held = [hold for hold in every if hold.state == "held"]
        gone = [hold for hold in every if hold.is_overdue or hold.state == "expired"]
        return self._chance.choice(self._chance.choice([held, held, gone, every]) or every)

    def _reference(self, used: Mapping[str, Any]) -> str:
        if used and self._chance.random() < 0.3:
            return self._chance.choice(list(used))
        self._count += 1
        return f"reference-{self._count}"


def _told(argument: Any) -> str:
    if isinstance(argument, Hold):
        return f"{argument.state} hold of {argument.amount}{' (short)' * argument.is_short}"
    return repr(argument)
