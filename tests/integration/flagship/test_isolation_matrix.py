"""Every route, two organizations, three roles: a stranger's row is no row (P24)."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import models

from jobs.clients.wall import inside
from jobs.models.tenant import TenantManager
from tests.integration.flagship.isolation import (
    CASES,
    ROLES,
    Answer,
    Names,
    Operation,
    Tenant,
    ask_of,
    digest,
    make_tenant,
    mixtures,
    names_of,
    operations,
    send,
    unknown_names,
)

pytestmark = pytest.mark.django_db

WITH_IDS = [operation for operation in CASES if names_of(operation)]


@pytest.fixture
def tenants() -> tuple[Tenant, Tenant]:
    """Two organizations that have the same."""
    return make_tenant(), make_tenant()


def pairs(tenants: tuple[Tenant, Tenant]) -> list[tuple[Tenant, Tenant]]:
    """Each as the caller, and the other as the stranger."""
    return [tenants, tenants[::-1]]


def without_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the first wall away: a selector that forgets whose rows it wants."""

    def everything(self: Any, organization_id: uuid.UUID) -> models.QuerySet[Any]:
        found: models.QuerySet[Any] = self.all()
        return found

    monkeypatch.setattr(TenantManager, "for_organization", everything)


def answers(
    caller: Tenant, stranger: Tenant, role: str, operation: Operation
) -> list[tuple[set[str], Answer, Answer]]:
    """Ask with each mixture of own ids and the stranger's, and of own ids and nobody's."""
    told = []
    for foreign in mixtures(operation):

        def ask(others: Names, foreign: set[str] = foreign) -> Answer:
            names = caller.names | {name: others[name] for name in foreign}
            return send(caller.callers[role], ask_of(operation, names), names)

        told.append((foreign, ask(stranger.names), ask(unknown_names(stranger.names))))
    return told


def test_operation__of_the_schema__has_a_case_of_its_own() -> None:
    # P24: a new route without a case fails here.
    assert sorted(CASES) == operations()
    assert len(WITH_IDS) >= 20


def test_operation__asked_with_own_ids__works_and_touches_nobody_else(
    tenants: tuple[Tenant, Tenant],
) -> None:
    # P24: what is refused below is refused for its ids alone.
    for caller, stranger in pairs(tenants):
        for operation, case in CASES.items():
            ask = ask_of(operation, caller.names)
            answer = send(caller.callers[case.by], ask, {})

            assert answer.status == case.own, (operation, answer)
            shown = answer.body + str(answer.headers)
            assert [mark for mark in stranger.marks if mark in shown] == [], operation


@pytest.mark.parametrize("walls", ["both", "filters", "policies"])
def test_operation__asked_with_a_strangers_ids__answers_as_if_there_were_none(
    tenants: tuple[Tenant, Tenant],
    walls: str,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # P24, by both walls together and by each alone.
    if walls == "filters":
        settings.DATABASE_TENANT_ROLE = ""
    if walls == "policies":
        without_filters(monkeypatch)
    before, asked = digest(), 0
    for caller, stranger in pairs(tenants):
        for operation in WITH_IDS:
            for role in ROLES:
                for foreign, answer, missing in answers(caller, stranger, role, operation):
                    asked += 1
                    assert answer == missing, (operation, role, foreign)
                    shown = answer.body + str(answer.headers)
                    assert [mark for mark in stranger.marks if mark in shown] == [], operation
    assert digest() == before
    assert asked >= 2 * len(ROLES) * len(WITH_IDS)


def test_operation__that_changes_something__leaves_a_strangers_rows_as_they_were(
    tenants: tuple[Tenant, Tenant],
) -> None:
    # P24: also where it is answered with a success.
    caller, stranger = tenants
    with inside(stranger.organization_id):
        before = digest(of_tenants=True)
    for operation, case in CASES.items():
        ask = ask_of(operation, caller.names)
        response = caller.callers[case.by].request(
            ask.method, ask.path, ask.body, content_type=ask.media
        )
        assert response.status_code < 500, operation
    with inside(stranger.organization_id):
        assert digest(of_tenants=True) == before


def test_matrix__without_either_wall__sees_strangers_rows(
    tenants: tuple[Tenant, Tenant], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A proof must be able to see.
    settings.DATABASE_TENANT_ROLE = ""
    without_filters(monkeypatch)

    told = {
        operation
        for operation in WITH_IDS
        for _, answer, missing in answers(*tenants, "member", operation)
        if answer != missing
    }

    assert len(told) >= 10, told
