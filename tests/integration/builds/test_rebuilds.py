"""Builds done again, builds that make room for newer ones, and builds that nobody would end."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError
from django.db.models.functions import Now

from builds.models import Build, BuildEvent, Project
from builds.services.moves import fail_build, start_build
from builds.services.orphans import fail_orphans
from credits.models import Account, Reservation
from jobs.errors import JobTimedOut
from jobs.ids import parse_public_id, public_id
from jobs.models import FailedJob, Job
from jobs.services.claim import Lease
from jobs.services.endings import Ending, failed, lost
from jobs.services.release import release
from tests.asserts import assert_refused
from tests.clients import ApiCaller, make_client
from tests.factories import make_account, make_build, make_project, make_source
from tests.integration.builds.rows import snapshot
from tests.integration.builds.runs import audited, claim_run
from tests.ledger import assert_ledger_adds_up

pytestmark = pytest.mark.django_db


def path_of(build: Build, verb: str = "") -> str:
    return f"/v1/builds/{public_id('build', build.id)}{verb}"


def reserved(organization_id: uuid.UUID) -> int:
    return Account.objects.get(organization_id=organization_id).reserved


@pytest.mark.parametrize("final", ["failed", "cancelled"])
def test_rebuild__of_an_ended_build__is_a_new_one_that_names_it(final: str, api: ApiCaller) -> None:
    # B-01 B-06
    project = make_project(api.organization.id)
    original = make_build(project)
    if final == "failed":
        fail_build(build_id=original.id, code="X", message="x")
    else:
        api.post(path_of(original, "/cancel"))
    before = Build.objects.values().get(id=original.id)

    response = api.post(path_of(original, "/rebuild"))

    body = response.json()
    assert response.status_code == 202
    assert response.headers["Location"].endswith(f"/v1/builds/{body['id']}")
    assert body["rebuildOf"] == public_id("build", original.id)
    assert body["state"] == "queued"
    again = Build.objects.get(id=parse_public_id("build", body["id"]))
    for same in ("source_id", "builder", "options", "estimated_credits"):
        assert getattr(again, same) == getattr(original, same)
    assert again.reservation_id != original.reservation_id
    assert Build.objects.values().get(id=original.id) == before
    assert reserved(api.organization.id) == again.estimated_credits
    created = BuildEvent.objects.get(build=again, seq=1)
    assert created.data["rebuildOf"] == public_id("build", original.id)
    found = api.get(f"/v1/builds?rebuildOf={public_id('build', original.id)}").json()["items"]
    assert [item["id"] for item in found] == [body["id"]]


def test_rebuild__of_an_active_or_foreign_build__is_refused(api: ApiCaller) -> None:
    # B-04 P24
    active = make_build(make_project(api.organization.id))
    theirs = make_build(make_project(make_client().organization.id))
    fail_build(build_id=theirs.id, code="X", message="x")
    before = snapshot()

    refused = assert_refused(api.post(path_of(active, "/rebuild")), 409, "BUILD_STILL_ACTIVE")
    assert_refused(api.post(path_of(theirs, "/rebuild")), 404, "BUILD_NOT_FOUND")
    assert_refused(api.post(path_of(active, "/rebuild"), key=None), 400, "IDEMPOTENCY_KEY_REQUIRED")

    assert refused["data"]["validNextStates"] == ["building", "cancelled", "failed"]
    assert snapshot() == before


def test_rebuild__same_key_again__makes_one(api: ApiCaller) -> None:
    # E-01
    original = make_build(make_project(api.organization.id))
    fail_build(build_id=original.id, code="X", message="x")
    key = "a-key-of-this-test-0011"

    answers = [api.post(path_of(original, "/rebuild"), key=key) for _ in range(2)]

    assert answers[0].content == answers[1].content
    assert Build.objects.filter(rebuild_of=original).count() == 1


def order(project: Project) -> dict[str, Any]:
    return {
        "projectId": public_id("proj", project.id),
        "sourceId": public_id("src", make_source(project).id),
    }


def test_newest_wins__a_waiting_build__makes_room_for_the_newer(api: ApiCaller) -> None:
    # B-03 B-06
    project = make_project(api.organization.id, newest_wins=True)
    older = make_build(project)

    newer = api.post("/v1/builds", order(project)).json()

    older.refresh_from_db()
    assert (newer["state"], older.state) == ("queued", "cancelled")
    assert public_id("build", older.superseded_by_id or uuid.UUID(int=0)) == newer["id"]
    assert api.get(path_of(older)).json()["supersededBy"] == newer["id"]
    assert Job.objects.get(id=older.job_id).state == "cancelled"
    assert Reservation.objects.get(id=older.reservation_id).state == "released"
    assert reserved(api.organization.id) == newer["estimatedCredits"]
    assert audited(older) == ["build.created", "build.cancelled"]
    last = BuildEvent.objects.filter(build=older).latest("id")
    assert (last.name, last.data["supersededBy"]) == ("build.cancelled", newer["id"])
    assert_ledger_adds_up()


def test_newest_wins__a_running_build__is_not_touched(api: ApiCaller) -> None:
    # B-03
    project = make_project(api.organization.id, max_active=2, newest_wins=True)
    running = make_build(project)
    start_build(build_id=running.id, context=claim_run(running))
    waiting = make_build(project)

    newer = make_build(project)

    running.refresh_from_db()
    waiting.refresh_from_db()
    assert (running.state, waiting.state, newer.slot) == ("building", "cancelled", 1)
    project_of_one = make_project(api.organization.id, newest_wins=True)
    alone = make_build(project_of_one)
    start_build(build_id=alone.id, context=claim_run(alone))
    before = snapshot()
    assert_refused(api.post("/v1/builds", order(project_of_one)), 429, "BUILD_ALREADY_RUNNING")
    assert snapshot() == before


def test_newest_wins__new_build_refused__leaves_the_waiting_one(issue_key: Any) -> None:
    # B-06
    poor = issue_key(credit=3)
    project = make_project(poor.organization.id, newest_wins=True)
    older = make_build(project)
    before = snapshot()

    costly = {**order(project), "builder": "mkdocs"}
    assert_refused(poor.post("/v1/builds", costly), 422, "INSUFFICIENT_CREDITS")

    assert snapshot() == before
    older.refresh_from_db()
    assert older.state == "queued"


def test_newest_wins__not_asked_for__refuses_as_ever(api: ApiCaller) -> None:
    # B-03
    project = make_project(api.organization.id)
    make_build(project)

    assert_refused(api.post("/v1/builds", order(project)), 429, "BUILD_ALREADY_RUNNING")


# --- Builds that nobody would end -------------------------------------------------------------


endings: dict[str, Callable[[], Ending]] = {
    "lost": lambda: lost("gone"),
    "timed out": lambda: failed(JobTimedOut("too long")),
}


def lease_of(build: Build) -> Lease:
    token = Job.objects.values_list("lease_token", flat=True).get(id=build.job_id)
    return Lease(build.job_id, token)


@pytest.mark.parametrize(
    ("ending", "error"),
    [("lost", "WorkerLost"), ("timed out", "JobTimedOut")],
)
def test_run__lost_or_timed_out_to_the_end__fails_the_build_and_frees_all(
    ending: str, error: str
) -> None:
    # B-02 B-06 W-06
    build = make_build(make_project(make_account(credits=100)))
    start_build(build_id=build.id, context=claim_run(build))
    runs = 1
    while release(lease=lease_of(build), ending=endings[ending]()) != "dead":
        Job.objects.filter(id=build.job_id).update(next_attempt_at=Now())
        claim_run(build)
        runs += 1
        assert runs < 10

    build.refresh_from_db()
    assert (build.state, build.error_code, build.slot) == ("failed", "BUILD_JOB_DIED", None)
    assert error in build.error_message
    assert Reservation.objects.get(id=build.reservation_id).state == "released"
    assert reserved(build.organization_id) == 0
    assert FailedJob.objects.filter(job_id=build.job_id).count() == 1
    assert make_build(Project.objects.get(id=build.project_id)).slot == 0


@pytest.mark.parametrize("started", [False, True])
def test_orphan__job_ended_without_its_build__is_failed_and_frees_all(
    started: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # B-02 B-06
    build = make_build(make_project(make_account(credits=100)))
    if started:
        start_build(build_id=build.id, context=claim_run(build))
    Job.objects.filter(id=build.job_id).delete()
    healthy = make_build(make_project(build.organization_id))
    assert fail_orphans() == 0, "a job may owe the build its end for a minute"
    monkeypatch.setattr("builds.services.orphans.GRACE_S", 0.0)

    assert (fail_orphans(), fail_orphans()) == (1, 0)

    build.refresh_from_db()
    healthy.refresh_from_db()
    assert (build.state, build.error_code, build.slot) == ("failed", "BUILD_ORPHANED", None)
    assert healthy.state == "queued"
    assert reserved(build.organization_id) == healthy.estimated_credits
    assert audited(build)[-1] == "build.failed"
    assert_ledger_adds_up()


def test_orphan__one_that_cannot_be_ended__keeps_up_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # B-06
    builds = [make_build(make_project(make_account(credits=100))) for _ in range(2)]
    Job.objects.all().delete()
    monkeypatch.setattr("builds.services.orphans.GRACE_S", 0.0)

    def fail_but_one(*, build_id: uuid.UUID, code: str, message: str) -> Build:
        if build_id == builds[0].id:
            raise OperationalError("locked")
        return fail_build(build_id=build_id, code=code, message=message)

    monkeypatch.setattr("builds.services.orphans.fail_build", fail_but_one)

    assert fail_orphans() == 1

    assert [Build.objects.get(id=build.id).state for build in builds] == ["queued", "failed"]
