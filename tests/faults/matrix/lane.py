"""One lane of the matrix: a database, a Redis database, a stage; batches of cases, then healing."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit, urlunsplit

import psycopg
import redis

from tests.faults.matrix.bugs import Bug
from tests.faults.matrix.cases import Case, Shown
from tests.faults.matrix.operations import OPERATIONS, WORKER, Operation
from tests.faults.matrix.points import Point
from tests.faults.matrix.provider import Provider
from tests.faults.matrix.stage import HUNG, LIMIT_S, Stage
from tests.faults.matrix.verdicts import FINAL, KEY_CHARS, Finding, read

STRIKING: Final = {
    "JOB_LEASE_S": 3600.0,
    "JOB_LEASE_RENEWAL_S": 30.0,
    "JOB_LOST_AFTER_S": 3600.0,
    "WORKER_DB_CONNECTIONS": 2,
    "WORKER_SLOTS": 4,
    "WORKER_AWAY_LIMIT_S": 5.0,
}
"""While cases are struck, time stands still: no lease runs out, no doorbell counts as lost."""
HEALING: Final = STRIKING | {
    "JOB_LEASE_S": 15.0,
    "JOB_LEASE_RENEWAL_S": 0.5,
    "JOB_LOST_AFTER_S": 0.0,
    "WORKER_DB_CONNECTIONS": 6,
    "WORKER_CELLS": 2,
    "WORKER_SLOTS": 40,
}
PATIENCE: Final = {"JOB_LOST_AFTER_S": 600.0}
"""A Redis that lost everything must be noticed without missing its doorbells one by one."""
ROUNDS: Final = 8
LOG_CHARS: Final = 3_000
HEAL_LIMIT_S: Final = 180.0
BUGGY_ROUNDS: Final = 4
BUGGY_LIMIT_S: Final = 8.0
"""Nothing has to heal where a bug is planted."""
ZOMBIE_S: Final = 3.0
"""How long others may take over the jobs of stopped workers before those wake."""

_PARK: Final = """
UPDATE jobs_job SET next_attempt_at = next_attempt_at + interval '1 day' WHERE id IN (
    SELECT id FROM jobs_job WHERE state IN ('pending', 'retry_wait')
        AND next_attempt_at < clock_timestamp() + interval '12 hours' FOR UPDATE SKIP LOCKED)
"""
_UNPARK: Final = """
UPDATE jobs_job SET next_attempt_at = next_attempt_at - interval '1 day' WHERE id IN (
    SELECT id FROM jobs_job WHERE state IN ('pending', 'retry_wait')
        AND next_attempt_at > clock_timestamp() + interval '12 hours'
        AND (%(key)s::text IS NULL OR left(payload->>'key', 9) = %(key)s)
    FOR UPDATE SKIP LOCKED)
"""
_EXPIRE: Final = """
UPDATE jobs_job SET lease_until = clock_timestamp() - interval '1 s' WHERE id IN (
    SELECT id FROM jobs_job WHERE state = 'running' FOR UPDATE SKIP LOCKED)
