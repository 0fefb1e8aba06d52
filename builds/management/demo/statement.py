"""The statement: every entry of the account, exported, added up from nothing and compared."""

from __future__ import annotations

import csv
import io
import json
from typing import Any, Final

from builds.management.demo.client import Client
from builds.management.demo.failed import check, wait_for
from builds.management.demo.ledger import charged_to, check_ledger
from builds.management.demo.teller import Teller

PATH: Final = "/v1/credits/statement"
# What the CSV has to say as well; texts may carry an apostrophe there.
NUMBERS: Final = ("seq", "balanceDelta", "balanceAfter", "reservedDelta", "reservedAfter")
REST_TIMEOUT_S: Final = 60.0

Rows = list[dict[str, Any]]


def tell_statement(teller: Teller) -> tuple[int, int]:
    """Export the ledger and add it up; return its entries, and the credits that were charged.

    Raises: DemoFailed where an entry does not follow from the one before, the account, the list of
    entries or a build says otherwise, or a build was charged that was not deployed.
    """
    client = teller.client
    teller.title("The statement")
    account, exported, sheet, listed = _export(client)
    own = {build["reservationId"] for build in teller.builds}
    for line in check_ledger(account, exported, own):
        teller.note(line)
    check(_numbers(sheet) == _numbers(exported), "the CSV is another ledger")
    check(_numbers(listed) == _numbers(exported), "the list of entries is another ledger")
    teller.note("as CSV, as JSON lines and in pages: the same entries")
    for build in teller.builds:
        said, taken = build["chargedCredits"] or 0, charged_to(exported, build["reservationId"])
        check(said == taken, f"{build['id']} was charged {said}, the ledger took {taken}")
        check((taken > 0) == (build["state"] == "deployed"), f"{taken} for {build['state']}")
    charged = sum(build["chargedCredits"] or 0 for build in teller.builds)
    teller.note(f"{charged} credits charged, to each build what its reservation took")
    return len(exported), charged


def _export(client: Client) -> tuple[dict[str, Any], Rows, Rows, Rows]:
    """Return the account and its entries, exported both ways and listed, all at one moment.

    What an earlier story has left to be built may still move the account: then once more.
    """

    def look() -> tuple[dict[str, Any], Rows, Rows, Rows] | None:
        account = client.get("/v1/credits/account")
        exported = [json.loads(line) for line in client.text(f"{PATH}.jsonl").splitlines()]
        sheet = list(csv.DictReader(io.StringIO(client.text(f"{PATH}.csv"))))
        listed = sorted(client.items("/v1/credits/entries"), key=lambda entry: int(entry["seq"]))
        is_at_rest = client.get("/v1/credits/account") == account
        return (account, exported, sheet, listed) if is_at_rest else None

    return wait_for("an account at rest", look, REST_TIMEOUT_S)


def _numbers(rows: Rows) -> list[tuple[int, ...]]:
    return [tuple(int(row[name]) for name in NUMBERS) for row in rows]
