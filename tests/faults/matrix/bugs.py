"""Bugs that the matrix must see: each planted in every process, struck where it shows.

Most are planted below the code, in the text of the statements it sends, so that they stay what
they are when the code moves. One that no longer finds its place is not planted, and counts as
unseen.
"""

from __future__ import annotations

import http.client
import importlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from django.conf import settings
from django.db import transaction

from jobs.clients import postgres
from jobs.services import endings
from jobs.services.enqueue import enqueue
from jobs.worker import transactor
from tests.drills import shapes
from tests.faults.matrix import operations
from tests.faults.matrix.hooks import replace_everywhere
from tests.faults.matrix.points import AFTER, BEFORE, CUT, KILL, LOST, STOP, Point

Where = Callable[[Point], bool]
Evidence = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Bug:
    """A bug, and the cases in which it shows; without `faults` it shows without any.

    `guarded`: the database's triggers refuse what it would do, so they are lifted with it. That
    they do is a second wall, with tests of its own.
    """

    name: str
    plant: Callable[[Evidence], None]
    operation: str
    faults: tuple[str, ...] = ()
    where: Where = lambda point: True
    most: int = 6
    guarded: bool = False


def plant(name: str, evidence: Path) -> None:
    """Plant a bug in this process; `evidence` is written once it has its way."""
    BUGS[name].plant(lambda: evidence.touch())


# --- ways to plant --------------------------------------------------------------------------------


def _rewrite(*changes: tuple[str, str], when: str = "") -> Callable[[Evidence], None]:
    """Change the text of statements, in which every run of blanks is one space."""

    def plant(evidence: Evidence) -> None:
        def change(text: str) -> str:
            plain = " ".join(text.split())
            if not re.search(when, plain):
                return text
            changed = plain
            for pattern, substitute in changes:
                changed = re.sub(pattern, substitute, changed)
            if changed == plain:
                return text
            evidence()
            return changed

        _on_statements(change)

    return plant


def _on_statements(change: Callable[[str], str]) -> None:
    execute, together = psycopg.Cursor.execute, postgres.run_together

    def changed_execute(self: Any, query: Any, *rest: Any, **options: Any) -> Any:
        new = change(query) if isinstance(query, str) else query
        return execute(self, new, *rest, **options)

    def changed_together(*statements: bytes) -> Any:
        return together(*(change(each.decode()).encode() for each in statements))

    psycopg.Cursor.execute = changed_execute  # type: ignore[method-assign]
    replace_everywhere(together, changed_together)


def _elsewhere(mark: str, answer: str) -> Callable[[Evidence], None]:
    """Run statements with this mark in a transaction of their own, at once."""

    def plant(evidence: Evidence) -> None:
        execute = psycopg.Cursor.execute

        def changed(self: Any, query: Any, params: Any = None, **options: Any) -> Any:
            plain = " ".join(query.split()) if isinstance(query, str) else ""
            if mark not in plain or self.connection.autocommit:
                return execute(self, query, params, **options)
            evidence()
            with _own_connection() as own, psycopg.Cursor(own) as cursor:
                execute(cursor, query, params)
            return execute(self, answer, params, **options)

        psycopg.Cursor.execute = changed  # type: ignore[method-assign]

    return plant


def _own_connection() -> Any:
    database = settings.DATABASES["default"]
    return psycopg.connect(
        host=database["HOST"],
        port=database["PORT"],
        dbname=database["NAME"],
        user=database["USER"],
        password=database["PASSWORD"],
        autocommit=True,
    )


def _without(path: str, answer: Any = None) -> Callable[[Evidence], None]:
    """Let a function do nothing."""

    def plant(evidence: Evidence) -> None:
        def nothing(*_: Any, **__: Any) -> Any:
            evidence()
            return answer

        _set(path, nothing)

    return plant


def _set(path: str, value: Any) -> None:
    """Replace `module:attribute` or `module:Class.method`."""
    module, name = path.split(":")
    owner: Any = importlib.import_module(module)
    *classes, last = name.split(".")
    for each in classes:
        owner = getattr(owner, each)
    if not callable(getattr(owner, last)):
        raise TypeError(path)
    if classes:
        setattr(owner, last, value)
    else:
        replace_everywhere(getattr(owner, last), value)


# --- bugs -----------------------------------------------------------------------------------------


def _enqueue_after_commit(evidence: Evidence) -> None:
    def later(*given: Any, **options: Any) -> None:
        evidence()
        transaction.on_commit(lambda: enqueue(*given, **options))

    vars(operations)["enqueue"] = later


def _effect_elsewhere(evidence: Evidence) -> None:
    def leave(payload: Any, attempt: int, suffix: str = "") -> None:
        evidence()
        with _own_connection() as own:
            insert = "INSERT INTO drills_effect (key, attempt) VALUES (%s, %s)"
            own.execute(insert, (payload.key + suffix, attempt))

    shapes.leave = leave


def _late_renewal(evidence: Evidence) -> None:
    settings.JOB_LEASE_RENEWAL_S = 30.0
    evidence()


def _key_per_attempt(evidence: Evidence) -> None:
    request: Any = http.client.HTTPConnection.request
    count = iter(range(1_000_000))

    def changed(self: Any, method: str, url: str, **options: Any) -> Any:
        evidence()
        headers = options.pop("headers", {})
        headers["Idempotency-Key"] += f"-{os.getpid()}-{next(count)}"
        return request(self, method, url, headers=headers, **options)

    http.client.HTTPConnection.request = changed  # type: ignore[assignment,method-assign]


