"""Changes to operators and groups leave audit events (D-06)."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from flagship.models import AuditEvent
from tests.integration.console.rows import PASSWORD, browser_of


@pytest.fixture
def root(db: None) -> Client:
    """May do everything."""
    return browser_of(User.objects.create_superuser("root", password="x"))


def events() -> list[tuple[str, str, str]]:
    """Action, actor and name of each event."""
    found = AuditEvent.objects.order_by("id")
    return [(event.action, event.actor, event.data["name"]) for event in found]


def test_group__added_and_deleted__is_audited(root: Client) -> None:
    # D-06
    root.post("/admin/auth/group/add/", {"name": "night shift"})
    group = Group.objects.get(name="night shift")
    root.post(f"/admin/auth/group/{group.pk}/delete/", {"post": "yes"})

    assert not Group.objects.filter(name="night shift").exists()
    assert events() == [
        ("admin_group.added", "user:root", "night shift"),
        ("admin_group.deleted", "user:root", "night shift"),
    ]


def test_operator__added__is_audited_without_the_password(root: Client) -> None:
    # D-06
    form = {"username": "ana", "password1": PASSWORD, "password2": PASSWORD}
    root.post("/admin/auth/user/add/", form | {"usable_password": "true"})

    assert User.objects.filter(username="ana").exists()
    assert events() == [("admin_user.added", "user:root", "ana")]
    assert PASSWORD not in str(AuditEvent.objects.values().get())


def test_operator__by_someone_without_permission__is_not_added(db: None) -> None:
    # D-06
    nobody = browser_of(User.objects.create_user("nobody", is_staff=True))
    form = {"username": "eve", "password1": PASSWORD, "password2": PASSWORD}

    assert nobody.post("/admin/auth/user/add/", form).status_code == 403
    assert not User.objects.filter(username="eve").exists()
