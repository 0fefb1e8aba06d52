"""Whose rows a statement sees: row-level security, set for each transaction (P24, ADR 0015).

The policies of the tables let the tenant role see the rows of one organization, the one that
`flagship.organization` names, and let the application role see all of them. Workers, the scheduler
and commands work as the application role. A request of the API runs `inside`; a process that serves
the API sees nothing unless it is told whose rows it may see (`close_by_default`).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, Error, connections, transaction

from jobs.clients.postgres import (
    begun_transaction,
    is_idle,
    is_in_error,
    kept,
    literal,
    run_together,
)

SETTING: Final = "flagship.organization"
NOBODY: Final = uuid.UUID(int=0)
"""No organization's id: where a process has not said whose rows it wants."""

_SIGHT: Final = "_flagship_sight"


@dataclass(frozen=True, slots=True)
class _Sight:
    """The role that statements run as ("" is the one that logged in), and whose rows it sees."""

    role: str
    organization: str


_EVERYTHING: Final = _Sight("", "")
# What a new connection of this process sees.
_at_first = _EVERYTHING


def close_by_default() -> None:
    """Make this process see nobody's rows until it is told whose: nothing forgotten is shown.

    For processes that answer requests, before their first connection. Their connections are opened
    as the tenant role and for no organization, so that this holds for every thread and statement.
    """
    global _at_first
    role = settings.DATABASE_TENANT_ROLE
    if not role or _at_first is not _EVERYTHING:
        return
    options = connections.settings[DEFAULT_DB_ALIAS]["OPTIONS"]
    options["options"] = f"{options.get('options', '')} -c role={role} -c {SETTING}={NOBODY}"
    _at_first = _Sight(role, str(NOBODY))


Rows = list[list[bytes | None]]


@contextmanager
def inside(organization_id: uuid.UUID, *, first: str = "") -> Iterator[Rows]:
    """Make the block one transaction that sees and writes this organization's rows only.

    Costs no round trip: what is set travels with BEGIN, and so does its `first` statement, whose
    rows the block is given as text (`jobs.clients.postgres.written`). As a part of another
    transaction it is a savepoint, and the one around sees again afterwards what it saw before;
    within a transaction that sees these very rows it is nothing.
    Raises: django.db.Error where the database is away.
    """
    role = settings.DATABASE_TENANT_ROLE
    sight = _Sight(role, str(organization_id))
    is_part = connections[DEFAULT_DB_ALIAS].in_atomic_block
    if is_part and _sight() == sight:
        yield _run_first(first)
        return
    if not role:
        with transaction.atomic():
            yield _run_first(first)
        return
    with transaction.atomic() if is_part else begun_transaction(), _seeing(sight, first) as rows:
        yield rows


@contextmanager
def outside() -> Iterator[None]:
    """Let the block see all rows: for what belongs to the platform, or is public.

    Two round trips where there is a wall to step out of, nothing elsewhere. Keep the block small,
    and take no id of a client's into it that was not looked up inside.
    """
    wrapper = connections[DEFAULT_DB_ALIAS]
    if _at_first is not _EVERYTHING and not wrapper.in_atomic_block:
        # As Django does before the first statement of a request.
        wrapper.close_if_health_check_failed()
    if _sight() == _EVERYTHING:
        yield
        return
    with _seeing(_EVERYTHING):
        yield


def _run_first(statement: str) -> Rows:
    """Run it in the transaction that is open, or that is about to begin."""
    if not statement:
        return []
    return run_together(*([b"BEGIN"] if is_idle() else []), statement.encode())


def _sight() -> _Sight:
    """Return what this thread's connection sees now, or will when it is opened."""
    if connections[DEFAULT_DB_ALIAS].connection is None:
        return _at_first
    found: _Sight = kept().get(_SIGHT, _at_first)
    return found


@contextmanager
def _seeing(sight: _Sight, first: str = "") -> Iterator[Rows]:
    """Change what is seen, and change it back; a rollback around this does the latter as well."""
    wrapper = connections[DEFAULT_DB_ALIAS]
    before, begins = _sight(), wrapper.in_atomic_block and is_idle()
    rows = _show(sight, first, begins=begins)
    raw = wrapper.connection
    try:
        yield rows
    finally:
        # Another connection, made meanwhile, began as all do.
        if wrapper.connection is raw and raw is not None:
            kept()[_SIGHT] = before
            if not begins:
                _show_again(before)


def _show(sight: _Sight, first: str = "", *, begins: bool) -> Rows:
    """Tell the server, in one round trip: for the transaction if there is one."""
    local = b"LOCAL " if begins or connections[DEFAULT_DB_ALIAS].in_atomic_block else b""
    role = f'"{sight.role}"'.encode() if sight.role else b"NONE"
    rows = run_together(
        *([b"BEGIN"] if begins else []),
        b"SET " + local + b"ROLE " + role,
        b"SET " + local + SETTING.encode() + b" TO " + literal(sight.organization),
        *([first.encode()] if first else []),
    )
    kept()[_SIGHT] = sight
    return rows


def _show_again(sight: _Sight) -> None:
    """Go back to what was seen before: by the rollback that is due, or else by a statement.

    A connection that can do neither is given up.
    """
    wrapper = connections[DEFAULT_DB_ALIAS]
    if wrapper.in_atomic_block and (wrapper.needs_rollback or is_in_error()):
        return
    try:
        _show(sight, begins=False)
    except Error:
        wrapper.close()
