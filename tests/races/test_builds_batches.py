"""Batches beside single builds, supersession beside a worker, replays and changes at once."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from functools import partial
from typing import Any

from builds.errors import BuildAlreadyRunning, ReplayPlanChanged
from builds.models import Build, BuildEvent, Project
from builds.selectors.projects import etag_of
from builds.services.batch import BatchItem, Placed, create_batch
from builds.services.moves import mark_deployed, start_build
from builds.services.projects import ProjectChange, update_project
from builds.services.replay import Replay, replay_build
from builds.services.submit import BuildOrder, create_build
from builds.states import ACTIVE
from credits.models import Account, Entry
from flagship.errors.idempotency import IdempotencyKeyExpired
from flagship.errors.requests import PreconditionFailed
from jobs.errors import LeaseLost
from jobs.models import Job
from tests.factories import make_account, make_build, make_project, make_source
from tests.integration.builds.runs import artifact, claim_run
from tests.ledger import assert_ledger_adds_up
from tests.races.racers import Racers
from tests.soak import soaked

SECONDS = soaked(5.0)
FEWEST_ROUNDS = 15


def order_of(project: Project) -> BuildOrder:
    return BuildOrder(project_id=project.id, source_id=make_source(project).id)


def single(organization_id: uuid.UUID, order: BuildOrder, key: str = "") -> Build:
    return create_build(
        organization_id=organization_id, order=order, actor="single", idempotency_key=key
    )


def batch(organization_id: uuid.UUID, items: list[BatchItem]) -> list[Placed]:
    key = uuid.uuid4().hex
    return create_batch(
        organization_id=organization_id, items=items, actor="batch", idempotency_key=key
    )


def assert_holds_are_those_of_active_builds(organization_id: uuid.UUID) -> None:
    active = Build.objects.filter(organization_id=organization_id, state__in=ACTIVE)
    held = sum(active.values_list("estimated_credits", flat=True))
    assert Account.objects.get(organization_id=organization_id).reserved == held
    assert_ledger_adds_up()


def test_batches__crosswise_over_the_same_projects_and_a_single__all_or_nothing(
    live_db: None,
) -> None:
    # B-07 B-03 P05
    organization_id = make_account(credits=1_000_000)
    until, rounds, ends = time.monotonic() + SECONDS, 0, Counter[str]()
    with Racers(3) as racers:
        while time.monotonic() < until or rounds < FEWEST_ROUNDS:
            first, second = make_project(organization_id), make_project(organization_id)
            items = [BatchItem(order_of(first)), BatchItem(order_of(second))]

            results = racers.race(
                [
                    partial(batch, organization_id, items),
                    partial(batch, organization_id, items[::-1]),
                    partial(single, organization_id, order_of(second)),
                ]
            )

            for result in results:
                assert isinstance(result, list | Build | BuildAlreadyRunning), result
            by_project = Counter(
                Build.objects.filter(project__in=[first, second]).values_list("project", flat=True)
            )
            assert by_project[second.id] == 1
            # The single alone, or one batch whole: never half of a batch.
            whole = [result for result in results[:2] if isinstance(result, list)]
            assert by_project[first.id] == len(whole) <= 1
            assert isinstance(results[2], Build) == (not whole)
            ends["batch" if whole else "single"] += 1
            rounds += 1
    assert_holds_are_those_of_active_builds(organization_id)
    assert Job.objects.count() == Build.objects.count()
    print(f"rounds={rounds} ends={dict(ends)}")


def test_item_key__in_two_batches_and_a_single_at_once__makes_one_build(live_db: None) -> None:
    # B-07 P02
    organization_id = make_account(credits=1_000_000)
    until, rounds, ends = time.monotonic() + SECONDS, 0, Counter[str]()
    with Racers(3) as racers:
        while time.monotonic() < until or rounds < FEWEST_ROUNDS:
            project, key = make_project(organization_id, max_active=5), uuid.uuid4().hex
            order = order_of(project)

            results = racers.race(
                [
                    partial(batch, organization_id, [BatchItem(order, key)]),
                    partial(batch, organization_id, [BatchItem(order, key)]),
                    partial(single, organization_id, order, key),
                ]
            )

            made = Build.objects.get(project=project)
            batches = [result[0] for result in results[:2]]
            assert {placed.build.id for placed in batches} == {made.id}
            if isinstance(results[2], Build):
                assert not any(placed.is_new for placed in batches)
            else:
                assert isinstance(results[2], IdempotencyKeyExpired), results[2]
                assert sum(placed.is_new for placed in batches) == 1
            ends[made.created_by] += 1
            rounds += 1
    assert_holds_are_those_of_active_builds(organization_id)
    print(f"rounds={rounds} ends={dict(ends)}")


def test_newest_wins__beside_the_worker_that_starts_the_older__either_wins_whole(
    live_db: None,
) -> None:
    # B-03 B-06
    organization_id = make_account(credits=1_000_000)
    until, rounds, ends = time.monotonic() + SECONDS, 0, Counter[str]()
    with Racers(3) as racers:
        while time.monotonic() < until or rounds < FEWEST_ROUNDS:
            project = make_project(organization_id, newest_wins=True)
            older = make_build(project)
            context = claim_run(older)
            orders = [order_of(project) for _ in range(2)]

            results = racers.race(
                [
                    partial(start, older, context),
                    *(partial(single, organization_id, order) for order in orders),
                ]
            )

            older.refresh_from_db()
            newer = [result for result in results[1:] if isinstance(result, Build)]
            active = Build.objects.filter(project=project, state__in=ACTIVE)
            assert active.count() == 1
            if older.state == "building":
                assert not newer
                assert all(isinstance(result, BuildAlreadyRunning) for result in results[1:])
            else:
                # The last of the newer ones stays; it has cancelled those before it.
                assert (older.state, results[0], len(newer)) == ("cancelled", None, 2), results
                cancelled = Build.objects.filter(project=project, state="cancelled")
                links = dict(cancelled.values_list("id", "superseded_by"))
                assert len(links) == 2
                second = links[older.id]
                assert second is not None
                assert links[second] == active.get().id
            ends[older.state] += 1
            rounds += 1
    assert_holds_are_those_of_active_builds(organization_id)
    print(f"rounds={rounds} ends={dict(ends)}")


def start(build: Build, context: Any) -> Any:
    try:
        return start_build(build_id=build.id, context=context)
    except LeaseLost:
        return None


def test_replays__of_one_plan_at_once__one_is_carried_out(live_db: None) -> None:
    # B-08
    organization_id = make_account(credits=1_000_000)
    project = make_project(organization_id)
    build = make_build(project)
    context = claim_run(build)
    start_build(build_id=build.id, context=context)
    mark_deployed(build_id=build.id, artifact=artifact(), duration_s=1.0, context=context)
    entries = Entry.objects.count()
    replay = partial(replay_build, organization_id=organization_id, build_id=build.id, actor="test")
    until, rounds = time.monotonic() + SECONDS / 2, 0
    with Racers(4) as racers:
        while time.monotonic() < until or rounds < FEWEST_ROUNDS:
            digest = replay(from_seq=3).plan_digest

            results = racers.race(
                [partial(replay, from_seq=3, dry_run=False, plan_digest=digest)] * 4
            )

            done = [result for result in results if isinstance(result, Replay)]
            refused = [result for result in results if isinstance(result, ReplayPlanChanged)]
            assert (len(done), len(refused)) == (1, 3), results
            rounds += 1
    events = BuildEvent.objects.filter(build=build).order_by("id").values_list("seq", flat=True)
    assert list(events) == list(range(1, rounds + 4))
    assert Entry.objects.count() == entries
    assert_ledger_adds_up()
    print(f"rounds={rounds}")


def test_events__inserted_at_once_by_hand__are_numbered_without_a_gap(live_db: None) -> None:
    # B-08: no lock but that of the log itself.
    build = make_build(make_project(make_account(credits=100)))

    def insert() -> None:
        BuildEvent.objects.create(build=build, name="build.replayed", actor="test")

    until, rounds = time.monotonic() + SECONDS / 2, 0
    with Racers(4) as racers:
        while time.monotonic() < until or rounds < FEWEST_ROUNDS:
            assert racers.race([insert] * 4) == [None] * 4
            rounds += 1

    seen = BuildEvent.objects.filter(build=build).order_by("id").values_list("seq", flat=True)
    assert sorted(seen) == list(range(1, 4 * rounds + 2))
    print(f"rounds={rounds}")


def test_changes__of_one_state_at_once__one_gets_through(live_db: None) -> None:
    # B-01
    project = make_project(make_account(credits=10))
    until, rounds = time.monotonic() + SECONDS / 2, 0
    with Racers(4) as racers:
        while time.monotonic() < until or rounds < FEWEST_ROUNDS:
            project.refresh_from_db()
            tag = {etag_of(project)}

            results = racers.race([partial(rename, project, f"name {n}", tag) for n in range(4)])

            done = [result for result in results if isinstance(result, Project)]
            refused = [result for result in results if isinstance(result, PreconditionFailed)]
            assert (len(done), len(refused)) == (1, 3), results
            rounds += 1
    project.refresh_from_db()
    assert project.revision == rounds + 1
    print(f"rounds={rounds}")


def rename(project: Project, name: str, if_match: set[str]) -> Project:
    return update_project(
        organization_id=project.organization_id,
        project_id=project.id,
        change=ProjectChange(name=name),
        actor="test",
        if_match=if_match,
    )
