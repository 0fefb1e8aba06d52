"""A redrive of many with its worker killed: each letter once, each job once, at the rate (D-07)."""

from __future__ import annotations

import signal
from bisect import bisect_left
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection

from flagship.models import AuditEvent
from jobs.ids import new_id, public_id
from jobs.models import FailedJob, Job, Redrive
from jobs.selectors.letters import LetterFilter
from jobs.services.redrives import RedriveOrder, start_redrive
from jobs.services.redrives.pace import SPREAD_S
from jobs.services.redrives.run import BATCH_MAX
from jobs.states import RedriveAction
from tests.drills.models import Effect
from tests.drills.payloads import Touch
from tests.faults.test_worker_faults import start
from tests.processes import Processes, Running, wait_until
from tests.soak import full

pytestmark = pytest.mark.usefixtures("live_db")

LETTERS = full(400, 100_000)
RATE_PER_S = full(20.0, 100.0)
WINDOW_S = 10.0
BURY = """
WITH dead AS (
    INSERT INTO jobs_job (id, kind, version, queue, payload, state, attempts, failures, crashes,
        losses, backoff_s, timeout_s, delivery_no, lease_token, lease_owner, request_id,
        correlation_id, created_at, started_at, finished_at)
    SELECT uuidv7(), %(kind)s, 1, 'flagship:usage', jsonb_build_object('key', 'letter-' || number),
        'dead', 1, 1, 0, 0, '{}', 30, 1, 1, '', '', '', now(), now(), now()
    FROM generate_series(1, %(letters)s) AS number
    RETURNING *
)
INSERT INTO jobs_failedjob (job_id, kind, queue, state, error_class, message, traceback,
    fingerprint, attempts, payload, request_id, correlation_id, died_at, resolved_by, reason)
SELECT id, kind, queue, 'open', 'builtins.OSError', 'no space', '', 'f1', 1, payload, '', '',
    clock_timestamp() - interval '1 hour', '', ''
FROM dead
"""


def bury() -> None:
    """Leave that many dead jobs, each with its letter."""
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(BURY, {"kind": Touch.KIND, "letters": LETTERS})


def answered(redrive: Redrive) -> int:
    """How far it is."""
    redrive.refresh_from_db()
    return redrive.done


def kill_when(redrive: Redrive, count: int, worker: Running) -> None:
    """Kill the worker in the midst of it, once so many have been answered."""
    wait_until(lambda: answered(redrive) >= count, 1200.0, worker.output, poll_s=0.05)
    worker.kill(signal.SIGKILL)
    worker.wait()


def busiest(times: list[float], window_s: float) -> int:
    """The most answers in any window of that length."""
    return max(bisect_left(times, first + window_s) - n for n, first in enumerate(times))


def test_redrive__with_its_worker_killed_twice__answers_each_once_and_holds_its_rate(
    processes: Processes, settings: Any
) -> None:
    # D-03, D-07, W-04, P08
    settings.REDRIVE_APPROVAL_SIZE = LETTERS
    bury()
    scheduler, first = start(processes, "rqscheduler"), start(processes)
    order = RedriveOrder(RedriveAction.REQUEUE, "a drill", rate_per_s=RATE_PER_S)
    redrive = start_redrive(
        redrive_id=new_id(), wanted=LetterFilter(kind=Touch.KIND), order=order, actor="user:ana"
    )
    kill_when(redrive, LETTERS // 4, first)
    second = start(processes)
    kill_when(redrive, LETTERS // 2, second)
    third = start(processes)
    wait_until(lambda: answered(redrive) == LETTERS, 2400.0, third.output, poll_s=0.1)
    done = Job.objects.filter(kind=Touch.KIND, state="succeeded")
    wait_until(lambda: done.count() == LETTERS, 600.0, scheduler.output, poll_s=0.2)

    # Each letter once, each counted once, each job's effect once.
    actor = public_id("redrive", redrive.id)
    letters = FailedJob.objects.filter(state="requeued", resolved_by=actor)
    assert (redrive.done, redrive.refused, letters.count()) == (LETTERS, 0, LETTERS)
    assert AuditEvent.objects.filter(action="job.requeued", actor=actor).count() == LETTERS
    effects = Counter(Effect.objects.values_list("key", flat=True))
    assert effects == Counter({f"letter-{n}": 1 for n in range(1, LETTERS + 1)})
    assert FailedJob.objects.count() == LETTERS

    # Never faster than the rate by more than a twentieth, also when it catches up.
    times = [at.timestamp() for at in letters.values_list("resolved_at", flat=True) if at]
    times.sort()
    assert busiest(times, WINDOW_S) <= 1.05 * RATE_PER_S * (WINDOW_S + SPREAD_S) + BATCH_MAX
    # Nor slower, but for the time in which there was no worker to be fast.
    away_s = sum(later - at for at, later in pairwise(times) if later - at > 1.0)
    assert LETTERS / (times[-1] - times[0] - away_s) >= 0.95 * RATE_PER_S
