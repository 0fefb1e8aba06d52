"""The sweep beside everything else: no deadlock, no lost operation, no drift."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import Counter
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from django.db import InterfaceError, OperationalError, connection, connections

from credits.models import Reservation
from credits.services import (
    commit_reservation,
    expire_reservations,
    extend_reservation,
    release_reservation,
)
from jobs.errors import Refusal
from tests.factories import make_account, make_hold
from tests.ledger import assert_ledger_adds_up
from tests.servers import Servers
from tests.soak import soaked

CLIENTS, SWEEPERS = 4, 2
LOAD_S = soaked(6.0)


class Load:
    """Clients and sweepers on a few hot accounts for a while; remembers what was acknowledged."""

    def __init__(self, seed: int, *, may_lose_connection: bool = False) -> None:
        self.accounts = [make_account(credits=10_000) for _ in range(3)]
        self.until = time.monotonic() + LOAD_S
        self.may_lose_connection = may_lose_connection
        self.outcomes: Counter[str] = Counter()
        self.acknowledged: dict[uuid.UUID, str] = {}
        self.errors: list[BaseException] = []
        self.lost = 0
        self.threads = [
            threading.Thread(target=self._work, args=(self._client, seed + number))
            for number in range(CLIENTS)
        ]
        self.threads += [
            threading.Thread(target=self._work, args=(self._sweeper, number))
            for number in range(SWEEPERS)
        ]

    def run(self) -> None:
        """Start all, wait for the end."""
        for thread in self.threads:
            thread.start()
        for thread in self.threads:
            thread.join(LOAD_S + 60)

    def _work(self, act: Any, seed: int) -> None:
        chance = random.Random(seed)
        try:
            while time.monotonic() < self.until:
                try:
                    act(chance)
                except (OperationalError, InterfaceError) as error:
                    if not self.may_lose_connection or "deadlock" in str(error):
                        raise
                    self.lost += 1
                    with suppress(OperationalError, InterfaceError):
                        connection.close()
        except BaseException as error:
            self.errors.append(error)
        finally:
            connections.close_all()

    def _sweeper(self, chance: random.Random) -> None:
        self.outcomes["swept"] += expire_reservations(limit=50)
        time.sleep(0.002)

    def _client(self, chance: random.Random) -> None:
        organization = chance.choice(self.accounts)
        hold = make_hold(
            organization, chance.randint(1, 20), expires_in_s=chance.choice([0.004, 0.05, 60, 60])
        ).reservation_id
        self.acknowledged[hold] = "held"
        time.sleep(chance.uniform(0, 0.01))
        named: dict[str, Any] = {
            "reservation_id": hold,
            "organization_id": organization,
            "actor": "test",
        }
        choice = chance.choice(["committed", "released", "extended", "abandoned"])
        with suppress(Refusal):
            if choice == "committed":
                committed = commit_reservation(**named, actual_credits=chance.randint(0, 3))
                if committed.renewal_id is None:
                    self.acknowledged[hold] = choice
            elif choice == "released":
                release_reservation(**named, reason="load")
                self.acknowledged[hold] = choice
            elif choice == "extended":
                extend_reservation(reservation_id=hold, expires_in_s=1)
            self.outcomes[choice] += 1


def check_acknowledged(load: Load) -> None:
    """Every acknowledged reservation exists and is what its last reply said."""
    states = dict(Reservation.objects.values_list("id", "state"))
    assert set(load.acknowledged) <= set(states)
    wrong = {
        hold: (said, states[hold])
        for hold, said in load.acknowledged.items()
        if said != "held" and states[hold] != said
    }
    # Where a reply was lost the state may be ahead of what was heard, never behind it.
    assert wrong == {}


def test_sweep__beside_commits_releases_and_extensions__never_deadlocks(live_db: None) -> None:
    # C-02; reliability-security finding 8
    load = Load(1)

    load.run()

    assert load.errors == []
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        assert cursor.fetchone() == (0,)
    assert all(load.outcomes[name] for name in ("swept", "committed", "released", "extended"))
    check_acknowledged(load)
    assert_ledger_adds_up()


def test_ledger__backends_killed_under_load__loses_nothing_and_does_not_drift(
    live_db: None, servers: Servers
) -> None:
    # C-04, P16
    if servers.postgres is None:
        pytest.skip("killing backends needs the embedded server's superuser")
    load = Load(2, may_lose_connection=True)
    runner = threading.Thread(target=load.run)
    killed = 0
    with psycopg.connect(servers.superuser_url(), autocommit=True) as superuser:
        runner.start()
        while runner.is_alive():
            time.sleep(0.1)
            row = superuser.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity"
                " WHERE usename = %s AND datname = current_database() AND pid <> pg_backend_pid()"
                " ORDER BY random() LIMIT 1) victim",
                (servers.application,),
            ).fetchone()
            killed += row[0] if row else 0
        runner.join()
    connection.close()

    assert load.errors == []
    assert killed >= 10 and load.lost >= 1
    check_acknowledged(load)
    assert_ledger_adds_up()
    while expire_reservations(limit=500):
        pass
    assert_ledger_adds_up()
