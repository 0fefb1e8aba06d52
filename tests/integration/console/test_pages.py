"""Every page shows its rows to those who may look, and takes no change from anybody."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.apps import apps
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

UUID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-")
DASHED = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-")


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


def crumbs_of(page: str) -> tuple[str, str]:
    """What the breadcrumbs say of the row itself, and what the browser's tab does."""
    inner = page.partition('id="header-inner"')[2].partition("</h1>")[0] or page
    crumbs = re.findall(r"tracking-tight\">\s*(.*?)\s*</", inner, re.DOTALL)
    tab = re.search(r"<title>\s*(.*?)\s*</title>", page, re.DOTALL)
    assert tab and len(crumbs) >= 3, inner[:2000]
    return html.unescape(crumbs[2]), html.unescape(tab[1])


@pytest.mark.parametrize("model", PAGES, ids=ids)
def test_page__of_each_model__is_named_and_not_numbered(root: Client, model: type[Model]) -> None:
    # D-02, C-07: a UUID in the breadcrumbs tells an operator nothing
    make_world()
    row = model._default_manager.order_by("-pk")[0]

    crumb, tab = crumbs_of(root.get(address(model, row.pk, "change")).content.decode())

    assert crumb == site._registry[model].name_of(row)  # type: ignore[attr-defined]
    assert not UUID.search(crumb) and not DASHED.search(tab), (crumb, tab)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("credits.account", "Acme Bakery"),
        ("credits.freeze", "Acme Bakery of old, "),
        ("credits.reservation", "Acme Bakery, "),
        ("credits.entry", "Acme Bakery"),
        ("credits.lot", "Acme Bakery, grant #1"),
        ("builds.build", "docs, "),
        ("builds.source", "docs, "),
        ("builds.fetch", "docs, "),
        ("jobs.job", "builds."),
        ("flagship.organization", "Acme Bakery"),
        ("flagship.signingkey", "ci, "),
    ],
)
def test_page__keyed_by_an_id__says_whose_it_is(root: Client, model: str, name: str) -> None:
    # D-02, C-07
    make_world()
    kind = apps.get_model(model)
    shown = [
        crumbs_of(root.get(address(kind, row.pk, "change")).content.decode())[0]
        for row in kind._default_manager.all()
    ]

    assert any(crumb.startswith(name) for crumb in shown), shown


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
