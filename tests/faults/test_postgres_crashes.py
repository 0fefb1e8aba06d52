"""PostgreSQL killed under load, again and again: no job is lost or doubled."""

from __future__ import annotations

import random
import time

import pytest
from django.db import connections

from tests.faults.load import Load
from tests.faults.matrix.matrix import seed
from tests.faults.matrix.tally import TALLY, full
from tests.processes import Processes, Running
from tests.servers import Servers

pytestmark = pytest.mark.usefixtures("live_db")

CRASHES = full(3, 20)
FAST = {
    "JOB_LEASE_S": "4",
    "JOB_LEASE_RENEWAL_S": "1",
    "SWEEP_INTERVAL_S": "0.2",
    "JOB_LOST_AFTER_S": "2",
    "WORKER_SLOTS": "10",
}


def start(processes: Processes, command: str) -> Running:
    """A process that is ready."""
    process = processes.start(command, env=FAST)
    process.wait_for("Listening on" if command == "rqworker" else "sweeping every")
    return process


@pytest.mark.timeout(900)
def test_postgres__crashed_again_and_again_under_load__loses_and_doubles_no_job(
    processes: Processes, servers: Servers
) -> None:
    # P08
    if servers.postgres is None:
        pytest.skip("the server is not ours to crash")
    number = seed()
    print(f"SEED={number}")
    chance = random.Random(number)
    scheduler, worker = (start(processes, name) for name in ("rqscheduler", "rqworker"))
    load = Load(chance)
    load.start()
    for _ in range(CRASHES):
        time.sleep(chance.uniform(0.5, 1.5))
        servers.postgres.crash()
        time.sleep(chance.uniform(0.0, 0.3))
        servers.postgres.launch()
        TALLY.faults["postgres_crash"] += 1
    connections.close_all()
    load.finish()
    load.settle(60)
    findings = load.findings()
    TALLY.find(findings)

    print(f"{CRASHES} crashes, {len(load.acknowledged)} jobs acknowledged")
    assert findings == [], worker.output()[-3000:] + scheduler.output()[-2000:]
    assert len(load.acknowledged) > 2 * CRASHES
    assert worker.popen.poll() is None
    assert scheduler.popen.poll() is None
