"""Many deaths of one cause at once, counted in four ways (docs/adr/0018).

Each death is a transaction of its own on one of several connections: a letter, its count, an event
as the audit's, COMMIT. The ways take turns, so that what else the machine does falls on all.
"""

from __future__ import annotations

import statistics
import threading
import time
from dataclasses import dataclass
from typing import Any, Final

import psycopg

CONNECTIONS: Final = 8
DEATHS: Final = 400
"""Of each connection in a round."""
ROUNDS: Final = 5
SLOTS: Final = 16

_TABLES: Final = f"""
CREATE TABLE bench_letter (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, cause text, at
    timestamptz DEFAULT clock_timestamp(), message text);
CREATE INDEX ON bench_letter (cause, at DESC, id DESC);
CREATE TABLE bench_event (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, about text);
CREATE TABLE bench_hot (cause text PRIMARY KEY, deaths bigint);
CREATE TABLE bench_slot (cause text, slot int, deaths bigint, PRIMARY KEY (cause, slot));
CREATE TABLE bench_note (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, cause text,
    deaths int);
CREATE INDEX ON bench_note (cause);
INSERT INTO bench_hot VALUES ('c', 0);
INSERT INTO bench_slot SELECT 'c', slot, 0 FROM generate_series(0, {SLOTS - 1}) AS slot;
"""
_WAYS: Final = {
    "not counted": "",
    "one row": "UPDATE bench_hot SET deaths = deaths + 1 WHERE cause = 'c'",
    f"{SLOTS} rows": "UPDATE bench_slot SET deaths = deaths + 1 WHERE cause = 'c'"
    f" AND slot = pg_backend_pid() % {SLOTS}",
    "rows added": "INSERT INTO bench_note (cause, deaths) VALUES ('c', 1)",
}
_TOTAL: Final = {
    "one row": "SELECT deaths FROM bench_hot",
    f"{SLOTS} rows": "SELECT sum(deaths) FROM bench_slot",
    "rows added": "SELECT sum(deaths) FROM bench_note",
}


@dataclass(frozen=True, slots=True)
class Way:
    """How fast deaths were counted in one way: medians of the rounds."""

    deaths_per_s: int
    p95_ms: float


def compare(dsn: str) -> dict[str, Way]:
    """Measure each way. Raises: RuntimeError when one has miscounted."""
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(_TABLES)
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in _WAYS}
        for _ in range(ROUNDS):
            for name, count in _WAYS.items():
                found[name].append(_round(dsn, count))
        for name, query in _TOTAL.items():
            row = admin.execute(query).fetchone()
            if row is None or row[0] != ROUNDS * CONNECTIONS * DEATHS:
                raise RuntimeError(f"{name}: {row} deaths were counted")
    return {
        name: Way(
            round(statistics.median(rate for rate, _ in rounds)),
            round(statistics.median(p95 for _, p95 in rounds), 2),
        )
        for name, rounds in found.items()
    }


def _round(dsn: str, count: str) -> tuple[float, float]:
    """Let all connections die together; return deaths a second and the slow ones' milliseconds."""
    took: list[float] = []
    barrier = threading.Barrier(CONNECTIONS + 1)

    def die() -> None:
        with psycopg.connect(dsn) as connection:
            barrier.wait()
            for _ in range(DEATHS):
                began = time.perf_counter()
                _die(connection, count)
                took.append((time.perf_counter() - began) * 1000)

    threads = [threading.Thread(target=die) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    barrier.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    spent = time.perf_counter() - began
    return len(took) / spent, statistics.quantiles(took, n=20)[-1]


def _die(connection: psycopg.Connection[Any], count: str) -> None:
    """Bury one: what is counted is followed by the event, as in the engine."""
    with connection.transaction():
        connection.execute("INSERT INTO bench_letter (cause, message) VALUES ('c', 'no answer')")
        if count:
            connection.execute(count)
        connection.execute("INSERT INTO bench_event (about) VALUES ('job.buried')")
