"""Boundaries inside a process: each exchange is noted, and at one of them a fault strikes.

The hooks sit where all ways meet: `psycopg.Connection.wait` (every statement, COMMIT and
pipeline), `send_packed_command` and `read_response` of redis-py, and `http.client`.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import sys
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import psycopg
import redis
from django.db import connection
from redis.connection import AbstractConnection

from jobs.clients import postgres
from tests.faults.matrix.points import AFTER, BEFORE, CUT, KILL, LOST, PARENT, STOP, Counts, Point

PLAN: Final = "FLAGSHIP_FAULT_PLAN"
"""The environment variable by which a worker's child processes get their hooks."""
DOORBELLS: Final = b"rq:queue:flagship"
"""The first command about these is where a worker's attempt begins."""
LABEL_CHARS: Final = 50
HANDSHAKES: Final = ("HELLO", "AUTH", "CLIENT", "PING", "SELECT", "COMMAND")
NO_MATTER: Final = ("set_autocommit", "execute", "SELECT oid, typarray FROM pg_type")
"""What Django and the pool ask of a new connection."""
BYSTANDERS: Final = ("pool", "telemetry")
"""Threads whose exchanges are no job's."""
_COMMANDS: Final = re.compile(rb"\*\d+\r\n\$\d+\r\n([A-Za-z]+)\r\n(?:\$\d+\r\n([\w:.-]*))?")
_ARGUMENTS: Final = re.compile(r"\(.*?\)(?=;|$)", re.S)
_OWN_IDS: Final = re.compile(rb"(?<=rq:worker:).*|[0-9a-f]{12,}.*|\d+")

_wait: Final = psycopg.Connection.wait
_send: Final = AbstractConnection.send_packed_command
_read: Final = AbstractConnection.read_response
_request: Final = http.client.HTTPConnection.request
_getresponse: Final = http.client.HTTPConnection.getresponse


def install(order: dict[str, Any], *, armed: bool, kin: str = "") -> Hooks | None:
    """Put hooks in place in this process if the order asks for them."""
    if not order.get("journal"):
        return None
    target = Point(**order["target"]) if order.get("target") else None
    journal, fault = Path(order["journal"]), order.get("fault", "")
    hooks = Hooks(journal, target, fault, armed=armed, kin=kin)
    hooks.install()
    return hooks


class Exchange:
    """One exchange under way."""

    def __init__(self, hooks: Hooks, role: str, label: str, nth: int, sort: str) -> None:
        self._hooks = hooks
        self._name = (role, label, nth)
        self._sort = sort

    def reach(self, side: str) -> str:
        """Note the boundary; return the fault the caller has to bring about, or nothing."""
        return self._hooks.reach(Point(*self._name, side, self._sort))


