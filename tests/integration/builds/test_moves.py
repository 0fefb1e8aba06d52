"""Moves of builds with their credits, audit events and jobs, without a worker."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from builds.errors import BuildFinished, InvalidStateTransition
from builds.handlers import fail_build as on_dead
from builds.handlers import refuse_finished
from builds.models import Build, BuildLogLine, BuildTransition, Project
from builds.payloads import RunBuild
from builds.pricing import usage_credits
from builds.services.cancel import cancel_build
from builds.services.log import LIMIT_REACHED, MAX_LINES, LogWriter
from builds.services.moves import fail_build, mark_deployed, start_build
from credits.errors import InsufficientCredits
from credits.models import Account, Reservation
from credits.selectors import get_funds
from credits.services import reserve_credits, reserve_each
from jobs.context import Death
from jobs.errors import LeaseLost
from jobs.models import Job
from jobs.services.cancel import cancel_job
from tests.factories import make_account, make_build, make_project
from tests.integration.builds.rows import snapshot
from tests.integration.builds.runs import artifact, audited, claim_run, lose_lease
from tests.ledger import assert_ledger_adds_up

pytestmark = pytest.mark.django_db


def queued_build(credits: int = 1000, **project: int) -> Build:
    return make_build(make_project(make_account(credits=credits), **project))


def funds(build: Build) -> tuple[int, int]:
    account = Account.objects.get(organization_id=build.organization_id)
    return account.balance, account.reserved


def short_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the holds of new builds expire at once."""
    brief = partial(reserve_each, expires_in_s=0.001)
    monkeypatch.setattr("builds.services.submit.reserve_each", brief)


def test_create_build__accepted__holds_the_estimate_and_enqueues_its_job() -> None:
    # B-06 C-05
    build = queued_build()

    assert (build.state, build.previous_state, build.slot) == ("queued", None, 0)
    assert funds(build) == (1000, build.estimated_credits)
    job = Job.objects.get(id=build.job_id)
    assert (job.kind, job.payload) == ("builds.run_build", {"build_id": str(build.id)})
    assert job.organization_id == build.organization_id
    assert audited(build) == ["build.created"]


def test_start_build__queued__moves_extends_the_hold_and_keeps_the_fence() -> None:
    # B-02 C-02
    build = queued_build()
    expires_at = Reservation.objects.get(id=build.reservation_id).expires_at

    started = start_build(build_id=build.id, context=claim_run(build))

    assert started is not None
    assert (started.state, started.previous_state, started.fence) == ("building", "queued", 1)
    assert started.started_at is not None
    assert Reservation.objects.get(id=build.reservation_id).expires_at > expires_at
    assert audited(build) == ["build.created", "build.started"]


def test_start_build__second_run_after_a_lost_worker__goes_on_without_a_move() -> None:
    # B-05 P08
    build = queued_build()
    start_build(build_id=build.id, context=claim_run(build))
    lose_lease(build)

    again = start_build(build_id=build.id, context=claim_run(build))

    assert again is not None
    assert (again.state, again.fence) == ("building", 2)
    assert BuildTransition.objects.filter(build=build).count() == 2
    assert audited(build) == ["build.created", "build.started"]


def test_start_build__ended_meanwhile__has_nothing_to_do() -> None:
    # B-02
    build = queued_build()
    context = claim_run(build)
    fail_build(build_id=build.id, code="BUILD_FAILED", message="no")
    before = snapshot()

    assert start_build(build_id=build.id, context=context) is None
    assert snapshot() == before


def test_start_build__hold_expired_in_the_queue__takes_a_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # C-02
    short_hold(monkeypatch)
    build = queued_build()

    started = start_build(build_id=build.id, context=claim_run(build))

    assert started is not None
    assert started.reservation_id != build.reservation_id
    assert get_funds(organization_id=build.organization_id).available == (
        1000 - build.estimated_credits
    )
    assert_ledger_adds_up()


