"""What must be left when everything has healed, and what is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import psycopg
from psycopg.rows import dict_row

from tests.faults.matrix.points import STOP

FINAL: Final = ("succeeded", "dead", "cancelled")
KEY_CHARS: Final = 9
"""Every key of a case is this long; what follows it tells the parts of a case apart."""

Sort = Literal["lost", "doubled", "crooked"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One promise that was not kept. Crooked are books that do not say what happened."""

    sort: Sort
    what: str

    def __str__(self) -> str:
        return f"{self.sort}: {self.what}"


@dataclass(frozen=True, slots=True)
class Left:
    """What one case has left behind."""

    jobs: list[dict[str, Any]]
    runs: list[dict[str, Any]]
    letters: list[dict[str, Any]]
    effects: Counter[str]
    calls: Counter[str]
    acknowledged: bool = False
    struck: str = ""
    sort: str = ""
    early: int = 0

    def states(self) -> list[str]:
        """Return the states of its jobs."""
        return [job["state"] for job in self.jobs]

    def may_fail(self) -> bool:
        """Tell whether the fault itself may have cost a failure.

        A stranger's connection that breaks is the handler's failure. A worker that is stopped for
        long in a transaction finds it ended; and one whose run has failed, but not yet on the
        record, wakes to a job that has failed once more elsewhere.
        """
        return bool(self.struck) and (self.sort == "call" or self.struck == STOP)


@dataclass(frozen=True, slots=True)
class Expected:
    """What an operation leaves behind, whatever strikes it.

    `effects` counts by the end of their key. `failures` and `crashes` are what the operation
    costs without a fault; a fault may add one crash, never a failure. `business`: the job exists
    exactly when the row of its author's transaction does. `acknowledged`: the only state once the
    caller was told that it is done. `early`: nothing may have happened before the healing.
    """

    effects: dict[str, int] = field(default_factory=lambda: {"": 1})
    states: tuple[str, ...] = ("succeeded",)
    parts: dict[str, str] = field(default_factory=dict)
    failures: int = 0
    crashes: int = 0
    letters: int = 0
    calls: int = 0
    business: bool = False
    early: bool = False
    acknowledged: str = ""

    def judge(self, left: Left) -> list[Finding]:
        """Return every promise that was not kept."""
        if self.business and not left.effects[":business"] and not left.jobs:
            told = [Finding("lost", "acknowledged, but there is no trace of it")]
            return told if left.acknowledged else []
        found = list(self._existence(left))
        found += self._effects(left)
        if self.early and left.early:
            found.append(Finding("doubled", "it ran before it was due"))
        for job in left.jobs:
            found += self._states(job, left)
            runs = [run for run in left.runs if run["job_id"] == job["id"]]
            letters = [letter for letter in left.letters if letter["job_id"] == job["id"]]
            found += self._books(job, runs, letters, left)
        return found

    def _existence(self, left: Left) -> Iterator[Finding]:
        wanted = len(self.parts) or 1
        if len(left.jobs) < wanted:
            yield Finding("lost", f"{len(left.jobs)} of {wanted} jobs exist")
        if len(left.jobs) > wanted:
            yield Finding("doubled", f"{len(left.jobs)} jobs for {wanted}")
        if self.business and left.effects[":business"] != 1:
            yield Finding("crooked", "a job without its author's row")

    def _states(self, job: dict[str, Any], left: Left) -> Iterator[Finding]:
        part = job["key"][KEY_CHARS:]
        states = (self.parts[part],) if part in self.parts else self.states
        if self.acknowledged and left.acknowledged:
            states = (self.acknowledged,)
        if job["state"] not in FINAL:
            yield Finding("lost", f"the job stays {job['state']}")
        elif job["state"] not in states:
            yield Finding("lost", f"the job is {job['state']}, not {' or '.join(states)}")

    def _effects(self, left: Left) -> Iterator[Finding]:
        wanted = dict(self.effects)
        if "cancelled" in left.states():
            wanted = {}
        for suffix in wanted.keys() | (left.effects.keys() - {":business"}):
            count, right = left.effects[suffix], wanted.get(suffix, 0)
            if count < right:
                yield Finding("lost", f"effect {suffix!r} {count} times, not {right}")
            if count > right:
                yield Finding("doubled", f"effect {suffix!r} {count} times, not {right}")
        if len(left.calls) != self.calls:
            sort: Sort = "doubled" if len(left.calls) > self.calls else "lost"
            yield Finding(sort, f"{len(left.calls)} calls with different keys, not {self.calls}")

    def _books(
        self,
        job: dict[str, Any],
        runs: list[dict[str, Any]],
        letters: list[dict[str, Any]],
        left: Left,
    ) -> Iterator[Finding]:
        """Compare a job's counters with its attempts and dead letters."""
        outcomes = Counter(run["outcome"] for run in runs)
        numbers = sorted(run["number"] for run in runs)
        buried = 1 if job["state"] == "dead" else self.letters
        history = [f"{run['outcome']} {run['message'][:60]}" for run in runs]
        for holds, what in (
            (outcomes["running"] == 0, "an attempt is still open"),
            (numbers == list(range(1, len(runs) + 1)), f"attempts are numbered {numbers}"),
            (job["attempts"] == len(runs), f"{job['attempts']} attempts, {len(runs)} in the books"),
            (
                outcomes["succeeded"] == (job["state"] == "succeeded"),
                f"{outcomes['succeeded']} successes of a job that {job['state']}",
            ),
            (
                # A requeue has counted anew.
                bool(self.letters) or job["failures"] == outcomes["failed"],
                f"{job['failures']} failures, {outcomes['failed']} in the books",
            ),
            (
                job["failures"] <= self._failures(job) + left.may_fail(),
                f"{job['failures']} failures: {history}",
            ),
            (
                job["crashes"] <= self.crashes + bool(left.struck),
                f"{job['crashes']} crashes, not {self.crashes}: {history}",
            ),
        ):
            if not holds:
                yield Finding("crooked", what)
        if len(letters) > buried:
            yield Finding("doubled", f"{len(letters)} dead letters, not {buried}")
        if len(letters) < buried:
            yield Finding("lost", f"{len(letters)} dead letters, not {buried}")

    def _failures(self, job: dict[str, Any]) -> int:
        part = job["key"][KEY_CHARS:]
        if self.parts and self.parts.get(part) != "dead":
            return 0
        return self.failures


