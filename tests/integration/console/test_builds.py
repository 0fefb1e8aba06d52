"""What the console shows of builds and projects beyond their columns."""

from __future__ import annotations

import uuid

import pytest
from django.test import Client

from builds.models import Build, Fetch, Project
from builds.services.cancel import cancel_build
from builds.services.submit import rebuild
from flagship.models import AuditEvent
from jobs.ids import public_id
from tests.factories import make_build, make_project
from tests.integration.console.rows import browser_of, make_letter, make_operator
from tests.integration.console.world import make_world

pytestmark = pytest.mark.django_db


@pytest.fixture
def reader(db: None) -> Client:
    """May look at builds, projects and fetches."""
    return browser_of(
        make_operator("builds.view_build", "builds.view_project", "builds.view_fetch")
    )


def page(client: Client, model: str, row: Build | Project | Fetch) -> str:
    response = client.get(f"/admin/builds/{model}/{row.pk}/change/")
    assert response.status_code == 200
    return response.content.decode()


def test_build__on_its_page__shows_its_events_and_its_slot(reader: Client) -> None:
    # B-08 C-07
    build = make_world().build

    shown = page(reader, "build", build)

    for text in ("build.created", "build.started", "fence 1", "worker web-1:4711", "1 of 1"):
        assert text in shown, text
    assert f"reservationId {public_id('res', build.reservation_id)}" in shown


def test_build__linked_to_others__names_them(reader: Client) -> None:
    # B-01
    organization = make_world().organization
    original = make_build(make_project(organization.id, newest_wins=True))
    cancel_build(organization_id=organization.id, build_id=original.id, actor="test")
    again = rebuild(organization_id=organization.id, build_id=original.id, actor="test")
    newer = make_build(Project.objects.get(id=original.project_id))

    shown = page(reader, "build", again)

    assert f"/admin/builds/build/{original.pk}/change/" in shown
    assert f"/admin/builds/build/{newer.pk}/change/" in shown


def test_fetches__ready_and_failed__say_what_became_of_each(reader: Client) -> None:
    # B-05 C-07
    project = make_world().project
    failed, ready = Fetch.objects.order_by("id")

    listed = reader.get("/admin/builds/fetch/").content.decode()
    shown, refused = page(reader, "fetch", ready), page(reader, "fetch", failed)

    for text in ("git.example.org/acme-bakery", "release-2", ">default<", "8f5c9a0e<"):
        assert text in listed, text
    for text in (
        *(
            public_id("fetch", ready.id),
            str(ready.commit),
            ready.url,
            "docs/latest (symbolic link)",
        ),
        f"/admin/builds/project/{project.pk}/change/",
        f"/admin/builds/source/{ready.source_id}/change/",
        f"/admin/jobs/job/{ready.job_id}/change/",
    ):
        assert text in shown, text
    assert "REPOSITORY_REFUSED" in refused and "no branch and no tag" in refused


@pytest.mark.parametrize("field", ["fetch", "proj", "job", "src"])
def test_fetches__searched_by_any_of_their_ids__are_found(reader: Client, field: str) -> None:
    # D-02
    make_world()
    fetch = Fetch.objects.order_by("-id")[0]
    assert fetch.source_id
    ids = {"fetch": fetch.id, "proj": fetch.project_id, "job": fetch.job_id, "src": fetch.source_id}

    found = reader.get(f"/admin/builds/fetch/?q={public_id(field, ids[field])}").content.decode()
    none = reader.get(f"/admin/builds/fetch/?q={public_id(field, uuid.uuid4())}").content.decode()
    failed = reader.get("/admin/builds/fetch/?error_code=REPOSITORY_REFUSED").content.decode()

    assert str(fetch.pk) in found
    assert str(fetch.pk) not in none
    assert str(fetch.pk) not in failed and "release-2" in failed


def test_fetch__named_elsewhere__is_linked(db: None) -> None:
    # D-01, D-06: by a dead letter's payload and by an audit event
    make_world()
    fetch = Fetch.objects.order_by("-id")[0]
    letter = make_letter(kind="builds.fetch_source", payload={"fetch_id": str(fetch.id)})
    event = AuditEvent.objects.get(subject_type="fetch", subject_id=public_id("fetch", fetch.id))
    reader = browser_of(make_operator("jobs.view_failedjob", "flagship.view_auditevent"))

    shown = [
        reader.get(f"/admin/jobs/failedjob/{letter.pk}/change/").content.decode(),
        reader.get(f"/admin/flagship/auditevent/{event.pk}/change/").content.decode(),
    ]

    assert all(f"/admin/builds/fetch/{fetch.pk}/change/" in page for page in shown)


def test_project__on_its_page__shows_who_takes_its_slots(reader: Client) -> None:
    # B-03
    organization = make_world().organization
    project = make_project(organization.id, max_active=3)
    builds = [make_build(project), make_build(project)]

    shown = page(reader, "project", project)

    for number, build in enumerate(builds, start=1):
        assert f"{number}: <a" in shown
        assert f"/admin/builds/build/{build.pk}/change/" in shown
    assert "3: free" in shown