def test_start_build__hold_expired_and_credits_gone__is_refused_and_nothing_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # C-02 C-03
    short_hold(monkeypatch)
    build = queued_build(credits=10)
    reserve_credits(
        organization_id=build.organization_id,
        amount_credits=9,
        subject_type="build",
        subject_id="build_other",
        actor="test",
    )
    context = claim_run(build)
    before = snapshot()

    with pytest.raises(InsufficientCredits):
        start_build(build_id=build.id, context=context)

    assert snapshot() == before


@pytest.mark.parametrize(("duration_s", "size_bytes"), [(0.5, 10), (31.0, 5 * 1024 * 1024)])
def test_mark_deployed__any_usage__charges_it_and_completes_the_job(
    duration_s: float, size_bytes: int
) -> None:
    # B-06 C-03
    build = queued_build()
    context = claim_run(build)
    start_build(build_id=build.id, context=context)

    deployed = mark_deployed(
        build_id=build.id, artifact=artifact(size_bytes), duration_s=duration_s, context=context
    )

    price = usage_credits(duration_s=duration_s, output_bytes=size_bytes)
    assert (deployed.state, deployed.charged_credits) == ("deployed", price)
    assert (deployed.slot, deployed.fence) == (None, None)
    assert funds(build) == (1000 - price, 0)
    assert Job.objects.get(id=build.job_id).state == "succeeded"
    assert Project.objects.get(id=build.project_id).live_build_id == build.id
    assert audited(build) == ["build.created", "build.started", "build.deployed"]
    assert_ledger_adds_up()


def test_mark_deployed__more_used_than_there_is__is_refused_and_nothing_changes() -> None:
    # C-03
    build = queued_build(credits=5)
    context = claim_run(build)
    start_build(build_id=build.id, context=context)
    before = snapshot()

    with pytest.raises(InsufficientCredits):
        mark_deployed(
            build_id=build.id, artifact=artifact(100 * 1024**2), duration_s=1.0, context=context
        )

    assert snapshot() == before
    assert Job.objects.get(id=build.job_id).state == "running"


def test_effects__lease_lost_to_another_run__write_nothing() -> None:
    # P09 W-04
    build = queued_build()
    stale = claim_run(build)
    start_build(build_id=build.id, context=stale)
    lose_lease(build)
    claim_run(build)
    before = snapshot()
    log = LogWriter(build_id=build.id, context=stale)
    log.line("stdout", "too late")

    effects: tuple[Callable[[], object], ...] = (
        lambda: start_build(build_id=build.id, context=stale),
        lambda: mark_deployed(
            build_id=build.id, artifact=artifact(), duration_s=1.0, context=stale
        ),
        lambda: fail_build(build_id=build.id, code="X", message="x", context=stale),
        log.flush,
    )
    for effect in effects:
        with pytest.raises(LeaseLost):
            effect()

    assert snapshot() == before
    assert BuildLogLine.objects.count() == 0


def test_mark_deployed__older_build_ends_after_a_newer_one__newer_stays_live() -> None:
    # B-05
    project = make_project(make_account(credits=1000), max_active=2)
    older, newer = make_build(project), make_build(project)
    contexts = {build.id: claim_run(build) for build in (older, newer)}
    for build in (older, newer):
        start_build(build_id=build.id, context=contexts[build.id])

    for build in (newer, older):
        mark_deployed(
            build_id=build.id, artifact=artifact(), duration_s=1.0, context=contexts[build.id]
        )

    assert Project.objects.get(id=project.id).live_build_id == newer.id
    assert set(Build.objects.values_list("state", flat=True)) == {"deployed"}


