"""How often a worker goes to PostgreSQL and to Valkey for one job of each shape."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from bench.jobs.ground import SCHEMA, TABLES
from bench.jobs.proxy import CountingProxy
from bench.jobs.stamps import Stamps
from tests.processes import Processes, wait_until
from tests.servers import Servers

ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "bench.jobs.settings",
    "FLAGSHIP_SECRET_KEY": "only-for-tests-" + "x" * 40,
}
DONE = "SELECT count(*) FROM jobs_job WHERE kind LIKE 'bench.%%' AND state = 'succeeded'"


@pytest.fixture
def kinds(owner_db: psycopg.Connection[Any], servers: Servers, tmp_path: Path) -> dict[str, str]:
    """The tables of the kinds that are measured; what their processes are told."""
    owner_db.execute(SCHEMA)
    for table in TABLES:
        owner_db.execute(
            f"GRANT SELECT, INSERT, UPDATE ON {table} TO {servers.application}".encode()
        )
    return ENVIRONMENT | {"BENCH_STAMPS": str(tmp_path / "stamps")}


@pytest.mark.parametrize(
    ("shape", "count", "postgres_most", "valkey_most"),
    [
        # BEGIN, INSERT, UPDATE, completion, COMMIT; and a share of the claim of several.
        ("stepwise", 200, 7.0, 1.0),
        # BEGIN and the row lock together, INSERT, UPDATE, completion and COMMIT together; less
        # where the end of one goes with the beginning of the next.
        ("transactional", 200, 2.5, 1.0),
        # The same with INSERT and UPDATE one by one.
        ("transactional_waiting", 200, 4.5, 1.0),
        # The same for a hundred jobs.
        ("batch", 600, 0.6, 0.5),
    ],
)
def test_round_trips__of_a_durable_job__are_few(
    kinds: dict[str, str],
    owner_db: psycopg.Connection[Any],
    processes: Processes,
    shape: str,
    count: int,
    postgres_most: float,
    valkey_most: float,
) -> None:
    # W-08
    Stamps.new(Path(kinds["BENCH_STAMPS"]), count)
    owner_db.execute("INSERT INTO bench_row (id) SELECT generate_series(0, %s)", (count - 1,))
    subprocess.run(
        [sys.executable, "-m", "bench.jobs.ours", shape, "fill", "durable", str(count)],
        cwd=ROOT,
        env=os.environ | kinds,
        check=True,
        capture_output=True,
        timeout=60,
    )

    with (
        CountingProxy(_port(os.environ["DATABASE_URL"]), "postgres") as postgres,
        CountingProxy(_port(os.environ["REDIS_URL"]), "redis") as valkey,
    ):
        told = {
            "DATABASE_URL": _through(os.environ["DATABASE_URL"], postgres.port),
            "REDIS_URL": _through(os.environ["REDIS_URL"], valkey.port),
        }
        worker = processes.start("rqworker", "flagship:usage", env=kinds | told)
        wait_until(lambda: owner_db.execute(DONE).fetchone() == (count,), 60, worker.output)
        trips = postgres.now().trips / count, valkey.now().trips / count
        worker.kill()
        worker.wait()

    written = owner_db.execute("SELECT count(*), count(DISTINCT job) FROM bench_effect").fetchone()
    assert written == (count, count)
    print(f"{shape}: {trips[0]:.2f} to PostgreSQL, {trips[1]:.2f} to Valkey")
    assert 0.01 < trips[0] <= postgres_most
    assert 0.001 < trips[1] <= valkey_most


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def _through(url: str, port: int) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition(":")[0] + f":{port}"))
