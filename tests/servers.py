"""Real PostgreSQL and Valkey for the suite; loaded before Django's settings are (`-p`).

With DATABASE_URL set, that database is used, as both roles unless DATABASE_OWNER_URL is given.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from flagship.management.embedded import Home, Postgres, Valkey
from flagship.management.embedded.home import free_port
from flagship.management.embedded.postgres import APPLICATION, OWNER

# The suite starts hundreds of processes. Where nothing compiled is kept, each compiles the whole
# project anew, which is a third of its start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

DATABASE = "flagship_test"
TEMPLATE = "flagship_test_template"


class Servers:
    """The servers of this run; `postgres` and `valkey` are None where the caller brought one."""

    def __init__(self) -> None:
        self.home = Home(Path(tempfile.mkdtemp(prefix="flagship-tests-")))
        # The server's own user must be able to enter; secrets in it are private files.
        self.home.path.chmod(0o755)
        self.postgres: Postgres | None = None
        self.valkey: Valkey | None = None
        self._stack = ExitStack()
        self._started = False
        os.environ["FLAGSHIP_HOME"] = str(self.home.path)
        if not os.environ.get("DATABASE_URL"):
            self.postgres = Postgres(self.home, free_port())
            os.environ["DATABASE_URL"] = self.postgres.url(APPLICATION, DATABASE)
            os.environ["DATABASE_OWNER_URL"] = self.postgres.url(OWNER, DATABASE)
        os.environ.setdefault("DATABASE_OWNER_URL", os.environ["DATABASE_URL"])
        if not os.environ.get("REDIS_URL"):
            self.valkey = Valkey(self.home, free_port())
            os.environ["REDIS_URL"] = self.valkey.url

    @property
    def application(self) -> str:
        """Name of the role that the system under test uses."""
        return urlsplit(os.environ["DATABASE_URL"]).username or APPLICATION

    def owner_url(self, database: str = DATABASE) -> str:
        """Address of a database as its owner."""
        parts = urlsplit(os.environ["DATABASE_OWNER_URL"])
        return urlunsplit(parts._replace(path=f"/{database}"))

    def superuser_url(self, database: str = DATABASE) -> str:
        """Address of a database as the superuser (embedded server only)."""
        if self.postgres is None:
            pytest.skip("the superuser is known only for the embedded server")
        return self.postgres.url("postgres", database)

    def start(self) -> None:
        """Start what is not given, once."""
        if self._started:
            return
        self._started = True
        if self.postgres:
            self.postgres.start()
            self._stack.callback(self.postgres.crash)
        if self.valkey:
            self.valkey.start()
            self._stack.callback(self.valkey.crash)

    def close(self) -> None:
        """Stop the servers and remove their data."""
        self._stack.close()
        shutil.rmtree(self.home.path, ignore_errors=True)


SERVERS = Servers()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End of the run."""
    SERVERS.close()
