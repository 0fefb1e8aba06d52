"""Grants, reversals, freezes and statements under many at once: each lock holds (P16 to P18)."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import Counter
from contextlib import suppress
from datetime import date, timedelta
from functools import partial
from typing import Any

from django.db import connection, connections

from credits.errors import CreditAccountFrozen, ReversalTooLarge
from credits.models import Account, Entry, Freeze, Lot, Statement
from credits.selectors import broken_statements
from credits.services import (
    Reversed,
    commit_reservation,
    lapse_grants,
    reconcile,
    release_reservation,
    reverse_entry,
)
from credits.services.ledger import call_ledger
from flagship.models import AuditEvent
from jobs.errors import Refusal
from tests.factories import make_account, make_grant, make_hold
from tests.ledger import assert_ledger_adds_up
from tests.races.racers import Racers
from tests.soak import soaked

CLIENTS = 8
LOAD_S = soaked(5.0)


def undo(organization: uuid.UUID, seq: int, amount: int, reference: str = "") -> Reversed:
    return reverse_entry(
        organization_id=organization,
        entry_seq=seq,
        amount_credits=amount,
        reason="race",
        actor="test",
        reference=reference or uuid.uuid4().hex,
    )


def charge(organization: uuid.UUID, amount: int) -> int:
    hold = make_hold(organization, amount).reservation_id
    commit_reservation(
        reservation_id=hold, organization_id=organization, actual_credits=amount, actor="test"
    )
    return Entry.objects.get(reservation=hold, kind="commit").seq


def test_reversal__by_many_at_once__never_exceeds_the_original(live_db: None) -> None:
    # C-07: the account's lock before the sum of what was undone
    with Racers(CLIENTS) as racers:
        for _ in range(10):
            organization = make_account(credits=100)
            seq = charge(organization, 100)

            answers = racers.race([partial(undo, organization, seq, 30)] * CLIENTS)

            refused = [answer for answer in answers if isinstance(answer, ReversalTooLarge)]
            assert len(refused) == CLIENTS - 3
            assert Account.objects.get(organization_id=organization).balance == 90
    assert_ledger_adds_up()


def test_reversal__same_reference_by_many__happens_once(live_db: None) -> None:
    # C-05
    organization = make_account(credits=100)
    seq = charge(organization, 100)
    with Racers(CLIENTS) as racers:
        answers = racers.race([partial(undo, organization, seq, 10, "one")] * CLIENTS)

    assert len({answer for answer in answers}) == 1 and isinstance(answers[0], Reversed)
    assert AuditEvent.objects.filter(action="credits.reversed").count() == 1
    assert_ledger_adds_up()


def test_freeze__against_commits__lets_none_through_behind_it(live_db: None) -> None:
    # C-06: the freeze waits for whoever is charging, and everybody after it sees it
    outcomes: Counter[str] = Counter()
    with Racers(CLIENTS) as racers:
        for _ in range(10):
            organization = make_account(credits=1000)
            account = Account.objects.get(organization_id=organization)

            def spend(organization: uuid.UUID = organization) -> int:
                done = 0
                with suppress(CreditAccountFrozen):
                    while done < 50:
                        charge(organization, 1)
                        done += 1
                return done

            def freeze(account: Account = account) -> Any:
                time.sleep(0.02)
                return call_ledger("credits_freeze_account", account.id, "[]")

            done = racers.race([spend] * (CLIENTS - 1) + [freeze])

            frozen_at = Freeze.objects.get(account=account).frozen_at
            commits = Entry.objects.filter(account=account, kind="commit")
            assert commits.filter(created_at__gt=frozen_at).count() == 0
            assert commits.count() == sum(done[:-1])
            outcomes["stopped"] += sum(count < 50 for count in done[:-1])
    assert outcomes["stopped"] > 0
    assert_ledger_adds_up()


def test_statement__written_by_many__is_one_and_the_chain_holds(live_db: None) -> None:
    # C-06: one writer at a time
    make_account(credits=5)
    first = date.today() - timedelta(days=12)
    with Racers(4) as racers:
        for number in range(10):
            day = first + timedelta(days=number)
            answers = racers.race([partial(call_ledger, "credits_write_statement", day, 0)] * 4)
            assert sorted(answer["is_new"] for answer in answers) == [False, False, False, True]

    assert list(Statement.objects.order_by("number").values_list("number", flat=True)) == [
        *range(10)
    ]
    assert broken_statements() == []


class Load:
    """Clients, a sweeper and a reconciler on two hot accounts whose grants lapse all the time."""

    def __init__(self) -> None:
        self.accounts = [make_account(credits=50) for _ in range(2)]
        self.until = time.monotonic() + LOAD_S
        self.outcomes: Counter[str] = Counter()
        self.errors: list[BaseException] = []
        acts = [self._client] * 5 + [self._sweeper, self._prover]
        self.threads = [
            threading.Thread(target=self._work, args=(act, random.Random(number)))
            for number, act in enumerate(acts)
        ]

    def run(self) -> None:
        """Start all, wait for the end."""
        for thread in self.threads:
            thread.start()
        for thread in self.threads:
            thread.join(LOAD_S + 60)

    def _work(self, act: Any, chance: random.Random) -> None:
        try:
            while time.monotonic() < self.until:
                act(chance)
        except BaseException as error:
            self.errors.append(error)
        finally:
            connections.close_all()

    def _sweeper(self, chance: random.Random) -> None:
        self.outcomes["lapsed"] += lapse_grants(limit=10)
        time.sleep(0.01)

    def _prover(self, chance: random.Random) -> None:
        assert reconcile().drifting == {}
        self.outcomes["proved"] += 1
        time.sleep(0.05)

    def _client(self, chance: random.Random) -> None:
        organization = chance.choice(self.accounts)
        act = chance.choice(["grant", "spend", "spend", "release", "reverse"])
        with suppress(Refusal):
            if act == "grant":
                make_grant(
                    organization,
                    chance.randint(1, 30),
                    priority=chance.choice([1, 100, 100, 500]),
                    lapses_in_s=chance.choice([None, 0.3, 0.6]),
                )
            elif act == "reverse":
                entries = Entry.objects.filter(
                    account__organization_id=organization, kind__in=["grant", "commit"]
                )
                seqs = list(entries.order_by("-seq").values_list("seq", flat=True)[:10])
                undo(organization, chance.choice(seqs), chance.randint(1, 5))
            else:
                self._use(organization, act, chance)
            self.outcomes[act] += 1

    def _use(self, organization: uuid.UUID, act: str, chance: random.Random) -> None:
        hold = make_hold(organization, chance.randint(1, 15), expires_in_s=chance.choice([0.02, 9]))
        named: dict[str, Any] = {
            "reservation_id": hold.reservation_id,
            "organization_id": organization,
            "actor": "test",
        }
        time.sleep(chance.uniform(0, 0.03))
        if act == "spend":
            commit_reservation(**named, actual_credits=chance.randint(0, 20))
        else:
            release_reservation(**named, reason="load")


def test_lots__granted_burnt_lapsed_and_reversed_by_many__hold_the_balance(live_db: None) -> None:
    # C-04, P16: checked while it runs by the reconciler, afterwards by the oracle
    load = Load()

    load.run()

    assert load.errors == []
    assert all(load.outcomes[name] for name in ("grant", "spend", "release", "reverse", "proved"))
    assert Entry.objects.filter(kind="lapse").exists()
    assert Lot.objects.filter(remaining=0).exists()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        assert cursor.fetchone() == (0,)
    lapses = AuditEvent.objects.filter(action="credits.lapsed").count()
    assert lapses == Entry.objects.filter(kind="lapse").count()
    assert_ledger_adds_up()
