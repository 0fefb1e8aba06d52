"""POST /v1/builds/{id}/replay: tried first, nothing twice, never charged."""

from __future__ import annotations

from typing import Any

import pytest

from builds.models import Build, BuildEvent, Project
from builds.services.moves import mark_deployed, start_build
from credits.models import Account, Entry, Reservation
from jobs.ids import public_id
from jobs.models import Job
from tests.asserts import assert_refused
from tests.clients import ApiCaller
from tests.factories import make_account, make_build, make_project
from tests.integration.builds.rows import make_build_in, snapshot
from tests.integration.builds.runs import artifact, audited, claim_run
from tests.ledger import assert_ledger_adds_up

pytestmark = pytest.mark.django_db


def deployed(project: Project) -> Build:
    build = make_build(project)
    context = claim_run(build)
    start_build(build_id=build.id, context=context)
    return mark_deployed(build_id=build.id, artifact=artifact(), duration_s=1.0, context=context)


def path_of(build: Build) -> str:
    return f"/v1/builds/{public_id('build', build.id)}/replay"


def everything() -> list[Any]:
    return [
        *snapshot(),
        list(BuildEvent.objects.order_by("id").values()),
        list(Entry.objects.order_by("id").values()),
        list(Job.objects.order_by("id").values_list("id", "state")),
        list(Project.objects.order_by("id").values()),
    ]


def effects(body: dict[str, Any]) -> list[tuple[int, str, str]]:
    return [
        (item["event"]["seq"], step["effect"], step["outcome"])
        for item in body["items"]
        for step in item["steps"]
    ]


def test_dry_run__of_a_deployed_build__says_all_and_changes_nothing(api: ApiCaller) -> None:
    # B-08
    build = deployed(make_project(api.organization.id))
    before = everything()

    body = api.post(path_of(build), {}).json()

    assert effects(body) == [
        (1, "announce", "planned"),
        (1, "hold_credits", "skipped"),
        (1, "enqueue_job", "skipped"),
        (2, "announce", "planned"),
        (2, "run", "skipped"),
        (3, "announce", "planned"),
        (3, "charge_credits", "skipped"),
        (3, "publish_site", "skipped"),
    ]
    assert (body["isDryRun"], body["chargedCredits"], body["state"]) == (True, 0, "deployed")
    assert (body["doneCount"], body["skippedCount"], body["leftCount"]) == (3, 5, 0)
    charge = body["items"][2]["steps"][1]
    assert charge["reason"] == f"{build.charged_credits} credits were charged"
    assert everything() == before
    assert api.post(path_of(build), {"dryRun": True}).json()["planDigest"] == body["planDigest"]


def test_replay__for_real__does_what_was_planned_once_and_charges_nothing(api: ApiCaller) -> None:
    # B-08
    build = deployed(make_project(api.organization.id))
    account = Account.objects.values().get(organization_id=api.organization.id)
    entries, jobs = Entry.objects.count(), Job.objects.count()
    digest = api.post(path_of(build), {"fromSeq": 2}).json()["planDigest"]
    order = {"fromSeq": 2, "dryRun": False, "planDigest": digest}

    key = "a-key-of-this-test-0021"
    first, again = (api.post(path_of(build), order, key=key) for _ in range(2))

    body = first.json()
    assert again.content == first.content
    assert effects(body)[0] == (2, "announce", "done")
    assert (body["isDryRun"], body["doneCount"], body["skippedCount"]) == (False, 2, 3)
    last = BuildEvent.objects.filter(build=build).latest("id")
    assert (last.seq, last.name, last.state) == (4, "build.replayed", "deployed")
    assert last.data == {"fromSeq": 2, "lastSeq": 3, "done": 2, "skipped": 3, "left": 0}
    assert audited(build)[-1] == "build.replayed"
    assert Account.objects.values().get(organization_id=api.organization.id) == account
    assert (Entry.objects.count(), Job.objects.count()) == (entries, jobs)
    # The digest was good for one replay.
    before = everything()
    refused = assert_refused(api.post(path_of(build), order), 409, "REPLAY_PLAN_CHANGED")
    assert refused["data"]["lastSeq"] == 4
    assert everything() == before
    assert_ledger_adds_up()


