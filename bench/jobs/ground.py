"""The servers everybody is measured on, and how they are made empty again."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql
from redis import Redis

from bench._system import ROOT, bare_system
from bench.jobs.contenders import Contender
from bench.jobs.install import CACHE, PEERS, bin_of
from flagship.management.embedded import APPLICATION, OWNER, Postgres

PEERS_DATABASE: Final = "bench_peers"
SCHEMA: Final = (Path(__file__).parent / "schema.sql").read_text()
TABLES: Final = ("bench_row", "bench_effect")
REQUIRED: Final = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
REPORTED: Final = (*REQUIRED, "server_version", "shared_buffers", "max_wal_size")


@dataclass(frozen=True, slots=True)
class Ground:
    """One PostgreSQL with a database of ours and one of the peers', one Valkey, two files."""

    postgres: Postgres
    redis_url: str
    home: Path

    @property
    def stamps(self) -> Path:
        """Where jobs say when they ran."""
        return self.home / "stamps"

    @property
    def sent(self) -> Path:
        """Where clients say when they enqueued."""
        return self.home / "sent"

    @property
    def log(self) -> Path:
        """What the processes printed."""
        return self.home / "processes.log"

    def database(self, contender: Contender) -> str:
        """Return the name of the database a contender works in."""
        return "flagship" if contender.is_ours else PEERS_DATABASE

    def admin(self, database: str) -> psycopg.Connection[Any]:
        """Open a connection as the superuser."""
        return psycopg.connect(self.postgres.url("postgres", database), autocommit=True)

    def environment(self, contender: Contender) -> dict[str, str]:
        """Return what a contender's processes are told."""
        dsn = self.postgres.url(OWNER, self.database(contender))
        found = {
            **os.environ,
            "BENCH_DSN": dsn,
            "BENCH_REDIS": self.redis_url,
            "BENCH_STAMPS": str(self.stamps),
            "BENCH_SENT": str(self.sent),
            "BENCH_MODULES": str(CACHE / "bullmq"),
            **contender.env,
        }
        if contender.is_peer:
            found["PATH"] = f"{bin_of(contender.environment)}:{os.environ['PATH']}"
            for name in ("DJANGO_SETTINGS_MODULE", "PYTHONPATH", "VIRTUAL_ENV"):
                found.pop(name, None)
            found["PYTHONPATH"] = str(PEERS)
        return found

    def place(self, contender: Contender) -> Path:
        """Return the directory a contender's processes run in."""
        return PEERS if contender.is_peer else ROOT

    def empty(self, contender: Contender, rows: int) -> None:
        """Forget everything of the runs before; make `rows` rows to be updated."""
        with Redis.from_url(self.redis_url) as client:
            client.flushall()
        with self.admin(self.database(contender)) as connection:
            tables = [*TABLES, *(("jobs_job",) if contender.is_ours else ())]
            for table in tables:
                connection.execute(
                    sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(sql.Identifier(table))
                )
            connection.execute(
                "INSERT INTO bench_row (id) SELECT generate_series(0, %s - 1)", (rows,)
            )
            connection.execute("VACUUM ANALYZE bench_row")
        if contender.is_ours:
            # Imported here because Django is set up by then.
            from jobs.services.refill import Memory

            # As in a system that has been running: Redis is known to lack nothing.
            Memory().refill_if_lost()

    def settle(self) -> None:
        """Write what is dirty, so that no run pays for the one before."""
        with self.admin("postgres") as connection:
            connection.execute("CHECKPOINT")

    def settings(self) -> dict[str, str]:
        """Return the server's settings that matter.

        Raises: RuntimeError when it does not promise durability.
        """
        with self.admin("postgres") as connection:
            found = {
                name: str(connection.execute("SELECT current_setting(%s)", (name,)).fetchone()[0])  # type: ignore[index]
                for name in REPORTED
            }
        if not REQUIRED.items() <= found.items():
            raise RuntimeError(f"the server is not durable: {found}")
        return found


@contextlib.contextmanager
def ground(**settings: str) -> Iterator[Ground]:
    """Run the servers inside the block."""
    with bare_system(DJANGO_SETTINGS_MODULE="bench.jobs.settings", **settings) as servers:
        assert servers.postgres is not None and servers.valkey is not None
        found = Ground(servers.postgres, servers.valkey.url, servers.home.path)
        with found.admin("postgres") as connection:
            owner = sql.Identifier(OWNER)
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(PEERS_DATABASE), owner)
            )
        for database in ("flagship", PEERS_DATABASE):
            with psycopg.connect(found.postgres.url(OWNER, database)) as connection:
                connection.execute(SCHEMA)
                connection.execute(
                    sql.SQL("GRANT SELECT, INSERT, UPDATE ON bench_row, bench_effect TO {}").format(
                        sql.Identifier(APPLICATION)
                    )
                )
        yield found
