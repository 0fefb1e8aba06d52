"""/v1/projects and /v1/builds: what is accepted, what is refused and what a refusal leaves."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.db.models.functions import Now

from builds.models import Build, Project
from builds.services.moves import fail_build, mark_deployed, start_build
from credits.models import Account
from credits.services import grant_credits
from flagship.models import AuditEvent, IdempotencyRecord
from jobs.ids import parse_public_id, public_id
from jobs.models import Job
from tests.asserts import assert_refused
from tests.clients import ApiCaller, make_client
from tests.factories import make_build, make_project, make_source
from tests.integration.builds.runs import artifact, claim_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(api: ApiCaller) -> Project:
    """A project of the caller."""
    return make_project(api.organization.id)


def order(project: Project, **more: Any) -> dict[str, Any]:
    """A valid order of a build."""
    source = make_source(project)
    return {
        "projectId": public_id("proj", project.id),
        "sourceId": public_id("src", source.id),
        **more,
    }


def counts(api: ApiCaller) -> tuple[int, ...]:
    """What a refusal must leave as it was."""
    account = Account.objects.get(organization_id=api.organization.id)
    return (
        Project.objects.count(),
        Build.objects.count(),
        Job.objects.count(),
        AuditEvent.objects.count(),
        IdempotencyRecord.objects.count(),
        account.reserved,
        account.last_seq,
    )


def test_project__created__is_answered_with_its_address(api: ApiCaller) -> None:
    # B-01
    response = api.post("/v1/projects", {"name": "My  Shop!", "maxActive": 3})

    body = response.json()
    assert response.status_code == 201
    assert (body["name"], body["slug"], body["maxActive"]) == ("My  Shop!", "my-shop", 3)
    assert (body["defaultBuilder"], body["liveBuildId"]) == ("static", None)
    assert f"/sites/my-shop-{body['id'][-8:]}/" in body["siteUrl"]
    assert api.get(f"/v1/projects/{body['id']}").json() == body
    assert [item["id"] for item in api.get("/v1/projects").json()["items"]] == [body["id"]]


def test_project__put_and_patch__replace_and_change(api: ApiCaller, project: Project) -> None:
    # B-01
    path = f"/v1/projects/{public_id('proj', project.id)}"

    patched = api.patch(path, {"maxActive": 4, "defaultBuilder": "mkdocs"}).json()
    assert (patched["name"], patched["maxActive"]) == (project.name, 4)
    assert patched["defaultBuilder"] == "mkdocs"

    put = api.put(path, {"name": "New name"}, headers={"If-Match": "*"}).json()
    assert (put["name"], put["maxActive"], put["defaultBuilder"]) == ("New name", 1, "static")
    assert put["updatedAt"] > patched["createdAt"]
    actions = AuditEvent.objects.filter(subject_type="project").values_list("action", flat=True)
    assert sorted(actions) == ["project.created", "project.updated", "project.updated"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": 5}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "x", "slug": "No Slug"}, "slug"),
        ({"name": "x", "maxActive": 0}, "maxActive"),
        ({"name": "x", "maxActive": 21}, "maxActive"),
        ({"name": "x", "maxActive": "1"}, "maxActive"),
        ({"name": "x", "maxActive": True}, "maxActive"),
        ({"name": "x", "max_active": 1}, "max_active"),
        ({"name": "x", "siteName": "admin"}, "siteName"),
    ],
)
def test_project__invalid_body__is_refused_with_the_field_named(
    body: dict[str, Any], field: str, api: ApiCaller
) -> None:
    # E-08
    before = counts(api)

    refused = assert_refused(api.post("/v1/projects", body), 422, "VALIDATION_FAILED")

    assert field in refused["data"]["fields"]
    assert counts(api) == before


def test_project__slug_taken_here__is_refused_and_free_elsewhere(
    api: ApiCaller, project: Project
) -> None:
    # B-01 P24
    before = counts(api)
    body = {"name": "Another", "slug": project.slug}

    assert_refused(api.post("/v1/projects", body), 409, "PROJECT_SLUG_TAKEN")

    assert counts(api) == before
    stranger = make_client()
    assert stranger.post("/v1/projects", body).status_code == 201


def test_project__unknown_builder__is_refused(api: ApiCaller, project: Project) -> None:
    before = counts(api)
    path = f"/v1/projects/{public_id('proj', project.id)}"

    for response in (
        api.post("/v1/projects", {"name": "x", "defaultBuilder": "jekyll"}),
        api.patch(path, {"defaultBuilder": "jekyll"}),
    ):
        assert "static" in assert_refused(response, 422, "UNKNOWN_BUILDER")["data"]["builders"]

    assert counts(api) == before


def test_max_active__lowered_under_active_builds__is_refused(api: ApiCaller) -> None:
    # B-03
    project = make_project(api.organization.id, max_active=2)
    builds = [make_build(project), make_build(project)]
    path = f"/v1/projects/{public_id('proj', project.id)}"
    before = counts(api)

    refused = assert_refused(api.patch(path, {"maxActive": 1}), 409, "PROJECT_MAX_ACTIVE_IN_USE")

    assert len(refused["data"]["activeBuildIds"]) == 2
    assert counts(api) == before
    fail_build(build_id=builds[1].id, code="X", message="x")
    assert api.patch(path, {"maxActive": 1}).json()["maxActive"] == 1


def test_build__accepted__answers_its_state_and_where_to_look(
    api: ApiCaller, project: Project
) -> None:
    # B-01
    response = api.post("/v1/builds", order(project))

    body = response.json()
    assert response.status_code == 202
    assert response.headers["Location"].endswith(f"/v1/builds/{body['id']}")
    assert (body["state"], body["previousState"]) == ("queued", None)
    assert body["reservationId"].startswith("res_")
    assert body["logUrl"].endswith(f"/v1/builds/{body['id']}/log")
    assert (body["versionUrl"], body["artifact"], body["error"]) == (None, None, None)
    assert api.get(f"/v1/builds/{body['id']}").json() == body
    build = Build.objects.get(id=parse_public_id("build", body["id"]))
    assert build.request_id == response.headers["x-request-id"]


def test_build__same_key_again__is_the_same_build(api: ApiCaller, project: Project) -> None:
    # E-01 P02
    body, key = order(project), "a-key-of-this-test-0001"

    first = api.post("/v1/builds", body, key=key)
    again = api.post("/v1/builds", body, key=key)

    assert again.content == first.content
    assert Build.objects.count() == 1
    assert_refused(
        api.post("/v1/builds", {**body, "builder": "mkdocs"}, key=key),
        422,
        "IDEMPOTENCY_KEY_REUSED",
    )


def test_build__same_key_when_the_answer_has_gone__makes_no_second_build(
    api: ApiCaller, project: Project
) -> None:
    # E-01 P02
    body, key = order(project), "a-key-of-this-test-0002"
    first = api.post("/v1/builds", body, key=key).json()
    fail_build(build_id=parse_public_id("build", first["id"]), code="X", message="x")
    IdempotencyRecord.objects.all().delete()
    before = counts(api)

    refused = assert_refused(api.post("/v1/builds", body, key=key), 409, "IDEMPOTENCY_KEY_EXPIRED")

    assert refused["data"]["buildId"] == first["id"]
    assert counts(api) == before


def test_build__project_busy__is_refused_with_an_eta(api: ApiCaller, project: Project) -> None:
    # B-03 B-04 E-03
    running = api.post("/v1/builds", order(project)).json()
    body = order(project)
    before = counts(api)

    response = api.post("/v1/builds", body)

    refused = assert_refused(response, 429, "BUILD_ALREADY_RUNNING")
    assert refused["data"] == {
        "activeBuildIds": [running["id"]],
        "etaSeconds": 30,
        "eta": {
            "basis": "default",
            "confidence": "low",
            "sampleCount": 0,
            "medianSeconds": 30,
            "earliestSeconds": 30,
            "latestSeconds": 30,
        },
    }
    assert response.headers["Retry-After"] == "30"
    assert counts(api) == before


def test_build__project_with_a_history__eta_is_its_median(api: ApiCaller, project: Project) -> None:
    # B-04
    for duration_s in (10, 20, 300):
        build = make_build(project)
        context = claim_run(build)
        start_build(build_id=build.id, context=context)
        long_ago = Now() - timedelta(seconds=duration_s)
        Build.objects.filter(id=build.id).update(started_at=long_ago)
        mark_deployed(build_id=build.id, artifact=artifact(), duration_s=1.0, context=context)
    api.post("/v1/builds", order(project))

    refused = assert_refused(api.post("/v1/builds", order(project)), 429, "BUILD_ALREADY_RUNNING")

    assert refused["data"]["etaSeconds"] == 20
    assert refused["data"]["eta"] == {
        "basis": "project",
        "confidence": "medium",
        "sampleCount": 3,
        "medianSeconds": 20,
        "earliestSeconds": 15,
        "latestSeconds": 160,
    }


def test_build__too_few_credits__changes_nothing_and_the_key_stays_usable(
    issue_key: Any,
) -> None:
    # E-01 E-03 B-06
    poor = issue_key(credit=1)
    body, key = order(make_project(poor.organization.id)), "a-key-of-this-test-0003"
    before = counts(poor)

    refused = assert_refused(poor.post("/v1/builds", body, key=key), 422, "INSUFFICIENT_CREDITS")

    assert (refused["data"]["required"], refused["data"]["available"]) == (3, 1)
    assert counts(poor) == before
    grant_credits(
        organization_id=poor.organization.id,
        amount_credits=100,
        reason="bought",
        actor="test",
        reference="p1",
    )
    assert poor.post("/v1/builds", body, key=key).status_code == 202


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"projectId": 5}, "VALIDATION_FAILED"),
        ({"projectId": "proj_1"}, "VALIDATION_FAILED"),
        ({"projectId": None}, "VALIDATION_FAILED"),
        ({"sourceId": "build_" + "0" * 32}, "VALIDATION_FAILED"),
        ({"options": []}, "VALIDATION_FAILED"),
        ({"options": {"unknown": 1}}, "BUILDER_OPTIONS_INVALID"),
        ({"options": {"directory": "../x"}}, "BUILDER_OPTIONS_INVALID"),
        ({"builder": "jekyll"}, "UNKNOWN_BUILDER"),
        ({"builder": ""}, "VALIDATION_FAILED"),
        ({"state": "deployed"}, "VALIDATION_FAILED"),
        ({"priority": 1}, "VALIDATION_FAILED"),
    ],
)
def test_build__invalid_order__is_refused_and_nothing_changes(
    change: dict[str, Any], code: str, api: ApiCaller, project: Project
) -> None:
    # E-08
    body = order(project) | change
    before = counts(api)

    assert_refused(api.post("/v1/builds", body), 422, code)

    assert counts(api) == before


def test_build__without_a_key__is_refused(api: ApiCaller, project: Project) -> None:
    # E-01
    assert_refused(
        api.post("/v1/builds", order(project), key=None), 400, "IDEMPOTENCY_KEY_REQUIRED"
    )
    assert Build.objects.count() == 0


def test_foreign_ids__everywhere__answer_as_ids_that_do_not_exist(api: ApiCaller) -> None:
    # P24
    stranger = make_client()
    theirs = make_project(stranger.organization.id)
    build = make_build(theirs)
    ours = make_project(api.organization.id)
    our_source = make_source(ours)
    missing = uuid.uuid4()
    before = counts(api)

    def attempts(project: uuid.UUID, source: uuid.UUID, build_id: uuid.UUID) -> list[Any]:
        proj, src = public_id("proj", project), public_id("src", source)
        one = public_id("build", build_id)
        mine, my_source = public_id("proj", ours.id), public_id("src", our_source.id)
        upload = {"content_type": "application/gzip"}
        return [
            api.get(f"/v1/projects/{proj}"),
            api.put(f"/v1/projects/{proj}", {"name": "x"}, headers={"If-Match": "*"}),
            api.patch(f"/v1/projects/{proj}", {"name": "x"}),
            api.post(f"/v1/projects/{proj}/sources", b"bytes", **upload),
            api.get(f"/v1/builds/{one}"),
            api.get(f"/v1/builds/{one}/log"),
            api.get(f"/v1/streams/builds/{one}/log"),
            api.post(f"/v1/builds/{one}/cancel"),
            api.post("/v1/builds", {"projectId": proj, "sourceId": my_source}),
            api.post("/v1/builds", {"projectId": mine, "sourceId": src}),
            api.get(f"/v1/builds?projectId={proj}"),
        ]

    foreign = attempts(theirs.id, build.source_id, build.id)
    unknown = attempts(missing, missing, missing)

    for theirs_answer, no_answer in zip(foreign, unknown, strict=True):
        first, second = theirs_answer.json(), no_answer.json()
        for body in (first, second):
            for varying in ("requestId", "correlationId", "timestamp"):
                body.pop(varying, None)
        assert (theirs_answer.status_code, first) == (no_answer.status_code, second)
    assert {answer.status_code for answer in foreign[:-1]} == {404}
    assert foreign[-1].json() == {"items": [], "nextCursor": None}
    assert counts(api) == before


@pytest.mark.parametrize("text", ["x", "proj_", "proj_xyz", "build_" + "0" * 31, "%00", "A" * 300])
def test_path_id__that_cannot_exist__is_not_found(text: str, api: ApiCaller) -> None:
    # E-08
    assert_refused(api.get(f"/v1/projects/{text}"), 404, "PROJECT_NOT_FOUND")
    assert_refused(api.get(f"/v1/builds/{text}"), 404, "BUILD_NOT_FOUND")


def test_builds__listed__newest_first_by_pages_and_filters(api: ApiCaller) -> None:
    # B-01
    projects = [make_project(api.organization.id, max_active=5) for _ in range(2)]
    builds = [make_build(projects[number % 2]) for number in range(5)]
    fail_build(build_id=builds[0].id, code="X", message="x")
    ids = [public_id("build", build.id) for build in reversed(builds)]

    first = api.get("/v1/builds?limit=3").json()
    second = api.get(f"/v1/builds?limit=3&cursor={first['nextCursor']}").json()
    assert [item["id"] for item in first["items"] + second["items"]] == ids
    assert second["nextCursor"] is None
    failed = api.get("/v1/builds?state=failed").json()["items"]
    assert [item["id"] for item in failed] == ids[-1:]
    assert failed[0]["error"] == {"code": "X", "message": "x"}
    of_first = api.get(f"/v1/builds?projectId={public_id('proj', projects[0].id)}").json()["items"]
    assert [item["id"] for item in of_first] == ids[::2]


def test_builds__listed_by_every_filter__are_those_that_fit(api: ApiCaller) -> None:
    # B-01 P24
    project = make_project(api.organization.id, max_active=5)
    builds = [make_build(project) for _ in range(3)]
    markdown = api.post("/v1/builds", {**order(project), "builder": "mkdocs"}).json()["id"]
    start_build(build_id=builds[1].id, context=claim_run(builds[1]))
    fail_build(build_id=builds[0].id, code="X", message="x")
    make_build(make_project(make_client().organization.id))
    ids = [public_id("build", build.id) for build in builds]
    between = quote(builds[1].queued_at.isoformat())

    def listed(query: str) -> list[str]:
        return [item["id"] for item in api.get(f"/v1/builds?{query}").json()["items"]]

    assert listed("builder=mkdocs") == [markdown]
    assert listed("state=queued,building") == [markdown, ids[2], ids[1]]
    assert listed("state=failed&state=building") == [ids[1], ids[0]]
    assert listed(f"createdSince={between}") == [markdown, ids[2], ids[1]]
    assert listed(f"createdUntil={between}") == [ids[0]]
    assert listed(f"createdSince={between}&createdUntil={between}") == []
    assert listed(f"state=queued&builder=static&createdSince={between}") == [ids[2]]
    assert listed(f"rebuildOf={ids[0]}") == []
    first = api.get("/v1/builds?limit=1&builder=static").json()
    assert [item["id"] for item in first["items"]] == [ids[2]]
    assert listed(f"limit=2&builder=static&cursor={first['nextCursor']}") == [ids[1], ids[0]]


def test_builds__listed__costs_the_same_queries_however_many(
    api: ApiCaller, django_assert_num_queries: Any
) -> None:
    # E-10
    project = make_project(api.organization.id, max_active=5)
    api.get("/v1/builds")
    for _ in range(4):
        make_build(project)

    # The builds; and the savepoint that the request's transaction is in a test.
    with django_assert_num_queries(3):
        assert len(api.get("/v1/builds").json()["items"]) == 4


@pytest.mark.parametrize(
    "query",
    [
        "state=running",
        "state=queued,running",
        "projectId=1",
        "rebuildOf=proj_1",
        "createdSince=yesterday",
        "createdUntil=2026-13-01",
        "builder=" + "x" * 51,
        "unknown=1",
        "limit=0",
        "cursor=???",
    ],
)
def test_builds__listed_with_a_wrong_query__is_refused(query: str, api: ApiCaller) -> None:
    # E-08
    assert api.get(f"/v1/builds?{query}").status_code in (400, 422)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/projects"),
        ("POST", "/v1/builds"),
        ("GET", "/v1/builds"),
        ("GET", "/v1/projects"),
    ],
)
def test_scope__missing__is_forbidden(method: str, path: str, issue_key: Any) -> None:
    # F-01
    other = "builds:read" if method == "POST" else "builds:write"
    caller = issue_key(scopes=(other,))

    response = caller.request(method, path, {} if method == "POST" else None)

    assert_refused(response, 403, "FORBIDDEN")
