"""Add up a ledger from outside, from nothing but what the API shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from builds.management.demo.failed import check

HEADER = f"{'entry':>5}  {'kind':<10} {'balance':>16} {'reserved':>16}  reason"


def check_ledger(account: dict[str, Any], entries: list[dict[str, Any]]) -> Iterator[str]:
    """Replay the entries from zero, one line each, and compare the end with the account.

    Raises: DemoFailed at the first entry that does not follow from the one before.
    """
    balance = reserved = 0
    yield HEADER
    for seq, entry in enumerate(sorted(entries, key=lambda entry: entry["seq"]), start=1):
        balance += entry["balanceDelta"]
        reserved += entry["reservedDelta"]
        check(entry["seq"] == seq, f"entry {seq} is missing")
        is_chained = (entry["balanceAfter"], entry["reservedAfter"]) == (balance, reserved)
        check(is_chained, f"entry {seq} does not follow from the one before")
        yield (
            f"{seq:>5}  {entry['kind']:<10} {entry['balanceDelta']:>+7} = {balance:>6}"
            f" {entry['reservedDelta']:>+7} = {reserved:>6}  {entry['reason']}"
        )
    said = (account["balance"], account["reserved"])
    check(said == (balance, reserved), f"the account says {said}, its entries {balance, reserved}")
    yield f"balance {balance:,}, reserved {reserved:,}: the account says the same"
