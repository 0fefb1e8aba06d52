"""An oracle for the ledger: replays entries in plain Python, apart from the code under test."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db import connection

BOOKS = ("balance", "reserved", "issued", "charged", "lapsed")
_CLOSES = {"commit": "committed", "release": "released", "expire": "expired"}


@dataclass(slots=True)
class Books:
    """One account as its entries alone make it."""

    balance: int = 0
    reserved: int = 0
    issued: int = 0
    charged: int = 0
    lapsed: int = 0
    seq: int = -1
    # By the number of the grant: (priority, lapses at or never, number), and what is left.
    terms: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    lots: dict[int, int] = field(default_factory=dict)
    # What each charge burnt, in order, and has not been given back: [grant, credits].
    burnt: dict[int, list[list[int]]] = field(default_factory=dict)
    grants: dict[int, int] = field(default_factory=dict)
    holds: dict[str, int] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def replay(self, entry: dict[str, Any]) -> None:
        """Apply one entry; note whatever does not add up."""
        self._expect(entry["seq"] == self.seq + 1, entry, "no gap in seq")
        before = (entry["balance_before"], entry["reserved_before"])
        self._expect(before == (self.balance, self.reserved), entry, "starts at its predecessor")
        self.seq = entry["seq"]
        self._apply(entry)
        self._expect(sum(self.lots.values()) == self.balance, entry, "lots hold the balance")
        after = (entry["balance_after"], entry["reserved_after"])
        self._expect(after == (self.balance, self.reserved), entry, "ends where it says")
        self._expect(0 <= self.reserved <= self.balance, entry, "stays within bounds")

    def _apply(self, entry: dict[str, Any]) -> None:
        kind, hold = entry["kind"], str(entry["reservation_id"])
        if kind == "grant":
            self.balance += entry["balance_delta"]
            self.issued += entry["balance_delta"]
            self._grant(entry)
        elif kind in {"lapse", "reversal"}:
            self.balance += entry["balance_delta"]
            self._about_earlier(entry, entry["original_seq"], entry["balance_delta"])
        elif kind == "reserve":
            self._expect(hold not in self.states, entry, "reserves once")
            self.holds[hold] = entry["hold"]
            self.reserved += entry["hold"]
            self.states[hold] = "held"
        elif kind in _CLOSES:
            self._expect(self.states.get(hold) == "held", entry, "resolves a held reservation")
            self.reserved -= self.holds.pop(hold, 0)
            self.states[hold] = _CLOSES[kind]
            if kind == "commit":
                self.balance += entry["balance_delta"]
                self.charged -= entry["balance_delta"]
                self._burn(entry)
        else:
            self._expect(kind == "open" and entry["seq"] == 0, entry, "opens first")

    def _grant(self, entry: dict[str, Any]) -> None:
        number, never = entry["seq"], datetime.max.replace(tzinfo=UTC)
        self.terms[number] = (entry["priority"], entry["lapses_at"] or never, number)
        self.lots[number] = self.grants[number] = entry["balance_delta"]

    def _burn(self, entry: dict[str, Any]) -> None:
        wanted, taken = -entry["balance_delta"], []
        for number in sorted(self.lots, key=self.terms.__getitem__):
            part = min(wanted, self.lots[number])
            if part:
                self.lots[number] -= part
                taken.append([number, part])
                wanted -= part
        self._expect(wanted == 0, entry, "charges what lots have")
        self.burnt[entry["seq"]] = taken

    def _about_earlier(self, entry: dict[str, Any], original: int, delta: int) -> None:
        if original in self.grants:
            self.lots[original] += delta
            self._expect(self.lots[original] >= 0 > delta, entry, "takes what the lot has")
            if entry["kind"] == "lapse":
                self.lapsed -= delta
                due = self.terms[original][1] <= entry["created_at"]
                self._expect(due, entry, "lapses when it is due")
            else:
                self.issued += delta
            return
        self.charged -= delta
        for part in reversed(self.burnt.get(original, [])):
            given = min(delta, part[1])
            part[1] -= given
            self.lots[part[0]] += given
            delta -= given
        self._expect(delta == 0, entry, "gives back at most what was charged")

    def _expect(self, holds: bool, entry: dict[str, Any], rule: str) -> None:
        if not holds:
            self.problems.append(f"entry {entry['seq']} {entry['kind']}: not so: {rule}")


def read_rows(query: str) -> list[dict[str, Any]]:
    """Return rows as dictionaries."""
    with connection.cursor() as cursor:
        cursor.execute(query)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def ledger_problems() -> list[str]:
    """Replay every account and compare with the rows; return what differs (P16, P17)."""
    books: defaultdict[str, Books] = defaultdict(Books)
    for entry in read_rows("SELECT * FROM credits_entry ORDER BY account_id, seq"):
        books[str(entry["account_id"])].replay(entry)
    problems: list[str] = []
    for account in read_rows("SELECT * FROM credits_account"):
        book = books.pop(str(account["id"]), Books())
        stored = [account[name] for name in BOOKS]
        if [*stored, account["last_seq"]] != [
            *(book.balance, book.reserved, book.issued, book.charged, book.lapsed),
            book.seq,
        ]:
            problems.append(f"account {account['id']} stands at {stored}, entries at {book}")
        problems += book.problems
        problems += _reservation_problems(str(account["id"]), book)
        problems += _lot_problems(str(account["id"]), book)
    return problems + [f"entries without an account: {name}" for name in books]


def _reservation_problems(account_id: str, book: Books) -> list[str]:
    rows = read_rows(
        f"SELECT id, state, amount FROM credits_reservation WHERE account_id = '{account_id}'"
    )
    stored = {str(row["id"]): row["state"] for row in rows}
    held = sum(row["amount"] for row in rows if row["state"] == "held")
    problems = [] if stored == book.states else [f"states {stored}, by entries {book.states}"]
    return problems + ([] if held == book.reserved else [f"held {held}, reserved {book.reserved}"])


def _lot_problems(account_id: str, book: Books) -> list[str]:
    lots = read_rows(f"SELECT seq, remaining FROM credits_lot WHERE account_id = '{account_id}'")
    stored = {row["seq"]: row["remaining"] for row in lots}
    draws = read_rows(
        "SELECT lot_seq, sum(amount)::bigint AS amount FROM credits_draw"
        f" WHERE account_id = '{account_id}' GROUP BY lot_seq"
    )
    drawn = {row["lot_seq"]: row["amount"] for row in draws}
    problems = [] if stored == book.lots else [f"lots {stored}, by entries {book.lots}"]
    return problems + ([] if drawn == book.lots else [f"draws {drawn}, by entries {book.lots}"])


def assert_ledger_adds_up() -> None:
    """Fail with every contradiction between entries, accounts and reservations."""
    assert ledger_problems() == []
