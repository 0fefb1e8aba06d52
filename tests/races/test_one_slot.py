"""One project with one slot: three want it while a fourth gives it up, again and again (P05)."""

from __future__ import annotations

from functools import partial

from builds.errors import BuildAlreadyRunning
from builds.models import Build
from credits.models import Account
from jobs.models import Job
from tests.factories import make_account, make_project
from tests.ledger import assert_ledger_adds_up
from tests.races.racers import Racers
from tests.races.test_builds_slots import active_builds, cancel, submits
from tests.soak import full

ROUNDS = full(40, 2_000)
CLIENTS = 3


def give_up(holder: Build | None) -> Build | None:
    """Cancel the build that holds the slot, if one does."""
    return cancel(holder) if holder else None


def race_for_the_slot(rounds: int) -> int:
    """Race so often; return how many builds were made.

    Where the slot was free at the start one of the clients has it in the end. Where it was given up
    meanwhile one of them may.
    """
    project = make_project(make_account(credits=1_000_000))
    clients, made = submits(project, CLIENTS), 0
    holder: Build | None = None
    with Racers(CLIENTS + 1) as racers:
        for _ in range(rounds):
            *results, given_up = racers.race([*clients, partial(give_up, holder)])

            winners = [result for result in results if isinstance(result, Build)]
            refused = [result for result in results if isinstance(result, BuildAlreadyRunning)]
            assert len(winners) + len(refused) == CLIENTS, results
            assert len(winners) == 1 or (holder is not None and not winners), results
            assert holder is None or given_up.state == "cancelled", given_up
            assert [(build.id, build.slot) for build in active_builds(project)] == [
                (build.id, 0) for build in winners
            ]
            holder = winners[0] if winners else None
            made += len(winners)
    return made


def test_slot__wanted_by_three_and_given_up_by_a_fourth__is_never_held_twice(
    live_db: None,
) -> None:
    # B-03 P05 P18
    made = race_for_the_slot(ROUNDS)

    print(f"rounds={ROUNDS} made={made}")
    assert ROUNDS / 2 <= made == Build.objects.count() == Job.objects.count()
    held = Build.objects.filter(state="queued").values_list("estimated_credits", flat=True)
    assert Account.objects.get().reserved == sum(held)
    assert_ledger_adds_up()