@pytest.mark.parametrize("started", [False, True])
def test_on_dead__job_of_an_active_build__fails_it_and_gives_the_credits_back(
    started: bool,
) -> None:
    # B-02 B-06 W-06
    build = queued_build()
    if started:
        start_build(build_id=build.id, context=claim_run(build))

    for _ in range(2):
        on_dead(RunBuild(build_id=build.id), Death(build.job_id, "OSError", "disk full", 3))

    build.refresh_from_db()
    assert (build.state, build.error_code) == ("failed", "BUILD_JOB_DIED")
    assert build.previous_state == ("building" if started else "queued")
    assert "disk full" not in build.error_message
    assert funds(build) == (1000, 0)
    assert audited(build)[-1] == "build.failed"
    with pytest.raises(BuildFinished):
        refuse_finished(RunBuild(build_id=build.id), build.job_id)


def test_cancel_job__of_a_waiting_build__cancels_the_build_with_it() -> None:
    # B-02 W-15
    build = queued_build()

    cancel_job(job_id=build.job_id, organization_id=build.organization_id, actor="api_key:abc")

    build.refresh_from_db()
    assert (build.state, build.moved_by) == ("cancelled", "api_key:abc")
    assert funds(build) == (1000, 0)
    assert audited(build) == ["build.created", "build.cancelled"]


def test_cancel_build__between_two_attempts__is_cancelled_at_once() -> None:
    # B-01 P06
    build = queued_build()
    start_build(build_id=build.id, context=claim_run(build))
    lose_lease(build)

    cancelled = cancel_build(
        organization_id=build.organization_id, build_id=build.id, actor="someone"
    )

    assert (cancelled.state, cancelled.moved_by) == ("cancelled", "someone")
    assert Job.objects.get(id=build.job_id).state == "cancelled"
    assert funds(build) == (1000, 0)


def test_cancel_build__job_already_dead_and_its_on_dead_owed__is_cancelled() -> None:
    # B-02
    build = queued_build()
    Job.objects.filter(id=build.job_id).delete()

    cancelled = cancel_build(
        organization_id=build.organization_id, build_id=build.id, actor="someone"
    )

    assert cancelled.state == "cancelled"
    assert funds(build) == (1000, 0)


@pytest.mark.parametrize("final", ["deployed", "failed", "cancelled"])
def test_moves__of_a_build_that_ended__are_refused_and_nothing_changes(final: str) -> None:
    # B-02 B-04
    build = queued_build()
    context = claim_run(build)
    start_build(build_id=build.id, context=context)
    if final == "deployed":
        mark_deployed(build_id=build.id, artifact=artifact(), duration_s=1.0, context=context)
    elif final == "failed":
        fail_build(build_id=build.id, code="BUILD_FAILED", message="no", context=context)
    else:
        lose_lease(build)
        cancel_build(organization_id=build.organization_id, build_id=build.id, actor="x")
    before = snapshot()

    effects: tuple[Callable[[], object], ...] = (
        lambda: fail_build(build_id=build.id, code="X", message="x"),
        lambda: cancel_build(organization_id=build.organization_id, build_id=build.id, actor="x"),
        lambda: mark_deployed(
            build_id=build.id, artifact=artifact(), duration_s=1.0, context=context
        ),
    )
    for effect in effects:
        with pytest.raises(InvalidStateTransition) as refused:
            effect()
        assert refused.value.data["validNextStates"] == []

    assert snapshot() == before


def test_log__more_lines_than_are_kept__says_so_once_and_keeps_ours() -> None:
    # B-05
    build = queued_build()
    context = claim_run(build)
    log = LogWriter(build_id=build.id, context=context)

    for number in range(MAX_LINES + 50):
        log.line("stdout", f"line {number}\x00\udce9" + "x" * 3000)
    log.say("the end")
    log.flush()

    lines = list(BuildLogLine.objects.filter(build=build).order_by("seq"))
    assert [line.seq for line in lines] == list(range(1, len(lines) + 1))
    assert [line.text for line in lines[-2:]] == [LIMIT_REACHED, "the end"]
    assert sum(line.text == LIMIT_REACHED for line in lines) == 1
    assert max(len(line.text) for line in lines) == 2000
