"""How much one process may publish, on a clock of the test's own (O-02)."""

from __future__ import annotations

import threading

from jobs.telemetry.limit import BURST_S, REPORT_S, Limiter


def admitted(limiter: Limiter, count: int, now_s: float, per_s: float = 10.0) -> int:
    """Ask so often at one moment; return how often it was admitted."""
    return sum(limiter.admits(per_s, now_s) for _ in range(count))


def test_limit__of_a_burst_and_then_a_flood__is_its_rate() -> None:
    # O-02
    limiter = Limiter()

    assert admitted(limiter, 500, 0.0) == 10 * BURST_S
    assert admitted(limiter, 500, 1.0) == 10
    assert admitted(limiter, 500, 1.05) == 0
    assert admitted(limiter, 500, 1.1) == 1
    assert limiter.dropped == 2000 - 111


def test_limit__after_a_long_silence__holds_no_more_than_a_burst() -> None:
    # O-02
    limiter = Limiter()
    admitted(limiter, 500, 0.0)

    assert admitted(limiter, 500, 1e6) == 10 * BURST_S


def test_limit__below_one_a_second__still_lets_one_through() -> None:
    # O-02
    limiter = Limiter()

    assert [admitted(limiter, 5, now_s, per_s=0.01) for now_s in (0.0, 50.0, 100.0)] == [1, 0, 1]


def test_limit__of_zero__is_none() -> None:
    # O-02
    limiter = Limiter()

    assert admitted(limiter, 10_000, 0.0, per_s=0.0) == 10_000
    assert (limiter.dropped, limiter.unreported(0.0)) == (0, 0)


def test_report__of_what_was_dropped__is_told_at_once_and_then_seldom() -> None:
    # O-02: nothing is told twice, and nothing is left out.
    limiter = Limiter()
    admitted(limiter, 103, 0.0)

    assert [limiter.unreported(now_s) for now_s in (0.0, 0.1)] == [3, 0]
    admitted(limiter, 20, 0.2)
    assert limiter.unreported(REPORT_S - 0.1) == 0
    assert limiter.unreported(REPORT_S) == limiter.dropped - 3
    assert limiter.unreported(1e6) == 0


def test_limit__of_many_threads__is_that_of_their_process() -> None:
    # O-02
    limiter, counts = Limiter(), []

    def publish() -> None:
        counts.append(admitted(limiter, 1000, 0.0))

    threads = [threading.Thread(target=publish) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (sum(counts), limiter.dropped) == (100, 7900)
