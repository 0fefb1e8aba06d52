"""Add up a ledger from outside, from nothing but what the API shows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from builds.management.demo.failed import DemoFailed, check

HEADER = f"{'entry':>5}  {'kind':<8}  {'balance':>16}  {'reserved':>16}  reason"


def check_ledger(
    account: dict[str, Any], entries: list[dict[str, Any]], reservation_ids: Collection[str]
) -> Iterator[str]:
    """Replay all entries from zero and compare the end with the account.

    Yields a line for each entry of these reservations, and one on the whole.
    Raises: DemoFailed at the first entry that does not follow from the one before.
    """
    balance = reserved = 0
    yield HEADER
    for seq, entry in enumerate(sorted(entries, key=lambda entry: entry["seq"])):
        balance += entry["balanceDelta"]
        reserved += entry["reservedDelta"]
        check(entry["seq"] == seq, f"entry {seq} is missing")
        is_chained = (entry["balanceAfter"], entry["reservedAfter"]) == (balance, reserved)
        check(is_chained, f"entry {seq} does not follow from the one before")
        if entry["reservationId"] in reservation_ids:
            yield (
                f"{seq:>5}  {entry['kind']:<8}  {entry['balanceDelta']:>+7} = {balance:>6}"
                f"  {entry['reservedDelta']:>+7} = {reserved:>6}  {entry['reason']}"
            )
    said = (account["balance"], account["reserved"])
    check(said == (balance, reserved), f"the account says {said}, its entries {balance, reserved}")
    yield (
        f"{len(entries)} entries from zero: balance {balance:,}, reserved {reserved:,};"
        " the account says the same"
    )


def resolved_by(entries: Iterable[dict[str, Any]], reservation_id: str) -> dict[str, Any]:
    """Return the entry that ended a reservation. Raises: DemoFailed when it is still open."""
    own = (entry for entry in entries if entry["reservationId"] == reservation_id)
    entry = next((entry for entry in own if entry["kind"] != "reserve"), None)
    if entry is None:
        raise DemoFailed(f"{reservation_id} still holds credits")
    return entry


def charged_to(entries: list[dict[str, Any]], reservation_id: str) -> int:
    """Return what a reservation took from the balance, in credits."""
    own = (entry for entry in entries if entry["reservationId"] == reservation_id)
    return -sum(int(entry["balanceDelta"]) for entry in own)
