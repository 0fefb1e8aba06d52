"""Real PostgreSQL and real Valkey for a system that was given no addresses."""

from __future__ import annotations

from flagship.management.embedded.home import (
    Home,
    HomeInUse,
    free_port,
    read_json,
    write_private_json,
)
from flagship.management.embedded.postgres import APPLICATION, OWNER, Postgres
from flagship.management.embedded.process import ServerFailed
from flagship.management.embedded.servers import EmbeddedServers
from flagship.management.embedded.valkey import Valkey

__all__ = [
    "APPLICATION",
    "OWNER",
    "EmbeddedServers",
    "Home",
    "HomeInUse",
    "Postgres",
    "ServerFailed",
    "Valkey",
    "free_port",
    "read_json",
    "write_private_json",
]
