"""The embedded servers of one system, together."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from flagship.management.embedded.home import Home, free_port, read_json, write_private_json
from flagship.management.embedded.postgres import APPLICATION, OWNER, Postgres
from flagship.management.embedded.process import ServerFailed
from flagship.management.embedded.valkey import Valkey

REVIVE_EVERY_S = 2.0


@dataclass(slots=True)
class EmbeddedServers:
    """The servers that nobody else gave. The home must be locked by the caller."""

    home: Home
    postgres: Postgres | None
    valkey: Valkey | None
    _revive_at: float = field(default=0.0)

    @classmethod
    def for_home(cls, home: Home, *, postgres: bool, valkey: bool) -> EmbeddedServers:
        """Choose ports, the ones used before where they are free; nothing is started yet."""
        before = read_json(home.servers_file)
        return cls(
            home,
            Postgres(home, free_port(_port(before.get("DATABASE_URL")))) if postgres else None,
            Valkey(home, free_port(_port(before.get("REDIS_URL")))) if valkey else None,
        )

    @property
    def running(self) -> dict[str, Postgres | Valkey]:
        """The servers by the names that people read."""
        known = {"PostgreSQL": self.postgres, "Valkey": self.valkey}
        return {name: server for name, server in known.items() if server is not None}

    @property
    def environment(self) -> dict[str, str]:
        """What other processes need: as the application role, and as the owner for migrations."""
        found: dict[str, str] = {}
        if self.postgres:
            found["DATABASE_URL"] = self.postgres.url(APPLICATION)
            found["DATABASE_OWNER_URL"] = self.postgres.url(OWNER)
        if self.valkey:
            found["REDIS_URL"] = self.valkey.url
        return found

    def publish(self) -> None:
        """Leave the addresses in the home, where config.settings looks for them."""
        write_private_json(self.home.servers_file, self.environment)

    def revive(self) -> list[str]:
        """Start again what has ended; return a line on each.

        A server that does not come back is tried again later, never given up: the processes that
        need it wait for it too.
        """
        dead = [
            (name, server)
            for name, server in self.running.items()
            if server.process is not None and not server.process.is_running()
        ]
        if not dead or time.monotonic() < self._revive_at:
            return []
        self._revive_at = time.monotonic() + REVIVE_EVERY_S
        lines = []
        for name, server in dead:
            try:
                server.start()
            except ServerFailed as error:
                lines.append(f"{name} ended and does not start: {error}")
            else:
                lines.append(f"{name} ended and was started again")
        return lines

    def stop(self) -> None:
        """Stop what runs, the last one first."""
        for server in reversed(list(self.running.values())):
            server.stop()


def _port(url: object) -> int:
    return (urlsplit(url).port or 0) if isinstance(url, str) else 0
