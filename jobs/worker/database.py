"""The worker's way with database connections."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import psycopg
from django.conf import settings
from django.db import (
    DEFAULT_DB_ALIAS,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    connection,
    connections,
)
from psycopg_pool import PoolTimeout

T = TypeVar("T")

_SHUTDOWNS: Final = ("57P01", "57P02", "57P03", "57P05", "25P03", "25P04")
"""Ended by the administrator, by a crash, not accepting connections yet; idle for too long."""
_CONFLICTS: Final = ("40001", "40P01", "55P03", "57014", "26000")
"""Serialization failure, deadlock, lock timeout, statement timeout, and a plan that has gone from
the connection with a ROLLBACK (`forget_prepared`): worth another try."""


def use_pool(size: int, *, wait_s: float = 15.0) -> None:
    """Make every thread of this process draw its connections from one pool.

    A thread keeps a connection only between its first query and `connection.close()`, so that a
    hundred jobs that wait for something else share a few. One that gets none for `wait_s` seconds
    fails as if the database were away. Call it before any thread starts.
    """
    connections.close_all()
    database = connections.settings[DEFAULT_DB_ALIAS]
    database["CONN_MAX_AGE"] = 0
    pool = {"min_size": 1, "max_size": size, "timeout": wait_s, "max_lifetime": 600}
    database["OPTIONS"] = {**database["OPTIONS"], "pool": pool}
    del connections[DEFAULT_DB_ALIAS]


def close_pool() -> None:
    """End the pool's threads and connections."""
    connections.close_all()
    connections[DEFAULT_DB_ALIAS].close_pool()  # type: ignore[attr-defined]


def dedicated() -> psycopg.Connection[Any]:
    """Open a connection of its own, outside the pool, that commits each statement.

    Raises: psycopg.OperationalError after two seconds at most.
    """
    parameters = connection.get_connection_params()
    for private in ("cursor_factory", "context", "pool"):
        parameters.pop(private, None)
    return psycopg.connect(**parameters, autocommit=True)


def discard() -> None:
    """Drop this thread's connection with whatever state an interruption has left it in."""
    broken = connections[DEFAULT_DB_ALIAS].connection
    del connections[DEFAULT_DB_ALIAS]
    if broken is None:
        return
    with contextlib.suppress(psycopg.Error):
        broken.close()
    pool = getattr(broken, "_pool", None)
    if pool is not None:
        pool.putconn(broken)


def is_lost(error: BaseException) -> bool:
    """Tell whether the connection, not the statement, is what failed."""
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    if is_starved(error):
        return False
    sqlstate = getattr(error.__cause__, "sqlstate", None)
    return sqlstate is None or sqlstate.startswith("08") or sqlstate in _SHUTDOWNS


def is_conflict(error: BaseException) -> bool:
    """Tell whether another transaction was in the way: the whole may be tried again."""
    cause = getattr(error, "__cause__", None)
    is_of_server = isinstance(error, OperationalError | ProgrammingError)
    return is_of_server and getattr(cause, "sqlstate", None) in _CONFLICTS


def is_starved(error: BaseException) -> bool:
    """Tell whether the pool had no connection to give."""
    return isinstance(error.__cause__, PoolTimeout)


def persist(call: Callable[[], T]) -> T:
    """Call until the database takes it: for what a worker must not forget to write.

    Only for statements whose fence makes a second application harmless.
    Raises: the last error when the database stays away, and every other error at once.
    """
    until = time.monotonic() + settings.WORKER_AWAY_LIMIT_S
    wait_s = 0.05
    while True:
        try:
            return call()
        except (OperationalError, InterfaceError) as error:
            passing = is_lost(error) or is_starved(error) or is_conflict(error)
            if not passing or time.monotonic() > until:
                raise
            discard()
        time.sleep(wait_s)
        wait_s = min(wait_s * 2, 1.0)
