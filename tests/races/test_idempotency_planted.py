"""What holds a key: the lock lets twins wait, the row decides; without both it is seen to break."""

from __future__ import annotations

import dataclasses
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg
import pytest
from django.test import Client

from flagship.models import IdempotencyRecord
from flagship.models.idempotency import Claim, ClaimedKey
from flagship.models.signature import Use
from flagship.services.known_callers import KnownCaller, inside_as
from jobs.models import Job
from tests.clients import ApiCaller, make_client
from tests.histories.bugs import rewrite
from tests.races.racers import Racers

CLIENTS = 4
ROUNDS = 8
MIDDLEWARE = "flagship.middleware.idempotency"
PROBE = {"kind": "jobs.probe", "payload": {"note": "raced"}}


def send(caller: ApiCaller, key: str) -> Any:
    """Send until the twin has ended, as a client would."""
    for _ in range(20):
        response = caller.post("/api/jobs", PROBE, key=key)
        if response.status_code != 409:
            break
    return response


def race(rounds: int = ROUNDS) -> Counter[str]:
    """Race one key a round; each has to make one job and one answer. Returns codes of refusals."""
    caller = make_client()
    twins = [
        dataclasses.replace(caller, client=Client(raise_request_exception=False))
        for _ in range(CLIENTS)
    ]
    with Racers(CLIENTS) as racers:
        for _ in range(rounds):
            key = f"race-{uuid.uuid4().hex}"
            answers = racers.race([partial(send, twin, key) for twin in twins])
            made = Job.objects.count()
            assert made == 1, f"{made} effects of one key"
            assert {answer.content for answer in answers} == {
                bytes(IdempotencyRecord.objects.get().body or b"")
            }
            Job.objects.all().delete()
            IdempotencyRecord.objects.all().delete()
    return Counter(str(answer.status_code) for answer in answers)


@contextmanager
def unclaimed(*, claim: Claim, use: Use | None, known: KnownCaller | None) -> Iterator[ClaimedKey]:
    """Begin the request's transaction, and look at no key."""
    with inside_as(known, claim.organization_id):
        yield ClaimedKey(None, datetime.now(UTC))


def test_key__raced_in_one_process__is_done_once(live_db: None) -> None:
    # P02
    assert race() == {"202": CLIENTS}


def test_key__without_its_lock__is_decided_by_the_row(
    owner_db: psycopg.Connection[Any],
) -> None:
    # P02: what the lock saves is the work that would be undone.
    held = "PERFORM pg_advisory_xact_lock(flagship_key_lock(wanted));"
    rewrite(owner_db, "flagship_claim_key", held, "")

    assert race() == {"202": CLIENTS}


def test_key__never_looked_up__is_decided_by_the_row(
    live_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # P02: twins that all do the work: one keeps it, the others are undone and told to come again.
    monkeypatch.setattr(f"{MIDDLEWARE}.claimed_key", unclaimed)
    caller = make_client()
    key = f"race-{uuid.uuid4().hex}"

    first, again = send(caller, key), send(caller, key)

    assert (first.status_code, again.status_code) == (202, 409)
    assert again.json()["error"] == "IDEMPOTENCY_KEY_IN_USE"
    assert Job.objects.count() == 1


def test_key__with_neither_lock_nor_row__is_seen_to_be_done_twice(
    live_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # P02: the race sees.
    monkeypatch.setattr(f"{MIDDLEWARE}.claimed_key", unclaimed)
    monkeypatch.setattr(f"{MIDDLEWARE}.store_answer", lambda **_: None)

    with pytest.raises(AssertionError, match="effects of one key"):
        race()
