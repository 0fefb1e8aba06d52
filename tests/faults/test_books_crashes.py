"""PostgreSQL killed while credits and builds are used: what was answered is there, no drift."""

from __future__ import annotations

import random
import time
from typing import Any

import psycopg
import pytest
from django.db import connections
from psycopg import sql

from tests.faults.books import Books, drift
from tests.faults.matrix.matrix import seed
from tests.faults.matrix.tally import TALLY, full
from tests.faults.matrix.verdicts import Finding
from tests.servers import DATABASE, Servers

CRASHES = full(2, 20)
ENOUGH = 5


def crash_under_load(books: Books, servers: Servers, chance: random.Random) -> list[Finding]:
    """Crash the server once under load; return what differs right after, in one snapshot."""
    assert servers.postgres is not None
    time.sleep(chance.uniform(0.5, 1.5))
    servers.postgres.crash()
    time.sleep(chance.uniform(0.0, 0.3))
    servers.postgres.launch()
    connections.close_all()
    return [Finding("crooked", f"right after a crash: {each}") for each in drift()]


@pytest.mark.timeout(900)
def test_postgres__crashed_under_credits_and_builds__loses_no_answer_and_does_not_drift(
    live_db: None, servers: Servers
) -> None:
    # P08 P16 P17 P19 C-04 B-06
    if servers.postgres is None:
        pytest.skip("the server is not ours to crash")
    number = seed()
    print(f"SEED={number}")
    chance, findings = random.Random(number), list[Finding]()
    with Books(str(number)) as books:
        for _ in range(CRASHES):
            findings += crash_under_load(books, servers, chance)
            TALLY.faults["postgres_crash"] += 1
        time.sleep(0.5)
    findings += books.findings()
    TALLY.find(findings)

    told = f"{books.acknowledged()} answers, {books.unanswered()} calls without one"
    print(f"{CRASHES} crashes, {told}")
    assert findings == []
    assert books.acknowledged() > 20 * CRASHES
    assert books.unanswered() >= CRASHES


@pytest.mark.timeout(900)
def test_postgres__that_answers_before_it_has_written__is_seen_to_lose(
    owner_db: psycopg.Connection[Any], servers: Servers
) -> None:
    # P08: a proof must be able to fail.
    if servers.postgres is None:
        pytest.skip("the server is not ours to crash")
    books, chance = Books("planted"), random.Random(7)
    database = sql.Identifier(DATABASE)
    owner_db.execute(sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(database))
    connections.close_all()
    with books:
        for _ in range(ENOUGH):
            crash_under_load(books, servers, chance)
    found = books.findings()

    TALLY.planted += 1
    TALLY.seen += any(finding.sort == "lost" for finding in found)
    assert "lost" in {finding.sort for finding in found}
