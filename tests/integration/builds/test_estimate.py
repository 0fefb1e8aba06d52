"""POST /v1/estimate: what a build would cost is what a build then holds."""

from __future__ import annotations

from typing import Any

import pytest

from builds.models import Build, Project
from builds.services.moves import mark_deployed, start_build
from credits.models import Account
from jobs.ids import public_id
from jobs.models import Job
from tests.asserts import assert_refused
from tests.clients import ApiCaller, make_client
from tests.factories import make_build, make_project, make_source
from tests.integration.builds.runs import artifact, claim_run

pytestmark = pytest.mark.django_db

MEBIBYTE = 1024 * 1024


@pytest.fixture
def project(api: ApiCaller) -> Project:
    """A project of the caller."""
    return make_project(api.organization.id)


def ask(api: ApiCaller, project: Project, **more: Any) -> Any:
    return api.post("/v1/estimate", {"projectId": public_id("proj", project.id), **more})


def deploy(project: Project, *, size_bytes: int) -> Build:
    """A build that was charged for publishing so much."""
    build = make_build(project)
    context = claim_run(build)
    start_build(build_id=build.id, context=context)
    return mark_deployed(
        build_id=build.id, artifact=artifact(size_bytes), duration_s=0.5, context=context
    )


def test_estimate__without_history__goes_by_the_size(api: ApiCaller, project: Project) -> None:
    # B-09
    source = make_source(project)  # 5,000 bytes

    answer = ask(api, project, sourceId=public_id("src", source.id))

    assert answer.status_code == 200
    assert answer.json() == {
        "builder": "static",
        "lowCredits": 3,
        "likelyCredits": 3,
        "highCredits": 3,
        "basedOnBuilds": 0,
    }
    assert ask(api, project, unpackedBytes=5000).json() == answer.json()


def test_estimate__with_history__is_what_the_next_build_holds(
    api: ApiCaller, project: Project
) -> None:
    # B-09
    charged = [deploy(project, size_bytes=size * MEBIBYTE).charged_credits for size in (4, 7, 10)]
    assert charged == [6, 9, 12]
    other = make_project(project.organization_id)
    deploy(other, size_bytes=100 * MEBIBYTE)
    source = make_source(project)

    told = ask(api, project, sourceId=public_id("src", source.id)).json()
    build = make_build(project, source=source)

    assert (told["lowCredits"], told["likelyCredits"], told["highCredits"]) == (6, 9, 12)
    assert told["basedOnBuilds"] == 3
    assert build.estimated_credits == told["likelyCredits"]
    assert Account.objects.get(organization_id=project.organization_id).reserved == 9


def test_estimate__other_builder__has_a_history_of_its_own(
    api: ApiCaller, project: Project
) -> None:
    # B-09
    for _ in range(3):
        deploy(project, size_bytes=50 * MEBIBYTE)

    assert ask(api, project, unpackedBytes=5000, builder="mkdocs").json()["basedOnBuilds"] == 0
    assert ask(api, project, unpackedBytes=5000).json()["basedOnBuilds"] == 3


def test_estimate__asked__changes_nothing(api: ApiCaller, project: Project) -> None:
    # B-09
    before = Account.objects.values().get(organization_id=project.organization_id)

    assert ask(api, project, unpackedBytes=10**9).status_code == 200

    assert Account.objects.values().get(organization_id=project.organization_id) == before
    assert (Build.objects.count(), Job.objects.count()) == (0, 0)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({}, "sourceId"),
        ({"unpackedBytes": 1, "sourceId": "src_" + "0" * 32}, "sourceId"),
        ({"unpackedBytes": -1}, "unpackedBytes"),
        ({"unpackedBytes": "1"}, "unpackedBytes"),
        ({"unpackedBytes": 1, "colour": 1}, "colour"),
    ],
)
def test_estimate__invalid_question__names_the_field(
    more: dict[str, Any], field: str, api: ApiCaller, project: Project
) -> None:
    # E-08
    refused = assert_refused(ask(api, project, **more), 422, "VALIDATION_FAILED")

    assert list(refused["data"]["fields"]) == [field]


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        ({"builder": "hugo"}, 422, "UNKNOWN_BUILDER"),
        ({"options": {"colour": 1}}, 422, "BUILDER_OPTIONS_INVALID"),
    ],
)
def test_estimate__of_what_a_build_would_refuse__is_refused(
    more: dict[str, Any], status: int, code: str, api: ApiCaller, project: Project
) -> None:
    # B-09
    assert_refused(ask(api, project, unpackedBytes=1, **more), status, code)


def test_estimate__of_another_organizations__does_not_exist(project: Project) -> None:
    # P24
    stranger = make_client()
    source = make_source(project)

    assert_refused(ask(stranger, project, unpackedBytes=1), 404, "PROJECT_NOT_FOUND")
    own = make_project(stranger.organization.id)
    theirs = ask(stranger, own, sourceId=public_id("src", source.id))
    assert_refused(theirs, 404, "SOURCE_NOT_FOUND")
    no_scope = make_client(scopes=("credits:read",), organization=stranger.organization)
    assert_refused(ask(no_scope, own, unpackedBytes=1), 403, "FORBIDDEN")
