"""All lanes together: explore operations, choose cases, run them, tell what was found."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from tests.faults.matrix.bugs import Bug
from tests.faults.matrix.cases import Case, Shown, batches
from tests.faults.matrix.lane import Lane
from tests.faults.matrix.operations import OPERATIONS
from tests.faults.matrix.points import LOST, Point
from tests.faults.matrix.provider import Provider
from tests.servers import TEMPLATE, Servers

LANES: Final = 3
BATCH: Final = 40
STOPPED: Final = 12
COSTLY: Final = 40
"""Of so many cases one is of an operation that starts processes."""


def seed() -> int:
    """Return SEED, or a new one; the caller prints it."""
    return int(os.environ.get("SEED", str(time.time_ns() % 1_000_000)))


class Matrix:
    """A few lanes side by side; each case runs in one of them."""

    def __init__(self, root: Path, directory: Path, servers: Servers, lanes: int = LANES) -> None:
        self._stack = ExitStack()
        self._provider = Provider()
        self._stack.callback(self._provider.close)
        self._lanes: list[Lane] = []
        for number in range(1, lanes + 1):
            name = f"flagship_matrix_{number}"
            urls = (_make_database(servers, name), servers.owner_url(name))
            lane = Lane(root, directory / f"lane-{number}", urls, number, self._provider)
            self._stack.callback(lane.close)
            self._lanes.append(lane)

    def __enter__(self) -> Matrix:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def explore(self, names: Iterable[str]) -> list[Case]:
        """Run each operation once without a fault; the cases returned know its points."""
        cases = [Case(name) for name in names]
        self._share([partial(_run, [case]) for case in cases])
        return cases

    def run(self, cases: Iterable[Case]) -> list[Case]:
        """Run cases, in batches of one operation each; return them."""
        by_operation: dict[str, list[Case]] = {}
        for case in cases:
            by_operation.setdefault(case.operation, []).append(case)
        cut = [batch for group in by_operation.values() for batch in batches(group, BATCH, STOPPED)]
        # The long ones first, so that no lane is left with one at the end.
        self._share([partial(_run, batch) for batch in sorted(cut, key=len, reverse=True)])
        return [case for batch in cut for case in batch]

    def show(self, bugs: Iterable[Bug]) -> list[Shown]:
        """Plant one bug after the other and strike where each shows."""
        shown: list[Shown] = []
        self._share([partial(_show, bug, shown) for bug in bugs])
        return shown

    def _share(self, work: Iterable[Callable[[Lane], None]]) -> None:
        """Let each lane take the next piece of work until none is left."""
        waiting: SimpleQueue[Callable[[Lane], None]] = SimpleQueue()
        for piece in work:
            waiting.put(piece)
        stop = threading.Event()

        def drain(lane: Lane) -> None:
            while not stop.is_set():
                try:
                    waiting.get_nowait()(lane)
                except Empty:
                    return
                except BaseException:
                    stop.set()
                    raise

        with ThreadPoolExecutor(len(self._lanes)) as pool:
            for done in [pool.submit(drain, lane) for lane in self._lanes]:
                done.result()


def _run(cases: list[Case], lane: Lane) -> None:
    lane.run(cases)


def _show(bug: Bug, shown: list[Shown], lane: Lane) -> None:
    shown.append(lane.show(bug))


def every_case(explored: Iterable[Case]) -> list[Case]:
    """Return each point of these operations with each fault that fits."""
    return [
        Case(calm.operation, f"{point.role}.{number}", point, fault)
        for calm in explored
        for number, point in _numbered(calm)
        for fault in point.faults()
        if fault in OPERATIONS[calm.operation].faults
        and point.role.startswith(OPERATIONS[calm.operation].roles)
    ]


def choose(cases: list[Case], most: int, chance: random.Random) -> list[Case]:
    """Return at most so many: lost replies and COMMITs all, of the rest a fair share."""
    if len(cases) <= most:
        return cases
    dear = [case for case in cases if OPERATIONS[case.operation].costly]
    chosen = chance.sample(dear, min(len(dear), most // COSTLY))
    others = [case for case in cases if not OPERATIONS[case.operation].costly]
    for wanted in (True, False):
        fitting = [case for case in others if _is_critical(case) is wanted]
        chosen += chance.sample(fitting, min(len(fitting), most - len(chosen)))
    return chosen


def find(explored: Case, name: str) -> Case:
    """Return the case of that name. Raises: LookupError, naming those there are."""
    known = {case.name: case for case in every_case([explored])}
    known[Case(explored.operation).name] = Case(explored.operation)
    if name not in known:
        points = "\n".join(f"  {case.name}  {case.point}" for case in known.values())
        raise LookupError(f"there is no {name}; there are\n{points}")
    return known[name]


def _numbered(calm: Case) -> Iterator[tuple[int, Point]]:
    """Number the points within their role: threads overlap differently each time."""
    numbers: dict[str, int] = {}
    for point in calm.points:
        numbers[point.role] = numbers.get(point.role, -1) + 1
        yield numbers[point.role], point


def _is_critical(case: Case) -> bool:
    return case.fault == LOST or (case.point is not None and case.point.sort == "commit")


def _make_database(servers: Servers, name: str) -> str:
    """Copy the migrated template; return the copy's address as the application's role."""
    admin = servers.postgres and servers.superuser_url("postgres")
    with psycopg.connect(admin or servers.owner_url("postgres"), autocommit=True) as connection:
        database = sql.Identifier(name)
        owner = sql.Identifier(urlsplit(servers.owner_url()).username or "")
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(database)
        connection.execute(drop)
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY FILE_COPY").format(
                database, owner, sql.Identifier(TEMPLATE)
            )
        )
        if servers.postgres:
            _cheapen_logins(connection, servers)
    parts = urlsplit(os.environ["DATABASE_URL"])
    return urlunsplit(parts._replace(path=f"/{name}"))


def _cheapen_logins(connection: psycopg.Connection[object], servers: Servers) -> None:
    """Let a login cost one round of hashing: a thousand cases log in five thousand times."""
    password = urlsplit(os.environ["DATABASE_URL"]).password or ""
    connection.execute("SET scram_iterations = 1")
    role = sql.Identifier(servers.application)
    change = sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, sql.Literal(password))
    connection.execute(change)
