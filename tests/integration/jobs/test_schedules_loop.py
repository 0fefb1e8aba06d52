"""The loop behind `manage.py rqscheduler`: as often as asked, ended by nothing but a signal."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import django_rq
import pytest
from django.db import DatabaseError, connection

from jobs.models import Schedule
from jobs.queues import MAINTENANCE
from jobs.registry import scheduled
from jobs.services.sweep import Sweeper
from jobs.worker import scheduler as module
from jobs.worker.scheduler import SweepingScheduler

pytestmark = pytest.mark.django_db

Build = Callable[[], SweepingScheduler]


@pytest.fixture
def build(valkey: Any, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Make a scheduler as the command does, without taking over the test's signals."""
    monkeypatch.setattr(SweepingScheduler, "_install_signal_handlers", lambda self: None)
    # The test's transaction is on the connection that an error makes the loop close.
    monkeypatch.setattr(connection, "close", lambda: None)
    return lambda: cast(SweepingScheduler, django_rq.get_scheduler(MAINTENANCE, interval=60))


def test_loop__at_its_first_pass__declares_what_the_code_schedules(build: Build) -> None:
    # W-12
    build().run(burst=True)

    assert set(Schedule.objects.values_list("name", flat=True)) == {
        each.name for each in scheduled()
    }


def test_loop__whatever_a_pass_raises__goes_on_and_waits_longer(
    build: Build, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # E: an error that ended it would stop every retry of the system.
    settings.SWEEP_INTERVAL_S = 0.25
    raised = [ValueError("a defect"), DatabaseError("away"), KeyError("again"), None, None]
    waits: list[float] = []
    running = build()

    def sweep(self: Sweeper) -> bool:
        error = raised.pop(0)
        running._stopping = not raised
        if error is not None:
            raise error
        return True

    # A clock that stands still: what a pass takes is not waited for again.
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: 100.0, time=time.time))
    monkeypatch.setattr(Sweeper, "run", sweep)
    monkeypatch.setattr(SweepingScheduler, "_sleep", lambda self, wait_s: waits.append(wait_s))

    running.run()

    assert raised == []
    assert waits == [0.5, 1.0, 2.0, 0.25, 0.25]


def test_loop__that_runs_for_long__prunes_now_and_then(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    pruned = []
    monkeypatch.setattr(module, "prune_schedule_runs", lambda: pruned.append(1))
    running = build()
    running.run(burst=True)
    running.run(burst=True)
    running._pruned_at -= module.PRUNE_EVERY_S
    running.run(burst=True)

    assert len(pruned) == 2
