"""Every page and action of the console, found by walking the site: none is forgotten (D-06)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.urls import URLPattern, URLResolver, get_resolver

from jobs.admin.base import ReadOnlyAdmin
from jobs.queues import BUILDS

APPS = ("jobs", "flagship", "credits", "builds")
PEOPLE = {"auth.User", "auth.Group"}
ACTIONS = {
    *("requeue", "discard", "block", "grant", "reverse", "lift", "limits"),
    *("sign", "advance", "back", "rotate", "revoke", "start", "approve", "abort"),
    *("requeue-edited", "clean", "acknowledge", "withdraw", "note"),
    *("pause", "resume", "run", "cancel"),
}
LINK_ACTIONS = ("actions_detail", "actions_row", "actions_list", "actions_submit_line")


def pages() -> Iterator[tuple[str, Any]]:
    """Every registered page, by model."""
    for model, page in admin.site._registry.items():
        yield model._meta.label, page


def views(patterns: list[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every address of the site and what answers there."""
    for entry in patterns:
        path = f"{prefix}{entry.pattern}"
        if isinstance(entry, URLResolver):
            yield from views(entry.url_patterns, path)
        elif isinstance(entry, URLPattern):
            yield path, entry.callback


def test_page__of_machine_written_rows__is_read_only(rf: Any) -> None:
    # D-06, C-07
    request = rf.get("/")
    request.user = type("Root", (), {"has_perm": lambda *_: True, "is_superuser": True})()

    for label, page in pages():
        if label in PEOPLE:
            continue
        assert isinstance(page, ReadOnlyAdmin), label
        assert not page.has_add_permission(request), label
        assert not page.has_change_permission(request), label
        assert not page.has_delete_permission(request), label
        assert not page.list_editable and not page.inlines, label
        assert page.show_full_result_count is False, label


def test_page__of_every_model_an_operator_needs__exists() -> None:
    # D-02, C-07
    labels = {label for label, _ in pages()}

    assert labels - PEOPLE == {
        *("jobs.FailedJob", "jobs.Job", "jobs.Schedule", "jobs.Redrive"),
        *("jobs.FailureGroup", "jobs.LetterTombstone"),
        *("jobs.QueuePause", "jobs.WorkerHeartbeat", "jobs.TelemetryEvent"),
        *("builds.Build", "builds.Project", "builds.Source", "builds.Fetch"),
        "builds.CreditDay",
        *("credits.Account", "credits.Reservation", "credits.Entry", "credits.Package"),
        *("credits.Lot", "credits.Statement", "credits.Freeze"),
        *("flagship.Organization", "flagship.ApiKey", "flagship.AuditEvent"),
        *("flagship.SignatureRollout", "flagship.SigningKey"),
    }


def test_action__of_every_page__declares_its_permission() -> None:
    # D-06
    seen = set()
    for label, page in pages():
        for name in page.actions or ():
            action = getattr(page, name)
            permissions = getattr(action, "allowed_permissions", ())
            assert permissions, f"{label}.{name} is offered to everyone who may look"
            assert set(permissions).isdisjoint({"view", "add", "change"}), f"{label}.{name}"
            for permission in permissions:
                assert hasattr(page, f"has_{permission}_permission"), f"{label}.{name}"
            seen.add(f"{label}.{name}")

    assert seen == {"jobs.FailedJob.requeue_selected", "jobs.FailedJob.discard_selected"}


def test_action__of_the_site__is_none_that_every_page_inherits() -> None:
    # D-06: delete_selected needs the permission to delete, which no page of ours grants.
    assert [name for name, _ in admin.site.actions] == ["delete_selected"]


def test_action__as_a_link__exists_nowhere() -> None:
    # D-06: the theme's own object actions are links, hence GET.
    for label, page in pages():
        assert [name for name in LINK_ACTIONS if getattr(page, name)] == [], label


@pytest.mark.parametrize(
    "model",
    [
        *("jobs.FailedJob", "jobs.FailureGroup", "jobs.Redrive"),
        *("flagship.ApiKey", "flagship.OrganizationLimits"),
        *("jobs.QueuePause", "jobs.Job", "jobs.Schedule"),
        *("flagship.SignatureRollout", "flagship.SigningKey"),
        *("credits.Account", "credits.Entry", "credits.Freeze"),
    ],
)
def test_permission__of_each_action__is_in_the_database(db: None, model: str) -> None:
    # D-06
    declared = {code for code, _ in apps.get_model(model)._meta.permissions}

    assert declared
    assert (
        set(Permission.objects.filter(codename__in=declared).values_list("codename", flat=True))
        == declared
    )


def test_address__of_django_rqs_own_admin__is_not_there() -> None:
    # D-06: its views ask for staff only and leave no trace.
    found = list(views(get_resolver().url_patterns))

    assert len(found) > 60
    assert [path for path, view in found if view.__module__.startswith("django_rq")] == []
    assert [path for path, _ in found if "django_rq" in path or "requeue-all" in path] == []


def test_address__of_each_operators_action__answers_405_to_get(admin_client: Any) -> None:
    # D-06
    one = "00000000-0000-0000-0000-000000000000"
    actions = [
        path
        for path, _ in views(get_resolver().url_patterns)
        if path.startswith("admin/") and path.rstrip("/").rpartition("/")[2] in ACTIONS
    ]

    assert {path.rstrip("/").rpartition("/")[2] for path in actions} == ACTIONS
    for path in actions:
        address = path.replace("<int:object_id>", "1").replace("<uuid:object_id>", one)
        address = address.replace("<str:object_id>", "v2-0")
        address = address.replace("<str:queue>", BUILDS)
        assert admin_client.get(f"/{address}").status_code == 405, address
