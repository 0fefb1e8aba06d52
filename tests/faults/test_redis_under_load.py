"""Proof 8: Redis stopped under HTTP load; no write refused or doubled, reads served (P02, E-07)."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from flagship.management.embedded import Valkey
from flagship.models import IdempotencyRecord
from jobs.models import Job
from tests.clients import ApiCaller
from tests.processes import Processes
from tests.races.apis import Apis
from tests.servers import Servers
from tests.soak import full

JOBS = "/api/jobs"
WRITERS, READERS = 6, 2
ROUNDS = full(2, 20)
SLOWEST_S = 5.0
"""A request held up by Redis waits tenths of a second; the rest of it is a busy machine."""


@dataclass(slots=True)
class Load:
    """Writers who send each effect twice under one key, and readers, until told to stop."""

    apis: Apis
    ended: threading.Event = field(default_factory=threading.Event)
    answers: dict[str, list[httpx.Response]] = field(default_factory=dict)
    read: Counter[int] = field(default_factory=Counter)
    times_s: list[float] = field(default_factory=list)

    def run(self) -> list[threading.Thread]:
        """Start them all."""
        acts = [self._write] * WRITERS + [self._read] * READERS
        threads = [threading.Thread(target=act, args=(n,)) for n, act in enumerate(acts)]
        for thread in threads:
            thread.start()
        return threads

    def _write(self, number: int) -> None:
        with httpx.Client(timeout=30, verify=False, trust_env=False) as client:
            while not self.ended.is_set():
                key = f"load-{uuid.uuid4().hex}"
                body = {"kind": "jobs.probe", "payload": {"note": key}}
                # The second goes to the other process, as a retry behind a balancer does.
                both = [self._ask(client, number + n, "POST", key, body) for n in range(2)]
                self.answers[key] = both

    def _read(self, number: int) -> None:
        with httpx.Client(timeout=30, verify=False, trust_env=False) as client:
            while not self.ended.is_set():
                self.read[self._ask(client, number, "GET", "", None).status_code] += 1

    def _ask(
        self, client: httpx.Client, number: int, method: str, key: str, body: Any
    ) -> httpx.Response:
        port = self.apis.ports[number % len(self.apis.ports)]
        headers = {"Authorization": f"Bearer {self.apis.secret}", "X-User-Id": f"user-{number}"}
        if key:
            headers["Idempotency-Key"] = key
        begun_s = time.monotonic()
        answer = client.request(
            method, f"http://127.0.0.1:{port}{JOBS}", headers=headers, json=body
        )
        self.times_s.append(time.monotonic() - begun_s)
        return answer


def stop(valkey: Valkey, chance: random.Random) -> None:
    """SIGSTOP: connections stay, nothing answers."""
    assert valkey.process
    os.kill(valkey.process.pid, signal.SIGSTOP)
    time.sleep(chance.uniform(1.5, 2.5))
    os.kill(valkey.process.pid, signal.SIGCONT)


def kill(valkey: Valkey, chance: random.Random) -> None:
    """SIGKILL, some time without, and a new start."""
    valkey.crash()
    time.sleep(chance.uniform(1.0, 2.0))
    valkey.start()


@pytest.fixture
def caller(live_db: None, issue_key: Any) -> ApiCaller:
    client: ApiCaller = issue_key()
    return client


@pytest.mark.timeout(900)
def test_redis__stopped_and_killed_under_load__refuses_and_doubles_no_write(
    caller: ApiCaller, processes: Processes, servers: Servers
) -> None:
    # P02, P10, E-01, E-07; research 3.7
    if servers.valkey is None:
        pytest.skip("the server is not ours to break")
    chance = random.Random(8)
    apis = Apis(processes, caller.secret)
    apis.start(2, JOBS_IN_FLIGHT_MAX="1000000")
    load = Load(apis)
    threads = load.run()
    faults: list[Callable[[Valkey, random.Random], None]] = [stop, kill] * ROUNDS
    try:
        for fault in faults:
            time.sleep(1.5)
            fault(servers.valkey, chance)
        time.sleep(2)
    finally:
        load.ended.set()
        for thread in threads:
            thread.join(60)

    first = {key: both[0] for key, both in load.answers.items()}
    print(
        f"{len(first)} writes, {sum(load.read.values())} reads, slowest {max(load.times_s):.2f} s"
    )
    assert {answer.status_code for both in load.answers.values() for answer in both} == {202}
    assert load.read.keys() == {200}
    for first_answer, second in load.answers.values():
        assert second.content == first_answer.content
        assert second.headers["Idempotency-Replayed"] == "true"
    effects = Counter(Job.objects.values_list("payload__note", flat=True))
    assert effects == Counter(first.keys())
    assert IdempotencyRecord.objects.count() == len(first)
    assert min(len(first), sum(load.read.values())) > 20 * len(faults)
    assert max(load.times_s) < SLOWEST_S
    assert_told_once_each(apis, len(faults))


def assert_told_once_each(apis: Apis, faults: int) -> None:
    """Each process said once of each loss that Redis was lost, and that it was back."""
    for running in apis.running:
        told = running.output()
        assert faults <= told.count("limits.redis_lost") == told.count("limits.redis_back")
        assert told.count("limits.redis_lost") <= 2 * faults
