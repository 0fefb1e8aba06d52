"""Many creates on one project: as many builds as it allows, and credits for those only (P05)."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import pytest

from builds.errors import BuildAlreadyRunning, MaxActiveInUse
from builds.models import Build, Project
from builds.services.cancel import cancel_build
from builds.services.projects import ProjectChange, update_project
from builds.services.submit import BuildOrder, create_build
from builds.states import ACTIVE
from credits.models import Account
from flagship.models import AuditEvent
from jobs.models import Job
from tests.factories import make_account, make_project, make_source
from tests.ledger import assert_ledger_adds_up
from tests.races.racers import Racers
from tests.soak import soaked

CLIENTS = 4
SECONDS = soaked(5.0)
FEWEST_ROUNDS = 20


def submits(project: Project, count: int) -> list[Any]:
    """As many clients, each with the same order."""
    source = make_source(project)
    order = BuildOrder(project_id=project.id, source_id=source.id)
    return [
        lambda: create_build(organization_id=project.organization_id, order=order, actor="test")
    ] * count


def active_builds(project: Project) -> list[Build]:
    return list(Build.objects.filter(project=project, state__in=ACTIVE).order_by("slot"))


@pytest.mark.parametrize("allowed", [1, 2])
def test_creates__at_once_on_one_project__make_as_many_as_it_allows(
    allowed: int, live_db: None
) -> None:
    # B-03 P05 P18
    organization_id = make_account(credits=1_000_000)
    until, rounds = time.monotonic() + SECONDS, 0
    with Racers(CLIENTS) as racers:
        while time.monotonic() < until or rounds < FEWEST_ROUNDS:
            project = make_project(organization_id, max_active=allowed)

            results = racers.race(submits(project, CLIENTS))

            made = [result for result in results if isinstance(result, Build)]
            refused = [result for result in results if isinstance(result, BuildAlreadyRunning)]
            assert (len(made), len(refused)) == (allowed, CLIENTS - allowed), results
            assert [build.slot for build in active_builds(project)] == list(range(allowed))
            rounds += 1

    assert Build.objects.count() == Job.objects.count() == allowed * rounds
    assert AuditEvent.objects.filter(action="build.created").count() == allowed * rounds
    held = sum(Build.objects.values_list("estimated_credits", flat=True))
    assert Account.objects.get(organization_id=organization_id).reserved == held
    assert_ledger_adds_up()
    print(f"rounds={rounds} clients={CLIENTS} allowed={allowed}")


def test_limit__lowered_while_builds_are_created__never_leaves_more_than_it_says(
    live_db: None,
) -> None:
    # B-03 P05
    organization_id = make_account(credits=1_000_000)
    until, rounds = time.monotonic() + SECONDS / 2, 0
    outcomes = set()
    with Racers(4) as racers:
        while time.monotonic() < until or rounds < FEWEST_ROUNDS:
            project = make_project(organization_id, max_active=3)

            results = racers.race([*submits(project, 3), partial(lower, project)])

            project.refresh_from_db()
            active = active_builds(project)
            assert {build.max_active for build in active} <= {project.max_active}
            assert all((build.slot or 0) < project.max_active for build in active)
            is_lowered = isinstance(results[3], Project)
            assert is_lowered or isinstance(results[3], MaxActiveInUse), results[3]
            assert len(active) == (1 if is_lowered else 3)
            outcomes.add(is_lowered)
            rounds += 1
    print(f"rounds={rounds} outcomes={outcomes}")


def lower(project: Project) -> Project:
    return update_project(
        organization_id=project.organization_id,
        project_id=project.id,
        change=ProjectChange(max_active=1),
        actor="test",
    )


def test_cancel__racing_with_a_create__leaves_one_active_build_at_most(live_db: None) -> None:
    # B-03 P05 P06
    organization_id = make_account(credits=1_000_000)
    until, rounds = time.monotonic() + SECONDS / 2, 0
    with Racers(3) as racers:
        while time.monotonic() < until or rounds < FEWEST_ROUNDS:
            project = make_project(organization_id)
            first = submits(project, 1)[0]()

            results = racers.race(
                [*submits(project, 2), partial(cancel, first)],
            )

            made = [result for result in results[:2] if isinstance(result, Build)]
            refused = [result for result in results[:2] if isinstance(result, BuildAlreadyRunning)]
            assert len(made) + len(refused) == 2, results
            assert len(made) <= 1
            assert results[2].state == "cancelled"
            assert len(active_builds(project)) == len(made)
            rounds += 1
    held = sum(Build.objects.filter(state="queued").values_list("estimated_credits", flat=True))
    assert Account.objects.get(organization_id=organization_id).reserved == held
    assert_ledger_adds_up()
    print(f"rounds={rounds}")


def cancel(build: Build) -> Build:
    return cancel_build(organization_id=build.organization_id, build_id=build.id, actor="canceller")
