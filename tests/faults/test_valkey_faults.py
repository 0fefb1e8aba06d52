"""Valkey killed, stopped, emptied, set back and cut off under load: no job is lost or doubled."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
import redis

from flagship.management.embedded import Valkey
from tests.faults.load import Load
from tests.faults.matrix.matrix import seed
from tests.faults.matrix.tally import TALLY, full
from tests.faults.proxy import Proxy
from tests.processes import Processes, Running
from tests.servers import Servers

pytestmark = pytest.mark.usefixtures("live_db")

FAULTS = full(10, 60)
FAST = {
    "JOB_LEASE_S": "4",
    "JOB_LEASE_RENEWAL_S": "1",
    "SWEEP_INTERVAL_S": "0.2",
    "JOB_LOST_AFTER_S": "2",
    "WORKER_SLOTS": "10",
}
STOP_S = 5.0


class Attacker:
    """Knows the ways in which Valkey fails. Workers reach it through a proxy."""

    def __init__(self, valkey: Valkey, proxy: Proxy, dump: Path, chance: random.Random) -> None:
        self.valkey = valkey
        self.proxy = proxy
        self._dump = dump
        self._chance = chance
        self.ways: dict[str, Callable[[], None]] = {
            "kill": self.kill,
            "stop": self.stop,
            "flushall": self.flush,
            "old_dump": self.set_back,
            "cut": self.cut,
        }

    def keep(self) -> None:
        """Copy what is on the disk now, for a day on which it is put back."""
        shutil.rmtree(self._dump, ignore_errors=True)
        shutil.copytree(self._kept, self._dump)

    def kill(self) -> None:
        """SIGKILL, and a new start from the append-only file."""
        self.valkey.crash()
        time.sleep(self._chance.uniform(0.0, 0.5))
        self.valkey.start()

    def stop(self) -> None:
        """SIGSTOP for five seconds: connections stay, nothing answers."""
        assert self.valkey.process
        pid = self.valkey.process.pid
        os.kill(pid, signal.SIGSTOP)
        time.sleep(STOP_S)
        os.kill(pid, signal.SIGCONT)

    def flush(self) -> None:
        """FLUSHALL."""
        with redis.Redis.from_url(self.valkey.url) as client:
            client.flushall()

    def set_back(self) -> None:
        """Start with the data of an earlier time."""
        self.valkey.crash()
        shutil.rmtree(self._kept)
        shutil.copytree(self._dump, self._kept)
        self.valkey.start()

    def cut(self) -> None:
        """Break a connection in the middle of a reply."""
        before = self.proxy.cuts
        self.proxy.cut(self._chance.randint(0, 12))
        until = time.monotonic() + 5
        while self.proxy.cuts == before and time.monotonic() < until:
            time.sleep(0.01)

    @property
    def _kept(self) -> Path:
        return self.valkey.data / "appendonlydir"


@pytest.fixture
def proxy(servers: Servers) -> Iterator[Proxy]:
    """Between the workers and Valkey."""
    if servers.valkey is None:
        pytest.skip("the server is not ours to break")
    running = Proxy(servers.valkey.port)
    yield running
    running.close()


def start(processes: Processes, command: str, proxy: Proxy) -> Running:
    """A process that reaches Valkey through the proxy."""
    parts = urlsplit(os.environ["REDIS_URL"])
    host = f"{parts.username or ''}:{parts.password}@127.0.0.1:{proxy.port}"
    url = urlunsplit(parts._replace(netloc=host))
    process = processes.start(command, env=FAST | {"REDIS_URL": url})
    process.wait_for("Listening on" if command == "rqworker" else "sweeping every")
    return process


@pytest.mark.timeout(900)
def test_valkey__broken_in_five_ways_under_load__loses_and_doubles_no_job(
    processes: Processes, servers: Servers, proxy: Proxy, tmp_path: Path
) -> None:
    # P10
    number = seed()
    print(f"SEED={number}")
    chance = random.Random(number)
    assert servers.valkey
    attacker = Attacker(servers.valkey, proxy, tmp_path / "dump", chance)
    scheduler, worker = (start(processes, name, proxy) for name in ("rqscheduler", "rqworker"))
    load = Load(chance)
    load.start()
    ways = list(attacker.ways) * (FAULTS // len(attacker.ways))
    chance.shuffle(ways)
    time.sleep(1)
    attacker.keep()
    for way in ways:
        time.sleep(chance.uniform(0.1, 1.0))
        if chance.random() < 0.2:
            attacker.keep()
        attacker.ways[way]()
        TALLY.faults[f"valkey_{way}"] += 1
    load.finish()
    load.settle(60)
    findings = load.findings()
    TALLY.find(findings)

    print(f"{len(ways)} faults, {len(load.acknowledged)} jobs")
    assert findings == [], worker.output()[-3000:] + scheduler.output()[-2000:]
    assert len(load.acknowledged) > 2 * len(ways)
    assert worker.popen.poll() is None
    assert scheduler.popen.poll() is None
