# mypy: ignore-errors
"""What a job does, the same for every peer: nothing, or one INSERT and one UPDATE and a commit.

Each job leaves its start and its end as two doubles (monotonic seconds) in a shared file.
"""

from __future__ import annotations

import os
import struct
import threading
import time

DSN = os.environ.get("BENCH_DSN", "")
REDIS = os.environ.get("BENCH_REDIS", "")

INSERT = "INSERT INTO bench_effect (job) VALUES (%s)"
UPDATE = "UPDATE bench_row SET done = done + 1 WHERE id = %s"

_kept = threading.local()
_files: dict[str, int] = {}


def _file(name: str) -> int:
    if name not in _files:
        _files[name] = os.open(os.environ[name], os.O_RDWR)
    return _files[name]


def stamp(number: int, started: float) -> None:
    """Say when job `number` started, and that it has ended now."""
    os.pwrite(_file("BENCH_STAMPS"), struct.pack("dd", started, time.monotonic()), 16 * number)


def sent(number: int) -> None:
    """Say that job `number` is about to be enqueued."""
    os.pwrite(_file("BENCH_SENT"), struct.pack("d", time.monotonic()), 8 * number)


def await_stamps(first: int, count: int) -> None:
    """Wait until these jobs have ended, a minute at most."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        pairs = os.pread(_file("BENCH_STAMPS"), 16 * count, 16 * first)
        if all(end for _, end in struct.iter_unpack("dd", pairs)):
            return
        time.sleep(0.05)


def connection():
    """Return this thread's own connection, kept."""
    if getattr(_kept, "pid", None) != os.getpid():
        import psycopg

        _kept.connection = psycopg.connect(DSN, autocommit=True)
        _kept.pid = os.getpid()
    return _kept.connection


def noop(number: int) -> None:
    """Do nothing."""
    stamp(number, time.monotonic())


def durable(number: int) -> None:
    """Commit one INSERT and one UPDATE."""
    started = time.monotonic()
    kept = connection()
    with kept.transaction():
        kept.execute(INSERT, (number,))
        kept.execute(UPDATE, (number,))
    stamp(number, started)


_pool = None


async def pool():
    """Return this process's pool of connections, ten of them."""
    global _pool
    if _pool is None:
        from psycopg_pool import AsyncConnectionPool

        _pool = AsyncConnectionPool(
            DSN, min_size=10, max_size=10, open=False, kwargs={"autocommit": True}
        )
        await _pool.open(wait=True)
    return _pool


async def durable_async(number: int) -> None:
    """Commit one INSERT and one UPDATE, under asyncio."""
    started = time.monotonic()
    connections = await pool()
    async with connections.connection() as kept, kept.transaction():
        await kept.execute(INSERT, (number,))
        await kept.execute(UPDATE, (number,))
    stamp(number, started)
