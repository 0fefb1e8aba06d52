"""Fixtures shared by all tests: database, Valkey, processes, API client."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from asgiref.sync import SyncToAsync
from django.db import connections
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from tests.databases import Pristine, look, restore
from tests.processes import Processes
from tests.servers import DATABASE, SERVERS, TEMPLATE, Servers

ROOT = Path(__file__).resolve().parent.parent
_pristine: Pristine | None = None


def pytest_sessionstart() -> None:
    """Load the console's pages, as the processes that show them do: tests walk them."""
    import_module("config.urls")


@pytest.fixture(scope="session")
def servers() -> Servers:
    """The running PostgreSQL and Valkey of this run."""
    SERVERS.start()
    return SERVERS


def _as_owner(statement: sql.Composed) -> None:
    """Run one statement outside the databases under test."""
    url = SERVERS.superuser_url("postgres") if SERVERS.postgres else SERVERS.owner_url("postgres")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


def _recreate(database: str, template: str | None) -> None:
    """Drop and create a database; every session on it is ended."""
    name = sql.Identifier(database)
    _as_owner(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
    owner = sql.Identifier(str(conninfo_to_dict(SERVERS.owner_url())["user"]))
    create = sql.SQL("CREATE DATABASE {} OWNER {}").format(name, owner)
    if template:
        create += sql.SQL(" TEMPLATE {} STRATEGY WAL_LOG").format(sql.Identifier(template))
    _as_owner(create)


def _manage(*arguments: str, database_url: str) -> None:
    subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env={**os.environ, "DATABASE_URL": database_url},
        cwd=ROOT,
        check=True,
        timeout=120,
    )


@pytest.fixture(scope="session")
def django_db_setup(servers: Servers) -> None:
    """Migrate a template as the owner, grant the application role, copy it.

    Tests run as the application role, as the running system does, so that a privilege it lacks
    is missed here and not in production.
    """
    _recreate(TEMPLATE, None)
    owner = servers.owner_url(TEMPLATE)
    _manage("migrate", "--verbosity=0", database_url=owner)
    _manage("grant_application_role", servers.application, database_url=owner)
    _recreate(DATABASE, TEMPLATE)
    global _pristine
    _pristine = look()


def _as_new() -> None:
    """Make the database under test what it was before the test."""
    try:
        restored = _pristine is not None and restore(_pristine)
    except psycopg.Error:
        # A table was in use after all, or autovacuum at the same row of a catalogue.
        restored = False
    if not restored:
        _recreate(DATABASE, TEMPLATE)


def _empty_valkey() -> None:
    """Empty Valkey; clients cached in this process stay valid."""
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        client.flushall()


@pytest.fixture
def live_db(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """A database with real commits; afterwards it is made anew and Valkey emptied."""
    from jobs import telemetry

    _empty_valkey()
    with django_db_blocker.unblock():
        connections.close_all()  # left by an earlier test on the database that has gone
        try:
            yield
        finally:
            telemetry.flush(1.0)  # what a thread of this process still has to write
            connections.close_all()
            # The thread in which what is called from coroutines runs, from test to test.
            SyncToAsync.single_thread_executor.submit(connections.close_all).result()
    _as_new()
    _empty_valkey()


@pytest.fixture
def owner_db(live_db: None, servers: Servers) -> Iterator[psycopg.Connection[Any]]:
    """A connection (autocommit) to the test's database as its owner."""
    with psycopg.connect(servers.owner_url(), autocommit=True) as connection:
        yield connection


@pytest.fixture
def app_db(live_db: None) -> Iterator[psycopg.Connection[Any]]:
    """A connection (autocommit) to the test's database as the application role."""
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        yield connection


@pytest.fixture
def valkey(servers: Servers) -> Iterator[redis.Redis]:
    """A client of the running Valkey, emptied before the test."""
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        client.flushall()
        yield client


@pytest.fixture
def processes(servers: Servers, tmp_path: Path) -> Iterator[Processes]:
    """Real processes of the system, all ended after the test."""
    running = Processes(ROOT, tmp_path)
    yield running
    running.close()


@pytest.fixture
def issue_key() -> Callable[..., Any]:
    """Make a client for a new organization: `issue_key(scopes=..., credits=...)`."""
    from tests.clients import make_client

    return make_client


@pytest.fixture
def api(issue_key: Callable[..., Any]) -> Any:
    """A client with every scope, of an organization with 1,000 credits (needs db or live_db)."""
    return issue_key()