def read(
    conn: psycopg.Connection[Any], keys: list[str], calls: dict[str, Counter[str]]
) -> dict[str, Left]:
    """Read what each case has left behind; who was acknowledged or struck is the caller's."""
    lefts = {key: Left([], [], [], Counter(), calls.get(key, Counter())) for key in keys}
    owner: dict[Any, str] = {}
    with conn.cursor(row_factory=dict_row) as cursor:
        mine = f"left(payload->>'key', {KEY_CHARS}) = ANY(%s)"
        cursor.execute(
            f"SELECT id, payload->>'key' AS key, state, attempts, failures, crashes"
            f" FROM jobs_job WHERE {mine}",
            (keys,),
        )
        for row in cursor.fetchall():
            owner[row["id"]] = row["key"][:KEY_CHARS]
            lefts[owner[row["id"]]].jobs.append(row)
        for table, part in (("jobs_jobattempt", "runs"), ("jobs_failedjob", "letters")):
            cursor.execute(f"SELECT * FROM {table} WHERE job_id = ANY(%s)", (list(owner),))
            for row in cursor.fetchall():
                getattr(lefts[owner[row["job_id"]]], part).append(row)
        cursor.execute(
            f"SELECT key, count(*) AS n FROM drills_effect WHERE left(key, {KEY_CHARS}) = ANY(%s)"
            " GROUP BY key",
            (keys,),
        )
        for row in cursor.fetchall():
            lefts[row["key"][:KEY_CHARS]].effects[row["key"][KEY_CHARS:]] += row["n"]
    return lefts
