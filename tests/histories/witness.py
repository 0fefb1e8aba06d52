"""Check what many clients heard against the account's entries (P16 to P19), without a search.

The numbers of the entries are the order in which things happened: there is no other order to look
for. Entries are replayed once, each answer is compared with the entry it names, and what ended
before another began must have the lower number. Each call and each entry is looked at once, times
found by bisection.
"""

from __future__ import annotations

import uuid
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

from jobs.errors import Refusal
from tests.histories.calls import Account, Call
from tests.ledger import Books, read_rows

NEVER: Final = float("inf")
SHORT_S: Final = 60.0
CLOSED_BY: Final = {
    "RESERVATION_ALREADY_COMMITTED": "commit",
    "RESERVATION_ALREADY_RELEASED": "release",
}


@dataclass(slots=True)
class Rows:
    """What is stored of one account: entries by number, and reservations by id."""

    entries: list[dict[str, Any]]
    holds: dict[uuid.UUID, dict[str, Any]]


def read(account: Account) -> Rows:
    """Read one account's rows."""
    mine = (
        "account_id = (SELECT id FROM credits_account"
        f" WHERE organization_id = '{account.organization}')"
    )
    return Rows(
        read_rows(f"SELECT * FROM credits_entry WHERE {mine} ORDER BY seq"),
        {row["id"]: row for row in read_rows(f"SELECT * FROM credits_reservation WHERE {mine}")},
    )


def problems(account: Account, rows: Rows) -> list[str]:
    """Return every contradiction between what was heard and what is stored."""
    return [f"no answer: {error!r}" for error in account.broken] + Witness(account, rows).found


