"""Whoever reads for a client begins with the client's organization (P24)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from django.apps import apps

from jobs.models.tenant import TenantManager

ROOT = Path(__file__).resolve().parents[2]
APPS = ("builds", "credits", "flagship", "jobs")
ROOMS = ("selectors", "api")

# Reads of organizations' rows that do not begin with one, and why.
UNSCOPED = {
    "builds/selectors/builds.py:find_deployed_build": "published sites are everybody's",
    "builds/selectors/projects.py:find_published_project": "published sites are everybody's",
    "builds/selectors/builds.py:list_active_builds": "of a project that was found in the"
    " organization, and is locked; the console shows them too",
    "builds/selectors/builds.py:_SLOTS": "of a project that was found in the organization, and is"
    " locked",
    "builds/selectors/builds.py:list_orphans": "the sweep looks at all builds",
    "builds/selectors/charges.py:read_charges": "the reconciler looks at all accounts",
    "builds/selectors/estimates.py:_HISTORY": "of a project that was found in the organization",
    "builds/selectors/rollups.py:_FIRST": "the rollups are of all organizations",
    "credits/selectors/funds.py:get_funds": "parts of a query that begins with the account",
    "credits/selectors/funds.py:list_overdue_reservations": "the sweep looks at all holds",
    "credits/selectors/lots.py:list_accounts_with_overdue_lots": "the sweep looks at all grants",
    **{
        f"credits/selectors/proof.py:{name}": "the reconciler looks at all accounts"
        for name in (
            *("_ACCOUNTS", "_CHAIN", "_HOLDS", "_LOTS", "_DRAWS", "_REVERSALS"),
            "list_account_ids",
        )
    },
    "flagship/selectors/signatures.py:evidence_of": "the console shows all clients that sign",
    "jobs/selectors/letters.py:matching": "the console and redrives look at all organizations;"
    " the API's filters name one",
    **{
        f"jobs/selectors/redrives.py:{name}": "a redrive is of the platform"
        for name in ("_RETURNED", "have_canaries_ended")
    },
    "jobs/selectors/activity.py:_ACTIVITY": "queues are the platform's; nobody's job is named",
    "jobs/selectors/queues.py:_FACTS": "queues are the platform's; nobody's job is named",
    "jobs/selectors/queues.py:_TIMES": "queues are the platform's; nobody's job is named",
}


def tenant_models() -> dict[str, str]:
    """Return the models whose rows belong to organizations: name and table."""
    return {
        model.__name__: model._meta.db_table
        for model in apps.get_models()
        if isinstance(model._meta.default_manager, TenantManager)
    }


def modules() -> Iterator[tuple[str, ast.Module]]:
    for app in APPS:
        for room in ROOMS:
            for path in sorted((ROOT / app / room).rglob("*.py")):
                yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def owners(tree: ast.Module) -> dict[ast.AST, str]:
    """Return for each node the function or the constant of the module that it is in."""
    found: dict[ast.AST, str] = {}
    for top in tree.body:
        name = getattr(top, "name", "")
        if isinstance(top, ast.Assign | ast.AnnAssign):
            target = top.targets[0] if isinstance(top, ast.Assign) else top.target
            name = target.id if isinstance(target, ast.Name) else ""
        found |= dict.fromkeys(ast.walk(top), name)
    return found


def unscoped(tree: ast.Module, models: dict[str, str]) -> Iterator[str]:
    """Yield the names of what reads organizations' rows without saying whose."""
    scoped = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "for_organization"
    }
    tables = re.compile(rf"\b({'|'.join(models.values())})\b")
    for node, owner in owners(tree).items():
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr="objects"):
                is_unscoped = name in models and node not in scoped
            case ast.Constant(value=str(text)):
                is_unscoped = bool(tables.search(text)) and "organization_id" not in text
            case _:
                is_unscoped = False
        if is_unscoped:
            yield owner


def test_read__in_selectors_and_api__begins_with_the_organization() -> None:
    # P24
    models = tenant_models()
    found = {f"{module}:{owner}" for module, tree in modules() for owner in unscoped(tree, models)}

    assert len(models) >= 24
    assert found == UNSCOPED.keys()


def test_api__of_every_app__asks_selectors_and_services_only() -> None:
    # P24: no query is made where a request is translated.
    asked = {
        module
        for module, tree in modules()
        if "/api/" in module
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "objects"
    }

    assert asked == set()


def test_read__that_forgets_the_organization__is_seen() -> None:
    # A proof must be able to see.
    planted = ast.parse(
        "_BY_ID = 'SELECT * FROM builds_build WHERE id = %s'\n"
        "def get(*, build_id):\n    return Build.objects.filter(id=build_id).first()\n"
        "def mine(*, organization_id):\n"
        "    return Build.objects.for_organization(organization_id)\n"
    )

    assert sorted(unscoped(planted, tenant_models())) == ["_BY_ID", "get"]
