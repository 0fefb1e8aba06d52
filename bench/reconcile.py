"""What a full pass of the reconciler costs: seconds by entries, part by part.

The ledger is written by its own functions: a grant, then reservations that are committed or
released in turn, and is dated back so that the daily statement is over all of it. Then it is proved
as `manage.py reconcile_credits` does, and each part of the proof is timed alone. Bar: a pass takes
no more than a hundredth of the hour between two. Source: C-06.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
import uuid
from collections.abc import Sequence
from typing import Any, Final

import psycopg

from bench._system import bare_system, machine
from bench.jobs.report import table

ENTRIES: Final = 100_000
ACCOUNTS: Final = 200
ROUNDS: Final = 3
HOUR_S: Final = 3600.0
BAR_S: Final = HOUR_S / 100
# Reservations of one transaction, as many updates of its account's row.
CHUNK: Final = 250

WORK: Final = """
DO $$
DECLARE
    hold uuid;
BEGIN
    FOR number IN 1 .. {pairs} LOOP
        hold := gen_random_uuid();
        PERFORM credits_reserve(hold, '{account}', 3, 'build', 'build_bench', '', 1800, '');
        IF number % 2 = 0 THEN
            PERFORM credits_commit_reservation('{account}', hold, 2, NULL, gen_random_uuid());
        ELSE
            PERFORM credits_release_reservation('{account}', hold, 'bench');
        END IF;
    END LOOP;
END $$
"""
# A throwaway database, as its superuser; the guards would refuse it.
DATE_BACK: Final = """
ALTER TABLE credits_entry DISABLE TRIGGER USER;
ALTER TABLE credits_lot DISABLE TRIGGER USER;
UPDATE credits_entry SET created_at = created_at - interval '3 days';
UPDATE credits_lot SET created_at = created_at - interval '3 days';
"""


def main(options: Sequence[str] = ()) -> None:
    """Measure and print. Exit code 1 when the bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m bench reconcile")
    parser.add_argument("--entries", type=int, default=ENTRIES)
    parser.add_argument("--accounts", type=int, default=ACCOUNTS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", action="store_true", help="print one object, not a table")
    chosen = parser.parse_args(options)
    with bare_system() as servers:
        if servers.postgres is None:
            raise SystemExit("the ledger needs a database of its own")
        started = time.monotonic()
        for number in range(chosen.accounts):
            _fill(number, chosen.entries // chosen.accounts)
        _date_back(servers.postgres.url("postgres"))
        filled_s = time.monotonic() - started
        found = {**_prove(chosen.rounds), "parts_s": _parts(chosen.rounds)}
    told = {
        "machine": machine(),
        "load": os.getloadavg()[0],
        "accounts": chosen.accounts,
        "filled_s": round(filled_s, 1),
        **found,
        "bar_s": BAR_S,
        "met": found["pass_s"] <= BAR_S,
    }
    print(json.dumps(told, indent=2) if chosen.json else _report(told))
    sys.exit(not told["met"])


def _fill(number: int, entries: int) -> None:
    """Open an account and let it work until it has so many entries, or one more."""
    from django.db import connection

    from credits.services import grant_credits, open_account
    from flagship.services.organizations import create_organization

    organization = create_organization(name=f"Bench {number}", actor="bench")
    open_account(organization_id=organization.id)
    grant_credits(
        organization_id=organization.id,
        amount_credits=10**9,
        reason="bench",
        actor="bench",
        reference="bench",
    )
    left = (entries - 1) // 2  # The account's first two entries are its own.
    while left > 0:
        pairs = min(left, CHUNK)
        with connection.cursor() as cursor:
            cursor.execute(WORK.format(pairs=pairs, account=organization.id))
        left -= pairs


def _date_back(url: str) -> None:
    """Let the entries be of days that are over, and leave the tables as autovacuum would."""
    with psycopg.connect(url, autocommit=True) as superuser:
        superuser.execute(DATE_BACK)
        superuser.execute("VACUUM ANALYZE")


def _prove(rounds: int) -> dict[str, Any]:
    """Prove it all: the first run writes a statement, every run checks the latest."""
    from credits.models import Entry
    from credits.services import reconcile

    taken = []
    for _ in range(rounds + 1):
        found = reconcile()
        if not found.holds:
            raise RuntimeError(f"the ledger does not add up: {found.to_json()}")
        taken.append(found.took_s)
    entries = Entry.objects.count()
    pass_s = statistics.median(taken[1:])
    return {
        "entries": entries,
        "pass_s": round(pass_s, 3),
        "us_per_entry": round(pass_s / entries * 1e6, 1),
        "share_of_an_hour": round(pass_s / HOUR_S, 6),
    }


def _parts(rounds: int) -> dict[str, float]:
    """Time each part alone, all accounts in batches of the reconciler's size; seconds."""
    from credits.selectors import list_account_ids, proof, statements
    from credits.services.proof import BATCH

    queries = {
        "accounts": proof._ACCOUNTS,
        "chain": proof._CHAIN,
        "holds": proof._HOLDS,
        "lots": proof._LOTS,
        "draws": proof._DRAWS,
        "reversals": proof._REVERSALS,
    }
    batches: list[list[uuid.UUID]] = []
    after: uuid.UUID | None = None
    while batch := list_account_ids(after=after, limit=BATCH):
        batches.append(batch)
        after = batch[-1]
    told = {}
    for name, query in queries.items():
        taken = [_time(query, batches) for _ in range(rounds)]
        told[name] = round(statistics.median(taken), 3)
    started = time.monotonic()
    statements.broken_statements()
    return {**told, "statements": round(time.monotonic() - started, 3)}


def _time(query: str, batches: list[list[uuid.UUID]]) -> float:
    """Return the seconds of one query over all batches."""
    from django.db import connection

    started = time.monotonic()
    for batch in batches:
        with connection.cursor() as cursor:
            cursor.execute(query, {"accounts": batch})
            cursor.fetchall()
    return time.monotonic() - started


def _report(told: dict[str, Any]) -> str:
    parts = told["parts_s"]
    head = ["accounts", "entries", "pass s", "us an entry", *parts]
    row = [f"{told['accounts']:,}", f"{told['entries']:,}", f"{told['pass_s']:.2f}"]
    row += [f"{told['us_per_entry']:.1f}", *(f"{seconds:.2f}" for seconds in parts.values())]
    return (
        f"{told['machine']}; load average {told['load']:.1f}\n\n{table([head, row])}\n\n"
        f"A pass within {BAR_S:.0f} s: met {'yes' if told['met'] else 'NO'}"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
