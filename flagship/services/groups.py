"""The three groups of operators: who looks, who acts, and who agrees (D-06)."""

from __future__ import annotations

from typing import Any, Final

from django.apps import AppConfig
from django.apps.registry import Apps
from django.contrib.auth.models import Group, Permission
from django.db.models import Q, QuerySet

APPS: Final = ("jobs", "flagship", "credits", "builds")

OPERATOR: Final = frozenset(
    {
        *("jobs.requeue_failedjob", "jobs.discard_failedjob", "jobs.edit_failedjob"),
        *("jobs.clean_failedjob", "jobs.export_failedjob", "jobs.acknowledge_failuregroup"),
        *("jobs.start_redrive", "jobs.abort_redrive"),
        *("jobs.cancel_job", "jobs.pause_queue", "jobs.run_schedule", "jobs.pause_schedule"),
        "flagship.block_apikey",
    }
)
"""What an incident asks for. It can be undone, or touches nothing that is not broken already."""

APPROVER: Final = frozenset(
    {
        *("jobs.approve_redrive", "jobs.abort_redrive"),
        *("flagship.set_limits", "flagship.move_signaturerollout"),
        *("flagship.issue_signingkey", "flagship.revoke_signingkey"),
        *("credits.grant_credits", "credits.reverse_entry", "credits.lift_freeze"),
    }
)
"""What needs a second person, and what touches money, limits or trust.

Nobody in this group alone starts a redrive, so that who approves is not who asks.
"""

GROUPS: Final[dict[str, frozenset[str]]] = {
    "viewer": frozenset(),
    "operator": OPERATOR,
    "approver": APPROVER,
}
"""By name, what each may do beside looking at every page."""


def sync_groups(*, app_label: str) -> None:
    """Let each group hold of an app's permissions what it says above, and no others.

    A person may be in several groups. For anything else make a group of your own: these three are
    put right by each `manage.py migrate`.
    """
    for name, codes in GROUPS.items():
        group, _ = Group.objects.get_or_create(name=name)
        held = group.permissions.filter(content_type__app_label=app_label)
        wanted = _permissions(app_label, codes)
        group.permissions.remove(*held.exclude(pk__in=wanted.values("pk")))
        group.permissions.add(*wanted)


def sync_after_migrate(sender: AppConfig, *, apps: Apps, **_: Any) -> None:
    """Put the groups right once an app's permissions are there (the signal `post_migrate`)."""
    if sender.label in APPS and _has_groups(apps):
        sync_groups(app_label=sender.label)


def _has_groups(apps: Apps) -> bool:
    """Tell whether what was migrated has groups: not where an app was migrated alone, at first."""
    return ("auth", "group") in {
        (model._meta.app_label, model._meta.model_name) for model in apps.get_models()
    }


def _permissions(app_label: str, codes: frozenset[str]) -> QuerySet[Permission]:
    """Return an app's permissions to look, and those of its actions that are named."""
    names = [
        code.removeprefix(f"{app_label}.") for code in codes if code.startswith(f"{app_label}.")
    ]
    of_app = Permission.objects.filter(content_type__app_label=app_label)
    return of_app.filter(Q(codename__startswith="view_") | Q(codename__in=names))