"""
_OPEN: Final = f"SELECT count(*) FROM jobs_job WHERE NOT state = ANY(ARRAY{list(FINAL)})"
_TIDY: Final = """
DELETE FROM drills_effect; DELETE FROM jobs_failedjob; DELETE FROM jobs_jobattempt;
DELETE FROM jobs_job;
"""
_FORGET: Final = (
    "DELETE FROM jobs_failuredelta; DELETE FROM jobs_failurehour; DELETE FROM jobs_failuregroup"
)


_numbers: Final = count()


class Lane:
    """Strikes cases one after the other; several lanes run side by side."""

    def __init__(
        self, root: Path, directory: Path, urls: tuple[str, str], number: int, provider: Provider
    ) -> None:
        """Start; `urls` are those of the database, as the application and as its owner."""
        database_url, self._owner_url = urls
        self._directory = directory
        self._provider = provider
        parts = urlsplit(os.environ["REDIS_URL"])
        redis_url = urlunsplit(parts._replace(path=f"/{number}"))
        directory.mkdir(parents=True, exist_ok=True)
        self.database = psycopg.connect(database_url, autocommit=True)
        self.redis = redis.Redis.from_url(redis_url)
        self.redis.flushdb()
        servers = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
        self.stage = Stage(root, directory, servers)
        self._bells: dict[bytes, list[bytes]] = {}
        self._given: list[bytes] = []
        self._bug: dict[str, str] = {}
        # What is done once for a new database and a new Redis is no part of any case.
        self._run(["sweep"])
        self._run(["command", *WORKER])
        self.database.execute("UPDATE jobs_schedule SET enabled = false")

    def close(self) -> None:
        """End everything."""
        self.stage.close()
        self.database.close()
        self.redis.close()

    # --- one batch -----------------------------------------------------------------------------

    def show(self, bug: Bug) -> Shown:
        """Plant a bug and strike where it shows."""
        evidence = self._directory / "planted"
        evidence.unlink(missing_ok=True)
        self._bug = {"bug": bug.name, "evidence": str(evidence)}
        guards = self._lift_guards() if bug.guarded else []
        try:
            calm = Case(bug.operation)
            self.run([calm])
            cases = [
                Case(bug.operation, f"{point.role}.?", point, fault)
                for point in calm.points
                if bug.where(point)
                for fault in point.faults()
                if fault in bug.faults
            ]
            if cases:
                self.run(cases[: bug.most])
        finally:
            self._bug = {}
            self._as_owner(guards)
        return Shown(bug.name, evidence.exists(), [calm, *cases[: bug.most]])

    def _lift_guards(self) -> list[str]:
        """Switch the triggers of the engine's tables off; return what switches them on again."""
        query = """SELECT tgrelid::regclass::text, tgname, tgenabled FROM pg_trigger
            WHERE tgrelid::regclass::text LIKE 'jobs_%' AND NOT tgisinternal"""
        found = self.database.execute(query).fetchall()
        on = {"O": "ENABLE", "A": "ENABLE ALWAYS", "R": "ENABLE REPLICA"}
        alter = 'ALTER TABLE {} {} TRIGGER "{}"'
        self._as_owner([alter.format(table, "DISABLE", name) for table, name, _ in found])
        return [
            alter.format(table, on[state], name) for table, name, state in found if state != "D"
        ]

    def _as_owner(self, statements: list[str]) -> None:
        if statements:
            with psycopg.connect(self._owner_url, autocommit=True) as owner:
                for statement in statements:
                    owner.execute(statement)

    def run(self, cases: list[Case]) -> None:
        """Strike these cases of one operation, heal, judge; findings are left in the cases."""
        operation = OPERATIONS[cases[0].operation]
        for case in cases:
            case.key = f"case{next(_numbers):05d}"
        keys = [case.key for case in cases]
        self._prepare(operation, keys)
        for case in cases:
            self._strike(operation, case, keys)
        zombies = [case for case in cases if case.stopped]
        self._heal(operation, keys, zombies)
        self._judge(operation, cases)
        self._tidy()

    def _prepare(self, operation: Operation, keys: list[str]) -> None:
        schedules = keys if operation.name == "schedule" else []
        world = {"url": self._provider.url}
        call = ["prepare", operation.name, keys, world]
        # What is made here is no part of any case: no bug is planted.
        pid, code = self.stage.run(call, settings=STRIKING, schedules=schedules)
        if code:
            raise RuntimeError(f"{operation.name}: not prepared: {self.stage.log_of(pid)}")
        if operation.die_first:
            self._run(["command", *WORKER], settings=STRIKING)
        self._take_bells()

    def _strike(self, operation: Operation, case: Case, keys: list[str]) -> None:
        self.database.execute(_PARK)
        self.database.execute(_UNPARK, {"key": case.key})
        for statement in operation.ready:
            self.database.execute(statement, {"key": case.key})
        self._give_bells(case.key)
        journal = self._directory / f"{case.key}.journal"
        call = ["command", *operation.act] if isinstance(operation.act, tuple) else None
        case.pid = self.stage.fork(
            call or ["act", operation.name, case.key],
            settings=STRIKING | operation.settings,
            schedules=keys if operation.name == "schedule" else [],
            journal=str(journal),
            target=case.point.to_json() if case.point else None,
            fault=case.fault,
            **self._bug,
        )
        if operation.meanwhile == "sweep":
            self._sweep_meanwhile(case)
        if operation.meanwhile == "ring":
            self._ring_meanwhile(case)
        started = time.monotonic()
        if case.stops_a_child():
            case.stopped = _wait_for_strike(journal, case.pid)
            if case.stopped:
                # Its worker goes on and would take the doorbells of the cases that follow.
                os.kill(case.pid, signal.SIGSTOP)
            case.code = self.stage.wait(case.pid)
        else:
            case.code = self.stage.wait(case.pid, BUGGY_LIMIT_S if self._bug else LIMIT_S)
            case.stopped = case.pid if case.code is None else 0
        case.took_s = time.monotonic() - started
        case.early = self._effects(case.key)
        self._take_bells()
        lines = journal.read_text().splitlines() if journal.exists() else []
        case.struck = any(line.startswith("STRUCK") for line in lines)
        case.acknowledged = call is None and "DONE" in lines
        case.points = [
            Point(**json.loads(line.removeprefix("POINT ")))
            for line in lines
            if line.startswith("POINT ")
        ]

    def _sweep_meanwhile(self, case: Case) -> None:
        """Sweep again and again while a case runs."""
        while not _has_ended(case.pid):
            self._run(["sweep"], settings=STRIKING, **self._bug)

    def _ring_meanwhile(self, case: Case) -> None:
        """Deliver the same doorbells once more as soon as their job runs."""
        running = (
            "SELECT queue FROM jobs_job WHERE left(payload->>'key', 9) = %s AND state = 'running'"
        )
        while not _has_ended(case.pid):
            row = self.database.execute(running, (case.key,)).fetchone()
            if row is not None:
                self.redis.rpush(f"rq:queue:{row[0]}", *self._given)
                return
            time.sleep(0.005)

    def _effects(self, key: str) -> int:
        query = f"SELECT count(*) FROM drills_effect WHERE left(key, {KEY_CHARS}) = %s"
        row = self.database.execute(query, (key,)).fetchone()
        return int(row[0]) if row else 0

    # --- doorbells of others are put aside, so that a case's worker finds its own only -----------

    def _take_bells(self) -> None:
        for key in cast("list[bytes]", self.redis.keys("rq:queue:flagship*")):
            with self.redis.pipeline() as pipeline:
                pipeline.lrange(key, 0, -1)
                pipeline.delete(key)
                self._bells.setdefault(key, []).extend(pipeline.execute()[0])

    def _give_bells(self, key: str | None) -> None:
        """Put the doorbells of one case back, or all."""
        mine: set[bytes] = set()
        if key is not None:
            query = "SELECT id FROM jobs_job WHERE left(payload->>'key', 9) = %s"
            mine = {row[0].hex.encode() for row in self.database.execute(query, (key,))}
        self._given = []
        for queue, bells in self._bells.items():
            given = [bell for bell in bells if key is None or bell[:32] in mine]
            if given:
                self._bells[queue] = [bell for bell in bells if bell not in given]
                self.redis.rpush(queue, *given)
                self._given += given

    # --- healing -------------------------------------------------------------------------------

    def _heal(self, operation: Operation, keys: list[str], zombies: list[Case]) -> None:
        """Let leases run out, sweep and work until nothing is left to do."""
        self._give_bells(None)
        if operation.wiped:
            self.redis.flushdb()
        schedules = keys if operation.name == "schedule" else []
        options: dict[str, Any] = {
            "settings": HEALING | operation.settings | (PATIENCE if operation.wiped else {}),
            "schedules": schedules,
            **self._bug,
        }
        if zombies:
            self._take_over(zombies, options)
        self._finish(options)
        if operation.again:
            self._run(["repeat", operation.name, keys], **options)
            self._finish(options)

    def _finish(self, options: dict[str, Any]) -> None:
        for _ in range(BUGGY_ROUNDS if self._bug else ROUNDS):
            self.database.execute(_EXPIRE)
            self.database.execute(_UNPARK, {"key": None})
            self._run(["sweep"], **options)
            self._run(["command", *WORKER], **options)
            if not self._open():
                break

    def _take_over(self, zombies: list[Case], options: dict[str, Any]) -> None:
        """Let others have the jobs of stopped workers, then wake those."""
        self.database.execute(_EXPIRE)
        self.database.execute(_UNPARK, {"key": None})
        self._run(["sweep"], **options)
        healer = self.stage.fork(["command", *WORKER], **options)
        until = time.monotonic() + ZOMBIE_S
        while self._open() and time.monotonic() < until and not _has_ended(healer):
            time.sleep(0.02)
        for case in zombies:
            case.code = self.stage.wake(case.stopped, case.pid)
            journal = self._directory / f"{case.key}.journal"
            is_call = callable(OPERATIONS[case.operation].act)
            case.acknowledged = is_call and "DONE" in journal.read_text()
        self.stage.wait(healer)

    def _open(self) -> int:
        row = self.database.execute(_OPEN).fetchone()
        return int(row[0]) if row else 0

    def _run(self, call: list[Any], **options: Any) -> None:
        """Run a healthy process to its end."""
        pid, code = self.stage.run(
            call, limit_s=BUGGY_LIMIT_S if self._bug else HEAL_LIMIT_S, **options
        )
        if code and not self._bug:
            raise RuntimeError(f"{call} ended with {code}: {self.stage.log_of(pid)[-3000:]}")

    # --- judging -------------------------------------------------------------------------------

    def _judge(self, operation: Operation, cases: list[Case]) -> None:
        keys = [case.key for case in cases]
        lefts = read(self.database, keys, self._provider.effects)
        for case in cases:
            left = replace(
                lefts[case.key],
                acknowledged=case.acknowledged,
                struck=case.fault if case.struck else "",
                sort=case.point.sort if case.point else "",
                early=case.early,
            )
            case.findings = operation.expected.judge(left)
            if case.code == HUNG:
                case.findings.append(Finding("crooked", "the process hung"))
            case.log = self.stage.log_of(case.pid)[-LOG_CHARS:]

    def _tidy(self) -> None:
        self.database.execute(_TIDY)
        self.database.execute("DELETE FROM jobs_schedule WHERE name LIKE 'case%'")
        # The next batch dies of causes that nobody has seen, in whichever lane it runs.
        self._as_owner([_FORGET])
        self._take_bells()
        self._bells.clear()


def _wait_for_strike(journal: Path, pid: int) -> int:
    """Wait until a process has stopped itself, and return its id; 0 if all ended before."""
    while not _has_ended(pid):
        text = journal.read_text() if journal.exists() else ""
        if "STRUCK" in text:
            return int(text.split("STRUCK")[1].split()[1])
        time.sleep(0.01)
    return 0


def _has_ended(pid: int) -> bool:
    """Tell whether a child of the stage is a zombie in the kernel's sense, not ours."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return True
    return status == "Z"