class Hooks:
    """The boundaries of one process.

    With a `target` its fault strikes there, once in all processes that share the journal. Unarmed
    hooks note nothing: what a worker does before its first look at the doorbells is no part of an
    attempt. `kin` tells the roles of a worker's child process from its own.
    """

    def __init__(
        self, journal: Path, target: Point | None, fault: str, *, armed: bool, kin: str = ""
    ) -> None:
        self._kin = kin
        self._journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._target = target
        self._fault = fault
        self._armed = armed
        self._struck = "STRUCK" in journal.read_text()
        self._counts = Counts()
        self._lock = threading.Lock()

    def install(self) -> None:
        """Put the hooks in place in this process."""
        hooks = self

        def wait(self: Any, gen: Any, *rest: Any, **options: Any) -> Any:
            return hooks.around_statement(self, gen, lambda: _wait(self, gen, *rest, **options))

        def send(self: Any, command: Any, *rest: Any, **options: Any) -> Any:
            hooks.before_command(self, command)
            return _send(self, command, *rest, **options)  # type: ignore[no-untyped-call]

        def read(self: Any, *rest: Any, **options: Any) -> Any:
            return hooks.after_command(self, lambda: _read(self, *rest, **options))

        def request(self: Any, *rest: Any, **options: Any) -> Any:
            return hooks.before_call(self, lambda: _request(self, *rest, **options))

        def getresponse(self: Any) -> Any:
            return hooks.after_call(self, lambda: _getresponse(self))

        psycopg.Connection.wait = wait  # type: ignore[method-assign]
        AbstractConnection.send_packed_command = send  # type: ignore[method-assign]
        AbstractConnection.read_response = read  # type: ignore[method-assign]
        replace_everywhere(postgres.run_together, _together(hooks))
        http.client.HTTPConnection.request = request  # type: ignore[method-assign]
        http.client.HTTPConnection.getresponse = getresponse  # type: ignore[method-assign]

    def note(self, text: str) -> None:
        """Write a line to the journal, which survives a kill."""
        os.write(self._journal, (text + "\n").encode())

    def begin(self, label: str, sort: str) -> Exchange | None:
        """Name an exchange; None when it is none of the operation's."""
        role = _role()
        if not self._armed or role.startswith(BYSTANDERS) or label.startswith(NO_MATTER):
            return None
        role = self._kin + role
        with self._lock:
            nth = self._counts.name(role, label)
        return None if nth is None else Exchange(self, role, label, nth, sort)

    def reach(self, point: Point) -> str:
        """Note a boundary and, if it is the target, strike; return what is left to the caller."""
        if self._target is None:
            self.note("POINT " + json.dumps(point.to_json()))
            return ""
        with self._lock:
            if self._struck or not _is_same(point, self._target):
                return ""
            self._struck = True
        self.note(f"STRUCK {self._fault} {os.getpid()}")
        if self._fault == KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        if self._fault == STOP:
            os.kill(os.getpid(), signal.SIGSTOP)
        if self._fault == PARENT:
            os.kill(os.getppid(), signal.SIGKILL)
        return self._fault

    def around_statement(self, conn: Any, gen: Any, run: Callable[[], Any]) -> Any:
        """Strike before or after one exchange with PostgreSQL."""
        return self._around(conn, *_describe(conn, gen), run)

    def around_statements(self, conn: Any, text: bytes, run: Callable[[], Any]) -> Any:
        """Strike before or after several statements that are sent as one."""
        sort = "commit" if b"COMMIT" in text else "query"
        label = " ".join(_ARGUMENTS.sub("", text.decode()).split())
        return self._around(conn, label[:LABEL_CHARS], sort, run)

    def _around(self, conn: Any, label: str, sort: str, run: Callable[[], Any]) -> Any:
        exchange = self.begin(label, sort)
        if exchange is None:
            return run()
        if exchange.reach(BEFORE) == CUT:
            shut(conn)
        found = run()
        fault = exchange.reach(AFTER)
        if fault in (CUT, LOST):
            shut(conn)
        if fault == LOST:
            with contextlib.suppress(psycopg.Error):
                conn.pgconn.exec_(b"")  # so that libpq itself finds out
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return found

    def before_command(self, conn: Any, command: Any) -> None:
        """Strike before a command, or a pipeline, is sent to Redis."""
        raw = command if isinstance(command, str | bytes) else b"".join(command)
        if not isinstance(raw, bytes):
            raw = raw.encode()
        if DOORBELLS in raw:
            self._armed = True
        label = _label(raw)
        if label.split(" ")[0] in HANDSHAKES:
            return
        conn.matrix_exchange = exchange = self.begin(label, "redis")
        if exchange is not None and exchange.reach(BEFORE) == CUT:
            if conn._sock is None:
                conn.connect_check_health(check_health=False)
            conn._sock.shutdown(socket.SHUT_RDWR)

    def after_command(self, conn: Any, run: Callable[[], Any]) -> Any:
        """Strike after Redis has answered, or instead of its answer."""
        exchange, conn.matrix_exchange = getattr(conn, "matrix_exchange", None), None
        found = run()
        fault = "" if exchange is None else exchange.reach(AFTER)
        if fault == CUT and conn._sock is not None:
            conn._sock.shutdown(socket.SHUT_RDWR)
        if fault == LOST:
            conn.disconnect()
            raise redis.ConnectionError("Connection closed by server.")
        return found

    def before_call(self, conn: Any, run: Callable[[], Any]) -> Any:
        """Strike before a stranger is called."""
        conn.matrix_exchange = exchange = self.begin("HTTP", "call")
        if exchange is not None and exchange.reach(BEFORE) == CUT:
            raise ConnectionResetError("cut")
        return run()

    def after_call(self, conn: Any, run: Callable[[], Any]) -> Any:
        """Strike after the stranger has answered, or instead of the answer."""
        found = run()
        exchange = getattr(conn, "matrix_exchange", None)
        if exchange is not None and exchange.reach(AFTER) in (CUT, LOST):
            raise ConnectionResetError("cut")
        return found


def _together(hooks: Hooks) -> Callable[..., Any]:
    """Wrap the engine's own way to send several statements, which goes past `wait`."""
    original = postgres.run_together

    def run_together(*statements: bytes) -> Any:
        connection.ensure_connection()
        raw = connection.connection
        # A driver's error has to look like one here as well.
        with connection.wrap_database_errors:
            text = b"; ".join(statements)
            return hooks.around_statements(raw, text, lambda: original(*statements))

    return run_together


def replace_everywhere(function: Callable[..., Any], substitute: Callable[..., Any]) -> None:
    """Replace a function in every module of the engine that has imported it."""
    for module in list(sys.modules.values()):
        if module.__name__.startswith("jobs."):
            for name, value in list(vars(module).items()):
                if value is function:
                    setattr(module, name, substitute)


def _is_same(point: Point, target: Point) -> bool:
    """Compare without the sort: the same COMMIT may find another state of its connection."""
    return (point.role, point.label, point.nth, point.side) == (
        target.role,
        target.label,
        target.nth,
        target.side,
    )


def _role() -> str:
    name = threading.current_thread().name
    if name == "MainThread":
        return "main"
    return re.split(r"[-_ ]?\d", name, maxsplit=1)[0].split(" (")[0] or "thread"


def _describe(conn: Any, gen: Any) -> tuple[str, str]:
    """Return label and sort of what is about to be sent to PostgreSQL."""
    name = getattr(gen, "__name__", "exchange").strip("_").removesuffix("_gen")
    if name == "commit":
        return "COMMIT", "commit"
    sort = "statement" if conn.autocommit else "query"
    frame = getattr(gen, "gi_frame", None)
    query = frame.f_locals.get("query", "") if frame is not None else ""
    if not query:
        return name, sort
    text = " ".join(str(query).split())
    return f"{text[:LABEL_CHARS]}~{zlib.crc32(text.encode()) % 1000}", sort


def _label(raw: bytes) -> str:
    """Name the commands of one round trip, without ids."""
    parts = []
    for verb, key in _COMMANDS.findall(raw)[:3]:
        plain = key[:6] if verb == b"EVALSHA" else _OWN_IDS.sub(b"", key)
        parts.append(f"{verb.decode().upper()} {plain.decode(errors='replace')}".strip())
    return " + ".join(parts)


def shut(conn: Any) -> None:
    """Break a connection as a network does: no goodbye."""
    with contextlib.suppress(OSError, psycopg.Error):
        double = socket.socket(fileno=os.dup(conn.pgconn.socket))
        try:
            double.shutdown(socket.SHUT_RDWR)
        finally:
            double.close()