class Witness:
    """One account's calls beside its entries."""

    def __init__(self, account: Account, rows: Rows) -> None:
        self.found: list[str] = []
        self._rows = rows
        self._shorts = {
            call.asked["subject_id"]
            for call in account.calls
            if call.what == "reserve" and call.asked["expires_in_s"] < SHORT_S
        }
        self._replay()
        self._calls: defaultdict[Any, list[Call]] = defaultdict(list)
        for call in account.calls:
            if call.key is not None:
                self._calls[call.key].append(call)
        self._numbers: dict[Any, int] = {}
        for entry in rows.entries:
            self._claim(entry)
        self._order()
        for call in account.calls:
            if call.heard is not None:
                self.found += self._judge(call)

    # --- entries --------------------------------------------------------------------------------

    def _replay(self) -> None:
        """Replay the entries; note what was free after each, and what of it was short-lived."""
        books = Books()
        self._free: list[int] = []
        self._short: list[int] = []
        short = 0
        for entry in self._rows.entries:
            books.replay(entry)
            hold = self._rows.holds.get(entry["reservation_id"])
            if hold is not None and self._is_short(hold):
                short += entry["reserved_after"] - entry["reserved_before"]
            self._free.append(entry["balance_after"] - entry["reserved_after"])
            self._short.append(short)
        self.found += books.problems

    def _is_short(self, hold: dict[str, Any]) -> bool:
        """Could it run out? Then what it holds may count as free, or not yet."""
        return hold["renews_id"] is None and hold["subject_id"] in self._shorts

    def _key(self, entry: dict[str, Any]) -> Any:
        """Name what an entry was asked for by; None for what nobody asks for."""
        kind, hold = entry["kind"], self._rows.holds.get(entry["reservation_id"])
        if kind in ("open", "expire", "lapse"):
            return None
        if hold is None:
            return kind, entry["reference"]
        if hold["renews_id"] is not None:
            # The hold of a late commit and its charge are one answer.
            return None if kind == "reserve" else (kind, hold["renews_id"])
        return kind, hold["subject_id"] if kind == "reserve" else hold["id"]

    def _claim(self, entry: dict[str, Any]) -> None:
        """Note an entry under what it was asked for by: somebody asked, and it happened once."""
        key = self._key(entry)
        if key is None:
            return
        if key in self._numbers:
            self.found.append(f"entries {self._numbers[key]} and {entry['seq']}: {key} done twice")
        self._numbers[key] = entry["seq"]
        asked = [call for call in self._calls[key] if not isinstance(call.heard, Refusal)]
        if not asked:
            self.found.append(f"entry {entry['seq']}: nobody did {key}")

    def _order(self) -> None:
        """Check real time: no entry has a higher number than one that began after it had ended.

        An entry happened within one of the calls that have its key.
        """
        count = len(self._rows.entries)
        self._begins, ends = [-NEVER] * count, [NEVER] * count
        for key, number in self._numbers.items():
            asked = [call for call in self._calls[key] if not isinstance(call.heard, Refusal)]
            self._begins[number] = min((call.began for call in asked), default=-NEVER)
            ends[number] = min((call.ended for call in asked), default=NEVER)
        earliest = NEVER
        for number in reversed(range(count)):
            if earliest < self._begins[number]:
                self.found.append(f"entry {number} began after a later one had ended")
            earliest = min(earliest, ends[number])
        # By time: the highest number that had ended by then, the lowest that had not begun.
        by_end = sorted((end, number) for number, end in enumerate(ends))
        self._ended_at = [end for end, _ in by_end]
        self._highest = list(accumulate((number for _, number in by_end), max))
        by_begin = sorted((begin, number) for number, begin in enumerate(self._begins))
        self._began_at = [begin for begin, _ in by_begin]
        lowest = accumulate((number for _, number in reversed(by_begin)), min)
        self._lowest = list(lowest)[::-1]

    def _between(self, call: Call) -> range:
        """Return the entries that may have been the latest one while a call ran."""
        before = bisect_left(self._ended_at, call.began)
        first = self._highest[before - 1] if before else 0
        after = bisect_right(self._began_at, call.ended)
        last = self._lowest[after] if after < len(self._lowest) else len(self._free)
        return range(first, max(last, first + 1))

    # --- answers --------------------------------------------------------------------------------

    def _judge(self, call: Call) -> Iterator[str]:
        told = f"client {call.client} {call.what} {dict(call.asked)}"
        if isinstance(call.heard, Refusal):
            if not self._is_right(call, call.heard):
                yield f"{told}: refused by {call.heard.code} {call.heard.data}"
        elif call.key is not None:
            number = self._numbers.get(call.key)
            if number is None:
                yield f"{told}: lost, {call.heard} has no entry"
            elif differences := self._differences(call, self._rows.entries[number]):
                yield f"{told}: {call.heard}, entry {number} says {differences}"
        elif call.what == "look" and not self._saw(call):
            yield f"{told}: {call.heard} was never so"

    def _differences(self, call: Call, entry: dict[str, Any]) -> dict[str, Any]:
        """Return what an entry says otherwise than the reply."""
        heard, free = call.heard, entry["balance_after"] - entry["reserved_after"]
        match call.what:
            case "grant":
                amount, seq = entry["balance_delta"], entry["seq"]
                said = {"amount_credits": amount, "available_credits": free, "entry_seq": seq}
            case "reserve":
                said = {"amount_credits": entry["hold"], "available_credits": free}
                said["reservation_id"] = entry["reservation_id"]
            case "commit":
                named = self._rows.holds[call.asked["reservation_id"]]
                charged = -entry["balance_delta"]
                said = {"charged": charged, "new_balance": free}
                said["refunded"] = max(named["amount"] - charged, 0)
                renewal = entry["reservation_id"]
                said["renewal_id"] = renewal if renewal != named["id"] else None
            case _:
                said = {"released": entry["hold"], "new_balance": free}
        return {name: value for name, value in said.items() if getattr(heard, name) != value}

    def _is_right(self, call: Call, refusal: Refusal) -> bool:
        """Could this have been refused at some moment of the call?"""
        hold = self._rows.holds.get(call.asked.get("reservation_id", uuid.UUID(int=0)))
        if hold is None and call.what not in ("reserve",):
            return refusal.code == "RESERVATION_NOT_FOUND"
        if refusal.code in CLOSED_BY and hold is not None:
            number = self._numbers.get((CLOSED_BY[refusal.code], hold["id"]))
            return number is not None and self._begins[number] <= call.ended
        if refusal.code == "RESERVATION_EXPIRED" and hold is not None:
            return self._is_short(hold)
        if refusal.code != "INSUFFICIENT_CREDITS":
            return False
        available = refusal.data["available"]
        own = hold["amount"] if hold is not None else 0
        return available < refusal.data["required"] and self._was_free(call, available - own)

    def _was_free(self, call: Call, credits: int) -> bool:
        """Was this free while the call ran? Short holds may count as free, or not yet."""
        return any(
            self._free[number] <= credits <= self._free[number] + self._short[number]
            for number in self._between(call)
        )

    def _saw(self, call: Call) -> bool:
        funds = call.heard
        entries: Sequence[dict[str, Any]] = self._rows.entries
        return any(
            entries[number]["balance_after"] == funds.balance
            and self._free[number] <= funds.available <= self._free[number] + self._short[number]
            for number in self._between(call)
        )
