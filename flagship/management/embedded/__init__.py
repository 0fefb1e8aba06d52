"""Real PostgreSQL and real Valkey for a system that was given no addresses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from flagship.management.embedded.home import (
    Home,
    HomeInUse,
    free_port,
    read_json,
    write_private_json,
)
from flagship.management.embedded.postgres import APPLICATION, OWNER, Postgres
from flagship.management.embedded.process import ServerFailed
from flagship.management.embedded.valkey import Valkey

__all__ = ["Home", "HomeInUse", "Postgres", "ServerFailed", "Valkey", "embedded_servers"]


@contextmanager
def embedded_servers(home: Home, *, postgres: bool, valkey: bool) -> Iterator[dict[str, str]]:
    """Run the asked-for servers inside the block and publish their addresses in the home.

    The home must be locked by the caller. Yields the environment for child processes:
    DATABASE_URL as the application role, DATABASE_OWNER_URL for migrations, REDIS_URL.
    """
    before = read_json(home.servers_file)
    environment: dict[str, str] = {}
    running: list[Postgres | Valkey] = []
    try:
        if postgres:
            database = Postgres(home, free_port(_port(before.get("DATABASE_URL"))))
            running.append(database)
            database.start()
            environment["DATABASE_URL"] = database.url(APPLICATION)
            environment["DATABASE_OWNER_URL"] = database.url(OWNER)
        if valkey:
            doorbell = Valkey(home, free_port(_port(before.get("REDIS_URL"))))
            running.append(doorbell)
            doorbell.start()
            environment["REDIS_URL"] = doorbell.url
        write_private_json(home.servers_file, environment)
        yield environment
    finally:
        for server in reversed(running):
            server.stop()


def _port(url: object) -> int:
    return (urlsplit(url).port or 0) if isinstance(url, str) else 0
