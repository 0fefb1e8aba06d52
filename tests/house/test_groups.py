"""The groups of operators hold what the code says, and no action is in none of them (D-06)."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission

from flagship.services.groups import APPROVER, APPS, GROUPS, OPERATOR, sync_groups

pytestmark = pytest.mark.django_db


def declared() -> set[str]:
    """Every permission that a model of ours declares."""
    return {
        f"{model._meta.app_label}.{code}"
        for model in apps.get_models()
        if model._meta.app_label in APPS
        for code, _ in model._meta.permissions
    }


def held_by(name: str) -> set[str]:
    """What a group holds."""
    rows = Group.objects.get(name=name).permissions.values_list(
        "content_type__app_label", "codename"
    )
    return {f"{app}.{code}" for app, code in rows}


def test_permission__of_every_action__is_in_a_group() -> None:
    # D-06: a new action without a group fails here.
    assert declared() == OPERATOR | APPROVER


def test_group__after_migrations__holds_what_the_code_says() -> None:
    # D-06
    looking = {
        f"{app}.{code}"
        for app, code in Permission.objects.filter(
            content_type__app_label__in=APPS, codename__startswith="view_"
        ).values_list("content_type__app_label", "codename")
    }

    assert len(looking) > 20
    for name, actions in GROUPS.items():
        assert held_by(name) == looking | actions, name


def test_group__that_was_changed_by_hand__is_put_right_and_others_are_left_alone() -> None:
    # D-06
    viewer, own = Group.objects.get(name="viewer"), Group.objects.create(name="night shift")
    extra = Permission.objects.get(codename="requeue_failedjob")
    for group in (viewer, own):
        group.permissions.add(extra)
    viewer.permissions.remove(Permission.objects.get(codename="view_failedjob"))

    sync_groups(app_label="jobs")

    assert held_by("viewer").isdisjoint(OPERATOR) and "jobs.view_failedjob" in held_by("viewer")
    assert held_by("night shift") == {"jobs.requeue_failedjob"}


def test_group__that_approves__cannot_start_what_it_approves() -> None:
    # D-06, D-07
    assert "jobs.approve_redrive" in APPROVER - OPERATOR
    assert "jobs.start_redrive" in OPERATOR - APPROVER
