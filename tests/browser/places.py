"""Every page that the console, the documentation and the error handlers show to people."""

from __future__ import annotations

from collections.abc import Iterator

from django.contrib.admin.sites import site as console
from django.contrib.auth.models import Group, User

from jobs.models import FailedJob
from tests.integration.console.rows import make_letter, make_operator
from tests.integration.console.world import make_world

GROUP = "Answerers"


def furnish() -> None:
    """Make at least one row of everything, letters enough to turn a page, an operator, a group."""
    world = make_world("A bakery with a rather long name, Sons and Daughters")
    for number in range(60):
        make_letter(runs=1, organization_id=world.organization.id, message=f"number {number}")
    make_operator("jobs.view_failedjob", name="vic")
    Group.objects.create(name=GROUP)


def places() -> Iterator[str]:
    """Yield the path of each page that a logged-in superuser can open by its address."""
    for model in console._registry:
        name = model._meta.model_name
        address = f"/admin/{model._meta.app_label}/{name}/"
        yield address
        row = model._default_manager.order_by("-pk").first()
        if row is not None:
            yield f"{address}{row.pk}/change/"
    yield from _people()
    letter = FailedJob.objects.earliest("pk")
    yield f"/admin/jobs/failedjob/{letter.pk}/change/"
    yield from ("/admin/jobs/redrive/plan/", "/admin/jobs/redrive/plan/?answer=discard")
    yield "/admin/jobs/failedjob/?q=nothing-is-called-so"
    yield "/admin/jobs/failedjob/?after=0-0&state=all"
    yield "/admin/jobs/failedjob/cleanup/"
    yield f"/admin/jobs/failedjob/{letter.pk}/edit/"
    yield from ("/admin/", "/admin/jobs/", "/admin/password_change/", "/v1/docs")


def _people() -> Iterator[str]:
    """Yield the pages of rows that are edited by hand."""
    user, group = User.objects.get(username="vic"), Group.objects.get(name=GROUP)
    for kind, pk in (("user", user.pk), ("group", group.pk)):
        yield f"/admin/auth/{kind}/add/"
        yield f"/admin/auth/{kind}/{pk}/change/"
        yield f"/admin/auth/{kind}/{pk}/delete/"
        yield f"/admin/auth/{kind}/{pk}/history/"
        yield f"/admin/auth/{kind}/add/?_popup=1"
    yield f"/admin/auth/user/{user.pk}/password/"
