"""Builds and the ledger agree, and what happens to builds when they do not (C-02, C-06)."""

from __future__ import annotations

from typing import Any

import pytest

from builds.models import Build
from builds.services.moves import fail_build, mark_deployed, start_build
from credits.models import Account, Freeze, Reservation
from credits.services import lift_freeze, reconcile
from credits.services.ledger import call_ledger
from jobs.ids import public_id
from jobs.models import Job
from jobs.worker.execute import Executor
from tests.factories import make_account, make_build, make_hold, make_project
from tests.integration.builds.archives import INDEX
from tests.integration.builds.runs import artifact, claim_run
from tests.integration.builds.test_runs import build_of
from tests.integration.credits.acts import commit
from tests.integration.credits.test_proof import unguarded
from tests.ledger import assert_ledger_adds_up
from tests.servers import Servers


def deployed_build(organization_id: Any) -> Build:
    build = make_build(make_project(organization_id))
    context = claim_run(build)
    start_build(build_id=build.id, context=context)
    return mark_deployed(build_id=build.id, artifact=artifact(), duration_s=1.0, context=context)


def test_reconcile__builds_in_every_state__match_their_charges(live_db: None) -> None:
    # C-06: charges that clients make for names of their own are no build's
    organization = make_account()
    deployed_build(organization)
    make_build(make_project(organization))
    failed = make_build(make_project(organization))
    fail_build(build_id=failed.id, code="BUILD_FAILED", message="no")
    commit(organization, make_hold(organization, 10, subject_id="build_123"), 5)

    assert reconcile().drifting == {}


@pytest.mark.parametrize(
    ("change", "expected", "found"),
    [
        ("UPDATE builds_build SET charged_credits = charged_credits + 1", "4", "3"),
        ("UPDATE credits_reservation SET charged = 9 WHERE state = 'committed'", "3", "9"),
        (
            "UPDATE builds_build SET state = 'cancelled', charged_credits = NULL,"
            " artifact_sha256 = NULL, artifact_bytes = NULL, artifact_files = NULL",
            "None",
            "3",
        ),
    ],
)
def test_reconcile__build_and_ledger_differ__is_found_and_freezes(
    live_db: None, servers: Servers, change: str, expected: str, found: str
) -> None:
    # C-06
    organization = make_account()
    build = deployed_build(organization)
    assert build.charged_credits == 3
    with unguarded(servers) as superuser:
        superuser.execute("ALTER TABLE builds_build DISABLE TRIGGER ALL")
        superuser.execute(change)
        superuser.execute("ALTER TABLE builds_build ENABLE TRIGGER ALL")

    drifting = reconcile().drifting

    findings = [each for each in drifting[organization] if each.rule == "build.charge"]
    assert [(each.subject, each.expected, each.found) for each in findings] == [
        (public_id("build", build.id), expected, found)
    ]
    assert Freeze.objects.get().account.organization_id == organization


def test_run__on_a_frozen_account__waits_without_an_attempt_and_is_charged_later(
    executor: Executor,
) -> None:
    # C-06
    build = build_of({"index.html": INDEX})
    account = Account.objects.get(organization_id=build.organization_id)
    call_ledger("credits_freeze_account", account.id, "[]")

    executor.run(build.job_id)

    build.refresh_from_db()
    job = Job.objects.get(id=build.job_id)
    assert (build.state, job.state, job.failures) == ("building", "retry_wait", 0)
    assert Account.objects.get().balance == 1000
    lift_freeze(freeze_id=Freeze.objects.get().id, actor="user:ana", reason="settled")
    Job.objects.filter(id=job.id).update(next_attempt_at=job.created_at)
    executor.run(build.job_id)
    build.refresh_from_db()
    assert build.state == "deployed" and build.charged_credits
    assert_ledger_adds_up()


@pytest.mark.django_db
def test_start_build__hold_at_its_ceiling__goes_on_with_what_it_has(settings: Any) -> None:
    # C-02
    build = make_build(make_project(make_account()))
    settings.RESERVATION_CEILING_S = 1.0
    before = Reservation.objects.get()

    started = start_build(build_id=build.id, context=claim_run(build))

    assert started is not None and started.state == "building"
    assert Reservation.objects.get().expires_at == before.expires_at