def test_replay__announces__each_event_with_its_number(
    api: ApiCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    # B-08
    build = deployed(make_project(api.organization.id))
    told: list[tuple[Any, ...]] = []
    monkeypatch.setattr(
        "builds.services.replay.telemetry.publish",
        lambda name, **data: told.append((name, data.get("is_replay"), data.get("seq"))),
    )
    digest = api.post(path_of(build), {}).json()["planDigest"]
    assert told == []

    api.post(path_of(build), {"dryRun": False, "planDigest": digest})

    assert told[:3] == [
        ("build.created", True, 1),
        ("build.started", True, 2),
        ("build.deployed", True, 3),
    ]
    assert [name for name, *_ in told[3:]] == ["build.replayed"]


def test_replay__without_its_dry_run__is_refused(api: ApiCaller) -> None:
    # B-08
    build = deployed(make_project(api.organization.id))
    before = everything()

    assert_refused(api.post(path_of(build), {"dryRun": False}), 428, "REPLAY_DRY_RUN_REQUIRED")
    wrong = {"dryRun": False, "planDigest": "0" * 64}
    assert_refused(api.post(path_of(build), wrong), 409, "REPLAY_PLAN_CHANGED")
    # A plan from another event on is another plan.
    other = api.post(path_of(build), {"fromSeq": 3}).json()["planDigest"]
    mixed = {"dryRun": False, "planDigest": other}
    assert_refused(api.post(path_of(build), mixed), 409, "REPLAY_PLAN_CHANGED")

    assert everything() == before


def test_replay__build_moved_after_the_dry_run__does_nothing(api: ApiCaller) -> None:
    # B-08
    build = make_build(make_project(api.organization.id))
    digest = api.post(path_of(build), {}).json()["planDigest"]
    start_build(build_id=build.id, context=claim_run(build))
    before = everything()

    order = {"dryRun": False, "planDigest": digest}
    assert_refused(api.post(path_of(build), order), 409, "REPLAY_PLAN_CHANGED")

    assert everything() == before


def test_replay__live_pointer_lost__points_at_the_build_again(api: ApiCaller) -> None:
    # B-08
    project = make_project(api.organization.id, max_active=2)
    older, newer = deployed(project), deployed(project)
    Project.objects.filter(id=project.id).update(live_build=None)

    plan = api.post(path_of(newer), {"fromSeq": 3}).json()
    assert (3, "publish_site", "planned") in effects(plan)
    done = api.post(
        path_of(newer), {"fromSeq": 3, "dryRun": False, "planDigest": plan["planDigest"]}
    ).json()

    assert (3, "publish_site", "done") in effects(done)
    assert Project.objects.get(id=project.id).live_build_id == newer.id
    # A newer one is live: the older is not put in its place.
    plan = api.post(path_of(older), {"fromSeq": 3}).json()
    assert (3, "publish_site", "skipped") in effects(plan)
    assert public_id("build", newer.id) in plan["items"][0]["steps"][2]["reason"]


def test_replay__hold_left_behind_by_a_hand_made_move__goes_back(api: ApiCaller) -> None:
    # B-08 B-06
    build = make_build_in("failed", api.organization.id)
    assert Account.objects.get(organization_id=api.organization.id).reserved > 0

    for expected in (("planned", "done"), ("skipped", "skipped")):
        plan = api.post(path_of(build), {"fromSeq": 3}).json()
        order = {"fromSeq": 3, "dryRun": False, "planDigest": plan["planDigest"]}
        done = api.post(path_of(build), order).json()
        outcomes = tuple(
            step["outcome"]
            for answer in (plan, done)
            for step in answer["items"][0]["steps"]
            if step["effect"] == "release_credits"
        )
        assert outcomes == expected
        assert Account.objects.get(organization_id=api.organization.id).reserved == 0

    assert Reservation.objects.get(id=build.reservation_id).state == "released"
    assert_ledger_adds_up()


def test_replay__deployed_by_hand_and_never_charged__is_left_and_not_charged(
    api: ApiCaller,
) -> None:
    # B-08 C-03
    build = make_build_in("deployed", api.organization.id)
    entries = Entry.objects.count()

    plan = api.post(path_of(build), {"fromSeq": 3}).json()
    order = {"fromSeq": 3, "dryRun": False, "planDigest": plan["planDigest"]}
    done = api.post(path_of(build), order).json()

    assert (3, "charge_credits", "left") in effects(done)
    assert (done["leftCount"], done["chargedCredits"]) == (1, 0)
    assert Entry.objects.count() == entries


def test_replay__of_a_replay__skips_it(api: ApiCaller) -> None:
    # B-08
    build = make_build(make_project(api.organization.id))
    for _ in range(2):
        plan = api.post(path_of(build), {}).json()
        api.post(path_of(build), {"dryRun": False, "planDigest": plan["planDigest"]})

    assert effects(plan)[-1] == (2, "announce", "skipped")
    names = list(BuildEvent.objects.order_by("id").values_list("seq", "name"))
    assert names == [(1, "build.created"), (2, "build.replayed"), (3, "build.replayed")]


def test_replay__of_more_than_one_takes__is_cut_off_and_its_digest_still_good_for_one(
    api: ApiCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    # B-08
    monkeypatch.setattr("builds.services.replay.MAX_EVENTS", 2)
    build = deployed(make_project(api.organization.id))
    plan = api.post(path_of(build), {}).json()
    order = {"dryRun": False, "planDigest": plan["planDigest"]}

    assert api.post(path_of(build), order).json()["lastSeq"] == 2
    assert_refused(api.post(path_of(build), order), 409, "REPLAY_PLAN_CHANGED")


@pytest.mark.parametrize(
    "order",
    [
        {"fromSeq": 0},
        {"fromSeq": 9},
        {"fromSeq": "1"},
        {"dryRun": 1},
        {"planDigest": "x"},
        {"x": 1},
    ],
)
def test_replay__of_another_shape__is_refused(order: dict[str, Any], api: ApiCaller) -> None:
    # E-08
    build = make_build(make_project(api.organization.id))

    assert_refused(api.post(path_of(build), order), 422, "VALIDATION_FAILED")
    theirs = make_build(make_project(make_account(credits=100)))
    assert_refused(api.post(path_of(theirs), {}), 404, "BUILD_NOT_FOUND")
