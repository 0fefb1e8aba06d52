"""Many deaths of one cause at once: nobody waits, nothing is miscounted (D-07, ADR 0018)."""

from __future__ import annotations

import threading
from functools import partial

import pytest
from django.db import connection, transaction

from jobs.models import FailedJob
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


def test_death__beside_one_that_is_not_committed__does_not_wait() -> None:
    # D-07: a hot row would hold the second until the first commits.
    make_letters(1)  # The group is there.
    held, free, done = threading.Event(), threading.Event(), threading.Event()

    def die_slowly() -> None:
        with transaction.atomic():
            make_letters(1)
            held.set()
            free.wait(30)
        connection.close()

    def die() -> None:
        make_letters(1)
        done.set()
        connection.close()

    slow, quick = threading.Thread(target=die_slowly), threading.Thread(target=die)
    slow.start()
    assert held.wait(10)
    quick.start()
    try:
        assert done.wait(5)
        assert counted() == (2, 2)
    finally:
        free.set()
        slow.join()
        quick.join()
    assert counted() == (3, 3)
