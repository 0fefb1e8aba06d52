"""/v1/projects: the state a client has seen, and several at once."""

from __future__ import annotations

import uuid

import pytest

from builds.models import Project
from builds.services.moves import mark_deployed, start_build
from flagship.models import AuditEvent
from jobs.ids import public_id
from tests.asserts import assert_refused
from tests.clients import ApiCaller, make_client
from tests.factories import make_build, make_project
from tests.integration.builds.runs import artifact, claim_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(api: ApiCaller) -> Project:
    """A project of the caller."""
    return make_project(api.organization.id)


def path_of(project: Project) -> str:
    return f"/v1/projects/{public_id('proj', project.id)}"


def facts(project: Project) -> tuple[object, ...]:
    project.refresh_from_db()
    return (project.name, project.max_active, project.revision, AuditEvent.objects.count())


def test_etag__of_every_answer__is_that_of_the_next_read(api: ApiCaller) -> None:
    # B-01
    created = api.post("/v1/projects", {"name": "Shop", "newestWins": True})
    path = f"/v1/projects/{created.json()['id']}"
    seen = [created.headers["ETag"], api.get(path).headers["ETag"]]
    patched = api.patch(path, {"name": "Shop 2"}, headers={"If-Match": seen[0]})
    seen += [patched.headers["ETag"], api.get(path).headers["ETag"]]

    assert seen == ['"proj-1"', '"proj-1"', '"proj-2"', '"proj-2"']
    assert (patched.json()["name"], patched.json()["newestWins"]) == ("Shop 2", True)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_change__of_a_state_somebody_has_changed__is_refused(
    method: str, api: ApiCaller, project: Project
) -> None:
    # B-01
    tag = api.get(path_of(project)).headers["ETag"]
    api.patch(path_of(project), {"name": "Theirs"}, headers={"If-Match": tag})
    before = facts(project)

    response = api.request(method, path_of(project), {"name": "Mine"}, headers={"If-Match": tag})

    refused = assert_refused(response, 412, "PRECONDITION_FAILED")
    assert refused["data"] == {"currentETag": '"proj-2"'}
    assert facts(project) == before
    again = {"If-Match": f'"other", {refused["data"]["currentETag"]}'}
    assert api.request(method, path_of(project), {"name": "Mine"}, headers=again).status_code == 200


@pytest.mark.parametrize("headers", [{}, {"If-Match": "*"}])
def test_change__without_a_precondition__is_made_to_whatever_is_there(
    api: ApiCaller, project: Project, headers: dict[str, str]
) -> None:
    # B-01
    assert api.patch(path_of(project), {"name": "x"}, headers=headers).status_code == 200
    assert api.put(path_of(project), {"name": "y"}, headers=headers).status_code == 200
    assert facts(project)[0] == "y"


@pytest.mark.parametrize("text", ["", "proj-1", "W/", '"proj-1', "\\"])
def test_precondition__that_is_no_etag__is_refused(
    text: str, api: ApiCaller, project: Project
) -> None:
    # E-08
    before = facts(project)

    response = api.patch(path_of(project), {"name": "x"}, headers={"If-Match": text})

    assert_refused(response, 422, "VALIDATION_FAILED")
    assert facts(project) == before


def test_precondition__weak_tag__is_never_the_state(api: ApiCaller, project: Project) -> None:
    # B-01: RFC 9110 13.1.1 compares strongly.
    headers = {"If-Match": 'W/"proj-1"'}

    assert_refused(
        api.patch(path_of(project), {"name": "x"}, headers=headers), 412, "PRECONDITION_FAILED"
    )


def test_etag__after_a_deployment__is_another_since_the_answer_is(
    api: ApiCaller, project: Project
) -> None:
    # B-01
    tag = api.get(path_of(project)).headers["ETag"]
    build = make_build(project)
    context = claim_run(build)
    start_build(build_id=build.id, context=context)
    mark_deployed(build_id=build.id, artifact=artifact(), duration_s=1.0, context=context)

    response = api.patch(path_of(project), {"name": "x"}, headers={"If-Match": tag})

    assert_refused(response, 412, "PRECONDITION_FAILED")


def test_same_key_again__after_its_own_change__is_the_first_answer(
    api: ApiCaller, project: Project
) -> None:
    # E-01
    tag, key = api.get(path_of(project)).headers["ETag"], "a-key-of-this-test-0009"
    answers = [
        api.patch(path_of(project), {"name": "x"}, key=key, headers={"If-Match": tag})
        for _ in range(2)
    ]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].content == answers[1].content
    assert answers[0].headers["ETag"] == answers[1].headers["ETag"] == '"proj-2"'


def test_revision__written_by_a_caller__is_counted_all_the_same(project: Project) -> None:
    # B-01
    Project.objects.filter(id=project.id).update(revision=77)
    project.refresh_from_db()
    assert project.revision == 2

    made = Project.objects.create(
        organization_id=project.organization_id,
        name="x",
        slug="x",
        site_name="x-1",
        default_builder="static",
        revision=99,
    )
    made.refresh_from_db()
    assert made.revision == 1


def test_batch__of_ids__keeps_their_order_and_names_the_missing(api: ApiCaller) -> None:
    # B-07 P24
    mine = [public_id("proj", make_project(api.organization.id).id) for _ in range(3)]
    theirs = public_id("proj", make_project(make_client().organization.id).id)
    missing = public_id("proj", uuid.uuid4())
    asked = [mine[2], theirs, mine[0], missing, mine[1], mine[2]]

    body = api.get(f"/v1/projects/batch?ids={','.join(asked)}").json()

    assert [item["id"] for item in body["items"]] == [mine[2], mine[0], mine[1]]
    assert body["missing"] == [theirs, missing]
    assert body["items"][0] == api.get(f"/v1/projects/{mine[2]}").json()


@pytest.mark.parametrize(
    "query",
    [
        "",
        "ids=",
        "ids=1,2,3",
        "ids=proj_" + "0" * 32 + ",",
        "ids=" + ",".join(["proj_" + "0" * 32] * 101),
    ],
)
def test_batch__of_no_ids_too_many_or_others__is_refused(query: str, api: ApiCaller) -> None:
    # E-08
    refused = assert_refused(api.get(f"/v1/projects/batch?{query}"), 422, "VALIDATION_FAILED")

    assert list(refused["data"]["fields"]) == ["ids"]


def test_batch__however_many__is_one_query(
    api: ApiCaller, django_assert_num_queries: object
) -> None:
    # E-10
    ids = [public_id("proj", make_project(api.organization.id).id) for _ in range(5)]
    api.get(f"/v1/projects/batch?ids={ids[0]}")

    # The projects; and the savepoint that the request's transaction is in a test.
    with django_assert_num_queries(3):  # type: ignore[operator]
        assert len(api.get(f"/v1/projects/batch?ids={','.join(ids)}").json()["items"]) == 5
