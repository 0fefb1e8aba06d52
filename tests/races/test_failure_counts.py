"""Many deaths of one cause at once: nobody waits, nothing is miscounted (D-07, ADR 0018)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from django.db import connection, transaction

from jobs.models import FailedJob, FailureGroup
from jobs.selectors.failure_groups import counted_groups
from jobs.services.dead_letters import discard
from jobs.services.failure_groups import fold_deaths
from tests.integration.jobs.heaps import make_letters
from tests.races.racers import Racers
from tests.soak import soaked

ROUNDS = soaked(30)
AT_ONCE = 8

pytestmark = pytest.mark.usefixtures("live_db")


def counted() -> tuple[int, int]:
    """Deaths and open letters, as everybody is told them."""
    group = counted_groups().get()
    return group.deaths_now, group.open_now


def answer(number: int) -> None:
    """Give a letter up."""
    discard(failed_job_id=number, actor="user:ana", reason="known")


def test_counts__of_deaths_answers_and_folds_at_once__are_exact() -> None:
    # D-07
    dead, answered = 1, 0
    (waiting,) = make_letters(1)

    with Racers(AT_ONCE) as racers:
        for _ in range(ROUNDS):
            acts = [partial(make_letters, 2) for _ in range(AT_ONCE - 2)]
            born = racers.race([*acts, partial(answer, waiting), fold_deaths])
            failures = [result for result in born if isinstance(result, Exception)]
            assert failures == []
            dead, answered = dead + 2 * len(acts), answered + 1
            waiting = born[0][0]
            assert counted() == (dead, dead - answered)

    fold_deaths()
    assert counted() == (dead, FailedJob.objects.filter(state="open").count())


@contextmanager
def death_under_way(*, commits: bool = True) -> Iterator[None]:
    """Hold a transaction with a death open meanwhile, as a process that is stopped in it does."""
    held, free = threading.Event(), threading.Event()

    def die_slowly() -> None:
        with transaction.atomic():
            make_letters(1)
            held.set()
            free.wait(30)
            transaction.set_rollback(not commits)
        connection.close()

    slow = threading.Thread(target=die_slowly)
    slow.start()
    assert held.wait(10)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '1ms'")  # Whoever would wait, fails.
        yield
    finally:
        free.set()
        slow.join()


def test_death__beside_one_that_is_not_committed__does_not_wait() -> None:
    # D-07: a hot row would hold the second until the first commits.
    make_letters(1)  # The group is there.
    with death_under_way():
        make_letters(1)
        assert counted() == (2, 2)
    assert counted() == (3, 3)


def test_first_death_of_a_cause__beside_one_that_is_not_committed__does_not_wait() -> None:
    # D-07: neither for the group that the other is about to make, nor does a fold.
    with death_under_way():
        make_letters(1)
        assert fold_deaths() == 0
    assert counted() == (2, 2)
    assert fold_deaths() == 2
    assert counted() == (2, 2)


def test_group__whose_maker_was_rolled_back__is_made_by_the_next_fold() -> None:
    # D-07
    with death_under_way(commits=False):
        make_letters(2, message="disk of web-1 is full")
    assert not counted_groups().exists()

    fold_deaths()

    assert counted() == (2, 2)
    assert FailureGroup.objects.get().message == "disk of web-1 is full"


def test_first_deaths_of_a_cause__at_once__are_counted_in_one_group() -> None:
    # D-07
    with Racers(AT_ONCE) as racers:
        for number in range(ROUNDS):
            cause = f"v2-{number:040d}"
            born = racers.race([partial(make_letters, 2, fingerprint=cause)] * AT_ONCE)
            assert [result for result in born if isinstance(result, Exception)] == []

    fold_deaths()
    counts = counted_groups().values_list("deaths", "deaths_now", "open_now")
    assert set(counts) == {(2 * AT_ONCE,) * 3} and len(counts) == ROUNDS
