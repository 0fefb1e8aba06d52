"""The engine's own statements: raw SQL, prepared, in as few round trips as can be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final, cast

import psycopg
from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connections
from django.db.transaction import Atomic
from psycopg.pq import ExecStatus, TransactionStatus

_CURSOR: Final = "_flagship_cursor"
_WRITER: Final = "_flagship_writer"
_PREPARED: Final = "_flagship_prepared"
_NAMES: Final = "_flagship_names"
_LATER: Final = "_flagship_later"
_PLAINLY: Final = "_flagship_plainly"
_NO_SUCH_PLAN: Final = "26000"
_OUTERMOST: Final = Atomic(DEFAULT_DB_ALIAS, savepoint=False, durable=False)


def run(
    statement: str, parameters: Mapping[str, Any] | Sequence[Any] | None = None
) -> list[tuple[Any, ...]]:
    """Run one statement on this thread's connection; return its rows.

    For the engine, and for handlers in a hurry: it costs both sides a third of what a statement
    through Django's cursor does. The parameters are bound by the server and the plan is kept
    (Django's own cursors do neither), inside or outside a transaction as the caller is. JSON comes
    back as text.
    Raises: django.db.DatabaseError and its subclasses.
    """
    wrapper = _wrapper()
    kept = wrapper.connection.__dict__
    if kept.get(_LATER):
        run_together(*take_later())
    with wrapper.wrap_database_errors:
        cursor = kept.get(_CURSOR)
        if cursor is None:
            cursor = kept[_CURSOR] = psycopg.Cursor(wrapper.connection)
        cursor.execute(cast(Any, statement), parameters, prepare=_PLAINLY not in kept)
        # Not asked of `description`, which writes one for each of sixty columns.
        return cursor.fetchall() if cursor.rownumber is not None else []


def run_fresh(
    statement: str, parameters: Mapping[str, Any] | Sequence[Any] | None = None
) -> list[tuple[Any, ...]]:
    """Run the first statement of a request, one that changes nothing; return its rows.

    It is the connection's health check as well, which Django would make a trip of its own: one
    that has died since the request before is replaced, and the statement run again.
    Raises: django.db.DatabaseError and its subclasses.
    """
    wrapper: Any = connections[DEFAULT_DB_ALIAS]
    is_due = wrapper.connection is not None and wrapper.health_check_enabled
    if not is_due or wrapper.health_check_done or wrapper.in_atomic_block:
        return run(statement, parameters)
    wrapper.health_check_done = True
    try:
        return run(statement, parameters)
    except (OperationalError, InterfaceError):
        if wrapper.is_usable():
            raise
        wrapper.close()
        return run(statement, parameters)


def skip_health_check() -> None:
    """Let the first statement of a request be the check of its connection.

    For a caller that asks again on another one where it fails; what is open is not looked at.
    """
    wrapper: Any = connections[DEFAULT_DB_ALIAS]
    if not wrapper.in_atomic_block:
        wrapper.health_check_done = True


def run_together(*statements: bytes) -> list[list[bytes | None]]:
    """Send several statements in one round trip; return the last one's rows as text.

    For the two ends of a transaction: what begins it and its first statement, its last statement
    and COMMIT; or the end of one and the beginning of the next. They are not bound: the caller
    writes literals. One that fails leaves those behind it undone.
    Raises: django.db.DatabaseError and its subclasses.
    """
    wrapper = _wrapper()
    with wrapper.wrap_database_errors:
        result = wrapper.connection.pgconn.exec_(b"; ".join(statements))
        if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
            if wrapper.connection.broken:
                # Told by the client library, without the code by which errors get their class.
                raise psycopg.OperationalError(result.get_error_message())
            raise psycopg.errors.error_from_result(result, encoding="utf-8")
        columns = range(result.nfields)
        return [
            [result.get_value(row, column) for column in columns] for row in range(result.ntuples)
        ]


def run_and_commit(statement: str) -> None:
    """Run the last statement of a transaction and end that, in one round trip.

    `statement` is whole (`written`); what it returns is not read. One that fails commits nothing;
    and within another transaction, or a savepoint, it is a statement like any other. The block
    that commits next finds nothing left to do but what waits for the commit.
    Raises: django.db.DatabaseError and its subclasses, of the commit's too.
    """
    is_whole = len(_wrapper().atomic_blocks) == 1
    run_together(*take_later(), statement.encode(), *([b"COMMIT"] if is_whole else []))


def written(statement: str, parameters: Sequence[Any]) -> str:
    """Return a statement with its parameters as literals, for this thread's connection."""
    return _writer(_wrapper().connection).mogrify(cast(Any, statement), parameters)


def run_later(statement: str, parameters: Sequence[Any] = ()) -> None:
    """Run one statement that nobody waits for, in the round trip that ends the transaction.

    For effects of transactional handlers: they travel with the job's completion and COMMIT, so
    that they cost no trip of their own. Whatever this thread asks of the database meanwhile (by
    Django, or by `run`) comes after them; COPY and the driver's own cursors know nothing of them.
    An error is raised there or at the end, and fails the run as it would have here. Placeholders
    are `%s`. Outside of a whole transaction the statement is run at once.
    Raises: django.db.DatabaseError and its subclasses.
    """
    wrapper = _wrapper()
    waiting = wrapper.connection.__dict__.get(_LATER)
    if waiting is None:
        run(statement, parameters)
        return
    execute = _execution(wrapper.connection, statement, parameters)
    if not waiting:
        wrapper.execute_wrappers.append(_after_what_waits)
    waiting.append(execute)


def take_later() -> list[bytes]:
    """Return what `run_later` has put off, for `run_together`; nothing waits any more."""
    wrapper = _wrapper()
    waiting = wrapper.connection.__dict__.get(_LATER)
    if not waiting:
        return []
    taken = list(waiting)
    waiting.clear()
    wrapper.execute_wrappers.remove(_after_what_waits)
    return taken


def _after_what_waits(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
    """Let what was put off go before a statement of Django's."""
    run_together(*take_later())
    return execute(sql, params, many, context)


def _execution(raw: Any, statement: str, parameters: Sequence[Any]) -> bytes:
    """Write the execution of a statement whose plan the connection keeps from now on."""
    kept = raw.__dict__
    names = kept.setdefault(_NAMES, {})
    name = names.setdefault(statement, f"flagship_later_{len(names)}")
    if name not in kept.get(_PREPARED, ()):
        prepare({name: "AS " + _numbered(statement)})
    text = _writer(raw).mogrify(cast(Any, f"EXECUTE {name}{_places(len(parameters))}"), parameters)
    return text.encode()


def _writer(raw: Any) -> psycopg.ClientCursor[Any]:
    """Return the connection's own cursor that writes literals."""
    kept = raw.__dict__
    writer: psycopg.ClientCursor[Any] | None = kept.get(_WRITER)
    if writer is None:
        writer = kept[_WRITER] = psycopg.ClientCursor(raw)
    return writer


@lru_cache(maxsize=256)
def _numbered(statement: str) -> str:
    """Return a statement with $1, $2, ... in the place of its placeholders."""
    first, *rest = (text.replace("%%", "%") for text in statement.split("%s"))
    return first + "".join(f"${number}{text}" for number, text in enumerate(rest, 1))


@lru_cache(maxsize=64)
def _places(count: int) -> str:
    return f"({', '.join(['%s'] * count)})" if count else ""


@contextmanager
def one_transaction() -> Iterator[None]:
    """Make the block one transaction that the caller begins and commits itself.

    As `transaction.atomic()` for everything inside the block (savepoints, on_commit, durable
    blocks are refused), but BEGIN and COMMIT are the caller's, with `run_together`, so that they
    travel with its first and last statements, as does what `run_later` puts off. A block left
    without COMMIT is rolled back. One that nothing waits for (`is_followed_up`) may be followed by
    another in the same block.
    Raises: RuntimeError inside another transaction.
    """
    wrapper = _wrapper()
    if wrapper.in_atomic_block or not wrapper.get_autocommit():
        raise RuntimeError("a whole transaction cannot be part of another one")
    # What `set_autocommit` would note, without telling psycopg, which would begin by itself.
    wrapper.autocommit = False
    wrapper.in_atomic_block, wrapper.needs_rollback = True, False
    wrapper.atomic_blocks.append(_OUTERMOST)
    kept = wrapper.connection.__dict__
    kept[_LATER] = []
    try:
        yield
    except BaseException:
        wrapper.run_on_commit = []
        raise
    finally:
        if kept.pop(_LATER):
            wrapper.execute_wrappers.remove(_after_what_waits)
        wrapper.in_atomic_block = wrapper.needs_rollback = False
        wrapper.autocommit = True
        wrapper.atomic_blocks.clear()
        wrapper.savepoint_ids.clear()
        if wrapper.closed_in_transaction:
            # By the block: the server rolls back, and the next statement gets another connection.
            wrapper.connection, wrapper.run_on_commit = None, []
        _roll_back_if_open(wrapper)
    wrapper.run_and_clear_commit_hooks()


@contextmanager
def begun_transaction() -> Iterator[None]:
    """Make the block one transaction that the caller begins and this commits.

    As `one_transaction`, for a block that does not always say by itself that it is done: what is
    left open at its end is committed, unless it is marked to be rolled back.
    Raises: django.db.DatabaseError and its subclasses, of the commit.
    """
    wrapper: Any = connections[DEFAULT_DB_ALIAS]
    # As Django does before a transaction; at most once in a request.
    wrapper.close_if_health_check_failed()
    with one_transaction():
        yield
        if not wrapper.needs_rollback and not is_idle():
            run_together(*take_later(), b"COMMIT")


def _roll_back_if_open(wrapper: Any) -> None:
    """End a transaction that was not committed; a connection that cannot is closed."""
    raw = wrapper.connection
    if raw is None or raw.pgconn.transaction_status == TransactionStatus.IDLE:
        return
    wrapper.run_on_commit = []
    try:
        # Not psycopg's rollback, which forgets every plan of the connection.
        ended = raw.pgconn.exec_(b"ROLLBACK").status == ExecStatus.COMMAND_OK
    except psycopg.Error:
        # The connection has gone; what has ended the block says so to the caller.
        ended = False
    if not ended:
        wrapper.errors_occurred = True
        wrapper.close_if_unusable_or_obsolete()


def prepare(plans: Mapping[str, str]) -> None:
    """Keep plans in this thread's connection, once, for EXECUTE.

    By name; each is what follows it in PREPARE: `(types) AS query`.
    """
    known = _wrapper().connection.__dict__.setdefault(_PREPARED, set())
    for name in plans.keys() - known:
        run_together(f"PREPARE {name} {plans[name]}".encode())
        known.add(name)


def is_followed_up() -> bool:
    """Tell whether something waits for this thread's transaction to commit."""
    return bool(_wrapper().run_on_commit)


def has_lost_plans(error: BaseException) -> bool:
    """Tell whether a statement failed because its plan is gone."""
    return getattr(error.__cause__, "sqlstate", None) == _NO_SUCH_PLAN


def constraint_of(error: BaseException) -> str:
    """Return the name of the constraint that a change was refused by, "" where there is none."""
    return getattr(getattr(error.__cause__, "diag", None), "constraint_name", None) or ""


def forget_prepared() -> None:
    """Forget which plans this thread's connection keeps, since they are gone.

    With plans of its own psycopg deallocates all at a ROLLBACK, to a savepoint too; where that has
    happened once it keeps none any more, so that it will not happen again.
    """
    kept = _wrapper().connection.__dict__
    kept.pop(_PREPARED, None)
    kept[_PLAINLY] = True


def is_idle() -> bool:
    """Tell whether no transaction has been begun on this thread's connection."""
    return bool(_wrapper().connection.pgconn.transaction_status == TransactionStatus.IDLE)


def is_in_error() -> bool:
    """Tell whether this thread's connection can do nothing more than roll back, or be closed."""
    raw = connections[DEFAULT_DB_ALIAS].connection
    fit = (TransactionStatus.IDLE, TransactionStatus.INTRANS)
    return raw is None or raw.pgconn.transaction_status not in fit


def kept() -> dict[str, Any]:
    """Return what is kept with this thread's connection, and goes with it."""
    found: dict[str, Any] = connections[DEFAULT_DB_ALIAS].connection.__dict__
    return found


def literal(value: str) -> bytes:
    """Write text as an SQL literal for this thread's connection."""
    return psycopg.pq.Escaping(_wrapper().connection.pgconn).escape_literal(value.encode())


def _wrapper() -> Any:
    """Return Django's wrapper of this thread's connection, open and fit for a statement."""
    wrapper: Any = connections[DEFAULT_DB_ALIAS]  # once: each look at a proxy costs a microsecond
    if wrapper.connection is None:
        wrapper.ensure_connection()
    if wrapper.needs_rollback:
        wrapper.validate_no_broken_transaction()
    return wrapper
