"""Jobs of every shape, submitted all the time, each with its author's row; then counted."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter

from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.models import QuerySet

from jobs.models import FailedJob, Job, JobAttempt
from jobs.services.enqueue import enqueue
from tests.asserts import wait_until
from tests.drills.models import Effect
from tests.drills.shapes import Mark, MarkInOne, MarkLater, MarkPlainly, MarkTogether
from tests.faults.matrix.verdicts import FINAL, Finding

KINDS = (Mark, MarkPlainly, MarkInOne, MarkLater, MarkTogether)
BUSINESS = ":business"


class Load(threading.Thread):
    """Submits a few jobs in each transaction until told to stop.

    `acknowledged` are the keys whose COMMIT was answered: they must be there and must be done.
    """

    def __init__(self, chance: random.Random, pause_s: float = 0.05) -> None:
        super().__init__(daemon=True)
        self.acknowledged: list[str] = []
        self._chance = chance
        self._pause_s = pause_s
        self._ended = threading.Event()
        self._number = 0

    def run(self) -> None:
        """Submit, pause, again."""
        while not self._ended.wait(self._pause_s):
            keys = [f"load-{self._number + n}" for n in range(self._chance.randint(1, 3))]
            self._number += len(keys)
            try:
                with transaction.atomic():
                    for key in keys:
                        self._submit(key)
            except (DatabaseError, InterfaceError):
                connection.close()
                continue
            self.acknowledged += keys
        connection.close()

    def finish(self) -> None:
        """Submit no more."""
        self._ended.set()
        self.join(30)

    def _submit(self, key: str) -> None:
        Effect.objects.create(key=key + BUSINESS, attempt=0)
        kind = self._chance.choice(KINDS)
        sleep_s = self._chance.choice([0.0, 0.0, 0.1])
        enqueue(kind.model_validate({"key": key, "sleep_s": sleep_s}))

    def settle(self, timeout_s: float) -> None:
        """Wait until everything has ended; that it has not is for `findings` to say."""
        try:
            wait_until(lambda: not _unfinished(), timeout_s, poll_s=0.1)
        except AssertionError:
            time.sleep(0)

    def findings(self) -> list[Finding]:
        """Return whatever was lost or doubled."""
        effects = Counter(Effect.objects.values_list("key", flat=True))
        wanted = {key.removesuffix(BUSINESS) for key in effects if key.endswith(BUSINESS)}
        done = {key: n for key, n in effects.items() if not key.endswith(BUSINESS)}
        jobs = _submitted()
        states = dict(jobs.values_list("payload__key", "state"))
        found = [Finding("lost", f"{key} was acknowledged") for key in self.acknowledged
                 if key not in wanted]  # fmt: skip
        for key in sorted(wanted):
            if done.get(key, 0) < 1:
                found.append(Finding("lost", f"{key} has no effect, its job is {states.get(key)}"))
        found += [Finding("doubled", f"{key} {n} times") for key, n in done.items() if n > 1]
        found += [Finding("crooked", f"{key} without its author") for key in done.keys() - wanted]
        if states.keys() != wanted:
            found.append(Finding("crooked", f"jobs and authors differ: {states.keys() ^ wanted}"))
        still_open = JobAttempt.objects.filter(outcome="running", job__in=jobs)
        for key, state in still_open.values_list("job__payload__key", "job__state"):
            found.append(Finding("crooked", f"{key} is {state} and has an open attempt"))
        for key, failures in jobs.filter(failures__gt=0).values_list("payload__key", "failures"):
            found.append(Finding("crooked", f"{key} has paid for {failures} failures not its own"))
        letters = FailedJob.objects.values_list("job_id", "message")
        found += [Finding("lost", f"{job.hex} is a dead letter: {why}") for job, why in letters]
        return found


def _submitted() -> QuerySet[Job]:
    """Ours only: the scheduler under test submits jobs of its own all the time."""
    return Job.objects.filter(payload__key__startswith="load-")


def _unfinished() -> int:
    return _submitted().exclude(state__in=FINAL).count()
