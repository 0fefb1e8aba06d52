"""An organization's limits, set at the console with a reason (E-07, W-10, D-06)."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from flagship.models import AuditEvent, Organization, OrganizationLimits
from flagship.services.organizations import create_organization
from tests.integration.console.rows import browser_of, make_operator

FORM = {"per_ip": "", "per_organization": "9000/60", "per_key": "off", "per_user": "",
        "jobs_in_flight_max": "200", "reason": "a larger plan"}  # fmt: skip
VIEW = "flagship.view_organization"


@pytest.fixture
def organization(db: None) -> Organization:
    return create_organization(name="Acme Bakery")


@pytest.fixture
def operator(db: None) -> Client:
    return browser_of(make_operator(VIEW, "flagship.set_limits"))


def page(organization: Organization) -> str:
    return f"/admin/flagship/organization/{organization.pk}/change/"


def send(client: Client, organization: Organization, **fields: Any) -> Any:
    address = f"/admin/flagship/organization/{organization.pk}/limits/"
    return client.post(address, FORM | fields, follow=True)


def events() -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(action="organization.limits_set").order_by("id"))


def test_limits__set_by_an_operator__hold_are_shown_and_audited(
    operator: Client, organization: Organization, settings: Any
) -> None:
    settings.RATE_LIMIT_IP = "3000/60"
    answer = send(operator, organization)

    stored = OrganizationLimits.objects.get()
    assert (stored.per_organization, stored.per_key, stored.per_ip) == ("9000/60", "off", "")
    assert stored.jobs_in_flight_max == 200
    shown = answer.content.decode()
    assert 'value="9000/60"' in shown and 'value="200"' in shown
    assert 'placeholder="3000/60"' in shown
    [event] = events()
    assert (event.actor, event.organization_id) == ("user:ana", organization.id)
    assert event.data["reason"] == "a larger plan"
    assert event.data["after"]["per_key"] == "off"


def test_limits__emptied__follow_the_settings_again(
    operator: Client, organization: Organization
) -> None:
    send(operator, organization)
    send(operator, organization, per_organization="", per_key="", jobs_in_flight_max="")

    stored = OrganizationLimits.objects.get()
    assert (stored.per_organization, stored.per_key, stored.jobs_in_flight_max) == ("", "", None)
    assert events()[1].data["before"]["jobs_in_flight_max"] == 200


@pytest.mark.parametrize(
    ("field", "value"),
    [("per_key", "fast"), ("per_key", "0/60"), ("jobs_in_flight_max", "-1"),
     ("jobs_in_flight_max", "1000000"), ("reason", ""), ("reason", "  ")],
)  # fmt: skip
def test_limits__that_are_none__are_refused_by_name(
    operator: Client, organization: Organization, field: str, value: str
) -> None:
    answer = send(operator, organization, **{field: value})

    assert "Nothing done: " in answer.content.decode()
    assert not OrganizationLimits.objects.exists()
    assert events() == []


def test_limits__by_someone_without_permission__are_shown_and_not_set(
    organization: Organization,
) -> None:
    # D-06
    reader = browser_of(make_operator(VIEW, name="reader"))

    assert "limits-form" not in reader.get(page(organization)).content.decode()
    assert "jobs in flight" in reader.get(page(organization)).content.decode()
    assert send(reader, organization).status_code == 403
    assert send(Client(), organization).redirect_chain[0][0].startswith("/admin/login/")
    assert not OrganizationLimits.objects.exists()


def test_limits__of_an_organization_that_is_not__are_not_set(operator: Client) -> None:
    missing = Organization(pk="00000000-0000-0000-0000-000000000001")

    answer = operator.post(f"/admin/flagship/organization/{missing.pk}/limits/", FORM)

    assert answer.status_code == 302
    assert events() == []
