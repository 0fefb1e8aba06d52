"""An oracle for the ledger: replays entries in plain Python, apart from the code under test."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

_CLOSES = {"commit": "committed", "release": "released", "expire": "expired"}


@dataclass(slots=True)
class Books:
    """One account as its entries alone make it."""

    balance: int = 0
    reserved: int = 0
    issued: int = 0
    charged: int = 0
    seq: int = -1
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
        after = (entry["balance_after"], entry["reserved_after"])
        self._expect(after == (self.balance, self.reserved), entry, "ends where it says")
        self._expect(0 <= self.reserved <= self.balance, entry, "stays within bounds")

    def _apply(self, entry: dict[str, Any]) -> None:
        kind, hold = entry["kind"], str(entry["reservation_id"])
        if kind == "grant":
            self.balance += entry["balance_delta"]
            self.issued += entry["balance_delta"]
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
        else:
            self._expect(kind == "open" and entry["seq"] == 0, entry, "opens first")

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
        stored = [account[name] for name in ("balance", "reserved", "issued", "charged")]
        if [*stored, account["last_seq"]] != [
            *(book.balance, book.reserved, book.issued, book.charged),
            book.seq,
        ]:
            problems.append(f"account {account['id']} stands at {stored}, entries at {book}")
        problems += book.problems
        problems += _reservation_problems(str(account["id"]), book)
    return problems + [f"entries without an account: {name}" for name in books]


def _reservation_problems(account_id: str, book: Books) -> list[str]:
    rows = read_rows(
        f"SELECT id, state, amount FROM credits_reservation WHERE account_id = '{account_id}'"
    )
    stored = {str(row["id"]): row["state"] for row in rows}
    held = sum(row["amount"] for row in rows if row["state"] == "held")
    problems = [] if stored == book.states else [f"states {stored}, by entries {book.states}"]
    return problems + ([] if held == book.reserved else [f"held {held}, reserved {book.reserved}"])


def assert_ledger_adds_up() -> None:
    """Fail with every contradiction between entries, accounts and reservations."""
    assert ledger_problems() == []