def _drop_whole_batch(evidence: Evidence) -> None:
    """A batch that fails fails as a whole, for good."""
    run_batch = transactor.Transactor.run_batch

    def changed(self: Any, job_ids: Any) -> int:
        if len(job_ids) < 2:
            return run_batch(self, job_ids)
        answer = self._try(lambda: self._run_batch(list(job_ids)))
        if not isinstance(answer, transactor.Undone):
            return int(answer.ran)
        evidence()
        for job_id in job_ids:
            self._end(job_id, endings.failed(answer.error, permanent=True))
        return len(job_ids)

    transactor.Transactor.run_batch = changed  # type: ignore[method-assign]


def _in(*words: str) -> Where:
    return lambda point: any(word in point.label for word in words)


def _side(side: str, *words: str) -> Where:
    return lambda point: point.side == side and (not words or _in(*words)(point))


_TOKEN: Final = r" AND (job\.)?lease_token = %\(token\)s"
_RUNNING: Final = r" AND (job\.)?state = 'running'"
_WAITING: Final = r"(job\.)?state IN \('pending', 'queued', 'retry_wait'\)"
_LOCK: Final = r" FOR NO KEY UPDATE( OF \w+)? SKIP LOCKED"

BUGS: Final = {
    bug.name: bug
    for bug in (
        Bug(
            "completion without the fence",
            _rewrite((_TOKEN + _RUNNING, ""), when="SET state = 'succeeded'"),
            "own",
            (STOP,),
            _in("drills_effect"),
            guarded=True,
        ),
        Bug(
            "release without the fence",
            _rewrite((_TOKEN + _RUNNING, ""), when="closed AS|SELECT CASE WHEN"),
            "flaky",
            (STOP,),
            _in("SELECT CASE"),
            guarded=True,
        ),
        Bug(
            "enqueued after the commit only",
            _enqueue_after_commit,
            "enqueue",
            (KILL,),
            _side(AFTER, "COMMIT"),
        ),
        Bug(
            "nobody publishes what is due",
            _without("jobs.services.sweep:publish_all_due", 0),
            "publish",
        ),
        Bug(
            "nobody misses lost doorbells",
            _without("jobs.services.sweep:ring_again_if_lost", {}),
            "own",
            (KILL, LOST),
            _side(AFTER, "EVALSHA", "LPOP"),
        ),
        Bug(
            "nobody takes orphans back",
            _without("jobs.services.sweep:rescue_expired", 0),
            "rescue",
        ),
        Bug(
            "an emptied Redis is not noticed",
            _without("jobs.services.refill:Memory.refill_if_lost", 0),
            "wiped",
            (KILL,),
            _side(BEFORE, "EVALSHA", "LPOP"),
        ),
        Bug("leases are renewed late", _late_renewal, "patient"),
        Bug(
            "claimed whatever the state",
            _rewrite((_WAITING, "true"), (r"job\.next_attempt_at <= clock\.now", "true")),
            "rung_twice",
        ),
        Bug(
            "claimed before it is due",
            _rewrite((r" AND (job\.)?next_attempt_at <= (clock\.now|clock_timestamp\(\))", "")),
            "early",
        ),
        Bug(
            "effects outside the completion's transaction",
            _effect_elsewhere,
            "own",
            (KILL, CUT),
            _side(BEFORE, "COMMIT"),
        ),
        Bug(
            "completion outside the effects' transaction",
            _elsewhere("SET state = 'succeeded'", "SELECT %(job_id)s, %(token)s, %(result)s"),
            "own",
            (KILL, CUT),
            _side(BEFORE, "COMMIT"),
        ),
        Bug(
            "on_dead outside the burying transaction",
            _effect_elsewhere,
            "doomed",
            (KILL, CUT),
            _side(BEFORE, "COMMIT"),
        ),
        Bug(
            "failures are not counted",
            _rewrite((r"failures = failures \+ CASE .*? END", "failures = failures")),
            "flaky",
        ),
        Bug(
            "dead without a letter",
            _rewrite(
                (r"FROM moved WHERE state = 'dead'", "FROM moved WHERE false"),
                (r"\(SELECT id FROM buried\)", "(SELECT max(id) FROM jobs_failedjob)"),
            ),
            "doomed",
        ),
        Bug(
            "rescued before the lease is over",
            _rewrite(
                (r" AND lease_until < clock_timestamp\(\)", ""),
                (r"AND \(NOT %\(expired_only\)s OR job\.lease_until < clock\.now\)", ""),
            ),
            "patient",
        ),
        Bug("a failed batch is dropped whole", _drop_whole_batch, "together"),
        Bug(
            "one transaction without the row lock",
            _rewrite(
                (_LOCK, ""),
                (r" AND lease_token = \$2 AND " + _WAITING, ""),
                when="flagship_hold|flagship_settle",
            ),
            "one",
            (STOP,),
            _side(AFTER, "flagship_hold"),
        ),
        Bug(
            "requeued whatever the state",
            _rewrite((r" AND state = 'open'", ""), (r" AND state = 'dead'", "")),
            "requeue",
            guarded=True,
        ),
        Bug(
            "schedules without lock and dedupe key",
            _rewrite(
                (_LOCK, ""),
                (r"new\.dedupe_key, plan\.state", "NULL, plan.state"),
                (r" FOR NO KEY UPDATE SKIP LOCKED", ""),
                when='FROM "jobs_schedule"|INSERT INTO jobs_job',
            ),
            "schedule",
            (STOP,),
            _side(BEFORE, "INSERT INTO jobs_job"),
        ),
        Bug(
            "a key per attempt for the stranger",
            _key_per_attempt,
            "call",
            (KILL, LOST),
            lambda point: point.side == AFTER and point.label == "HTTP",
        ),
    )
}
