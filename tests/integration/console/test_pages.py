"""Every page shows its rows to those who may look, and takes no change from anybody."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.sites import site
from django.contrib.auth.models import User
from django.db.models import Model
from django.test import Client

from jobs.admin.base import ReadOnlyAdmin
from tests.integration.console.rows import browser_of, make_operator
from tests.integration.console.world import make_world

PAGES = sorted(
    (model for model, page in site._registry.items() if isinstance(page, ReadOnlyAdmin)),
    key=lambda model: model._meta.label,
)
ids = [model._meta.label for model in PAGES]


def address(model: type[Model], *parts: object) -> str:
    """Where a model's pages are."""
    tail = "".join(f"{part}/" for part in parts)
    return f"/admin/{model._meta.app_label}/{model._meta.model_name}/{tail}"


@pytest.fixture
def root(db: None) -> Client:
    """May do everything that there is a permission for."""
    return browser_of(User.objects.create_superuser("root", password="x"))


@pytest.mark.parametrize("model", PAGES, ids=ids)
def test_page__of_each_model__lists_filters_and_shows(root: Client, model: type[Model]) -> None:
    # D-02, C-07
    make_world()
    row = model._default_manager.order_by("-pk")[0]
    page: Any = site._registry[model]

    listed = root.get(address(model))
    searched = root.get(address(model) + "?q=org_00000000000000000000000000000000")
    shown = root.get(address(model, row.pk, "change"))

    assert (listed.status_code, searched.status_code, shown.status_code) == (200, 200, 200)
    assert str(row.pk) in listed.content.decode()
    for name in page.list_filter:
        assert root.get(
            address(model) + f"?{getattr(name, 'parameter_name', 'x')}="
        ).status_code in (
            200,
            302,
        )


@pytest.mark.parametrize("model", PAGES, ids=ids)
def test_page__of_each_model__takes_no_add_change_or_delete(
    root: Client, model: type[Model]
) -> None:
    # D-06, C-07
    make_world()
    row = model._default_manager.order_by("-pk")[0]
    before = model._default_manager.values_list().order_by("pk")
    stored = list(before.all())

    answers = [
        root.get(address(model, "add")).status_code,
        root.post(address(model, "add"), {"name": "x"}).status_code,
        root.post(address(model, row.pk, "change"), {"name": "x", "state": "open"}).status_code,
        root.get(address(model, row.pk, "delete")).status_code,
        root.post(address(model, row.pk, "delete"), {"post": "yes"}).status_code,
    ]
    root.post(
        address(model),
        {"action": "delete_selected", "index": "0", "_selected_action": row.pk, "post": "yes"},
    )

    assert answers == [403] * 5
    assert list(before.all()) == stored


@pytest.mark.parametrize("model", PAGES, ids=ids)
def test_page__of_each_model__needs_the_permission_to_view_it(db: None, model: type[Model]) -> None:
    # D-06
    options = model._meta
    nobody = browser_of(make_operator(name="nobody"))
    reader = browser_of(make_operator(f"{options.app_label}.view_{options.model_name}"))

    assert nobody.get(address(model)).status_code == 403
    assert reader.get(address(model)).status_code == 200
