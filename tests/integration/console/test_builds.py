"""What the console shows of builds and projects beyond their columns."""

from __future__ import annotations

import pytest
from django.test import Client

from builds.models import Build, Project
from builds.services.cancel import cancel_build
from builds.services.submit import rebuild
from jobs.ids import public_id
from tests.factories import make_build, make_project
from tests.integration.console.rows import browser_of, make_operator
from tests.integration.console.world import make_world

pytestmark = pytest.mark.django_db


@pytest.fixture
def reader(db: None) -> Client:
    """May look at builds and projects."""
    return browser_of(make_operator("builds.view_build", "builds.view_project"))


def page(client: Client, model: str, row: Build | Project) -> str:
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
