"""The guard interrupts once, inside the call, and never after it (W-07)."""

from __future__ import annotations

import random
import threading
import time

import pytest

from jobs.errors import HandedBack, Interrupted, JobCancelled, JobTimedOut
from jobs.worker.guard import Guard
from jobs.worker.watchdog import Watchdog


def spin(guard: Guard, limit_s: float = 5.0) -> str:
    """Work in Python, swallowing every Exception."""
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        try:
            sum(range(50))
        except Exception:
            continue
    return "done"


def test_interruption__of_a_spinning_call__is_its_error() -> None:
    guard = Guard()
    threading.Timer(0.05, guard.interrupt, [JobCancelled("stop")]).start()

    value, error = guard.run(lambda: spin(guard))

    assert value is None
    assert isinstance(error, JobCancelled)
    assert str(error) == "stop"
    assert guard.stop.is_set()


def test_interruption__before_the_call__prevents_it() -> None:
    guard = Guard()
    assert guard.interrupt(HandedBack("closing"))

    value, error = guard.run(lambda: "never")

    assert (value, type(error)) == (None, HandedBack)


def test_interruption__after_the_call__is_refused() -> None:
    guard = Guard()
    assert guard.run(lambda: 1) == (1, None)

    assert guard.interrupt(JobTimedOut("late")) is False
    assert not guard.stop.is_set()


def test_second_interruption__of_one_run__is_refused() -> None:
    guard = Guard()

    def call() -> None:
        assert guard.interrupt(JobTimedOut("first"))
        assert not guard.interrupt(JobCancelled("second"))
        spin(guard)

    _, error = guard.run(call)
    assert isinstance(error, JobTimedOut)


def test_check__of_an_interrupted_run__raises_the_reason_each_time() -> None:
    guard = Guard()

    def call() -> None:
        try:
            guard.interrupt(JobCancelled("stop"))
            spin(guard)
        finally:
            with pytest.raises(JobCancelled):
                guard.check()

    _, error = guard.run(call)
    assert isinstance(error, JobCancelled)


def test_interruption__at_any_moment_of_a_short_call__strikes_inside_it_or_not_at_all() -> None:
    # Race-free arming: 2,000 interruptions around the end of a call of random length.
    chance = random.Random(20260115)
    struck = 0
    for _ in range(2000):
        guard = Guard()
        length = chance.randrange(0, 2000)
        at = threading.Thread(target=guard.interrupt, args=[JobTimedOut("x")])

        def call(count: int = length, thread: threading.Thread = at) -> int:
            thread.start()
            return sum(range(count))

        try:
            _, error = guard.run(call)
            at.join()
            for _ in range(200):  # a stray one would strike here
                pass
        except Interrupted:  # pragma: no cover
            pytest.fail("an interruption escaped the guard")
        struck += error is not None
    assert 0 <= struck <= 2000


def test_watchdog__with_many_deadlines__keeps_each() -> None:
    watchdog = Watchdog()
    watchdog.start()
    limits = [0.3, 0.1, 0.2]
    took: dict[float, float] = {}

    def one(limit: float) -> None:
        guard = Guard()
        started = time.monotonic()
        watchdog.watch(guard, limit)
        _, error = guard.run(lambda: spin(guard))
        assert str(error) == f"ran longer than {limit:g} s"
        took[limit] = time.monotonic() - started

    threads = [threading.Thread(target=one, args=[limit]) for limit in limits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    watchdog.end()
    watchdog.join(2)

    assert not watchdog.is_alive()
    assert all(limit <= took[limit] < limit + 0.5 for limit in limits)
