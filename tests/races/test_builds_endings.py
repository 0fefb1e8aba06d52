"""Cancel, completion, failure and a lost worker on one build: one end, one settlement (P06)."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from django.db.models import Sum

from builds.errors import InvalidStateTransition
from builds.models import Build, BuildTransition
from builds.services.cancel import cancel_build
from builds.services.moves import fail_build, mark_deployed, start_build
from builds.states import FINAL
from credits.models import Account, Entry
from credits.states import RESOLUTIONS
from jobs.context import JobContext
from jobs.errors import JobCancelled, LeaseLost
from jobs.models import Job
from jobs.services import endings
from jobs.services.claim import Lease
from jobs.services.release import release
from jobs.states import FINISHED
from tests.factories import make_account, make_build, make_project
from tests.integration.builds.runs import artifact, claim_run
from tests.ledger import assert_ledger_adds_up
from tests.races.racers import Racers
from tests.soak import soaked

SECONDS = soaked(10.0)
FEWEST_ROUNDS = 30
SEED = 20_261_121


def acts_on(build: Build, context: JobContext, wait_s: list[float]) -> list[Callable[[], Any]]:
    """A worker that completes, one that confirms a cancel, a client, and a job that died."""
    token = Job.objects.values_list("lease_token", flat=True).get(id=build.job_id)
    lease = Lease(build.job_id, token)
    acts: list[Callable[[], Any]] = [
        lambda: mark_deployed(
            build_id=build.id, artifact=artifact(), duration_s=1.0, context=context
        ),
        lambda: cancel_build(
            organization_id=build.organization_id, build_id=build.id, actor="client"
        ),
        lambda: release(lease=lease, ending=endings.cancelled(JobCancelled("asked"))),
        lambda: fail_build(build_id=build.id, code="X", message="x", context=context),
    ]

    def after(delay_s: float, act: Callable[[], Any]) -> Callable[[], Any]:
        return lambda: act_after(delay_s, act)

    return [after(delay_s, act) for delay_s, act in zip(wait_s, acts, strict=True)]


def act_after(delay_s: float, act: Callable[[], Any]) -> Any:
    """Act; a lost lease is an outcome here, and no end of the thread."""
    time.sleep(delay_s)
    try:
        return act()
    except LeaseLost as lost:
        return lost


def test_endings__all_at_once__one_final_state_and_one_settlement(live_db: None) -> None:
    # P06 P17 B-06
    chance = random.Random(SEED)
    organization_id = make_account(credits=1_000_000)
    until, rounds, ends = time.monotonic() + SECONDS, 0, Counter[str]()
    with Racers(4) as racers:
        while time.monotonic() < until or rounds < FEWEST_ROUNDS:
            build = make_build(make_project(organization_id))
            context = claim_run(build)
            start_build(build_id=build.id, context=context)

            # One of them has a start of up to 30 ms, in turn, so that every end is seen.
            waits = [chance.uniform(0, 0.03) for _ in range(4)]
            waits[(0, 2, 3)[rounds % 3]] = 0.0
            results = racers.race(acts_on(build, context, waits))

            build.refresh_from_db()
            assert build.state in FINAL, (build.state, results)
            for result in results:
                is_refused = isinstance(result, InvalidStateTransition | LeaseLost)
                assert is_refused or not isinstance(result, BaseException), result
            ends[build.state] += 1
            check_settled(build)
            rounds += 1

    check_totals(organization_id)
    print(f"rounds={rounds} ends={dict(ends)}")
    assert set(ends) == {"deployed", "cancelled", "failed"}


def check_settled(build: Build) -> None:
    """One move to the end, one closing entry, a job that has ended, no slot."""
    final = BuildTransition.objects.filter(build=build, to_state__in=FINAL)
    assert final.count() == 1
    closing = Entry.objects.filter(reservation_id=build.reservation_id, kind__in=list(RESOLUTIONS))
    kinds = [entry.kind for entry in closing]
    assert kinds == ["commit" if build.state == "deployed" else "release"]
    assert build.slot is None
    assert Job.objects.get(id=build.job_id).state in FINISHED


def check_totals(organization_id: Any) -> None:
    account = Account.objects.get(organization_id=organization_id)
    deployed = Build.objects.filter(state="deployed").aggregate(sum=Sum("charged_credits"))
    charged = deployed["sum"] or 0
    assert (account.balance, account.reserved) == (1_000_000 - charged, 0)
    assert_ledger_adds_up()
