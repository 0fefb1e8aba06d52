"""API keys at the console: seen without their secret, blocked with a reason (F-01, D-06)."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from flagship.models import ApiKey, AuditEvent
from flagship.services.api_keys import issue_api_key
from flagship.services.organizations import create_organization
from tests.integration.console.rows import browser_of, make_operator
from tests.integration.console.test_answers import said

LIST = "/admin/flagship/apikey/"


@pytest.fixture
def api_key(db: None) -> ApiKey:
    """A key of an organization."""
    organization = create_organization(name="Acme")
    issued, _ = issue_api_key(organization_id=organization.id, name="ci", scopes=["builds:read"])
    return issued


@pytest.fixture
def keeper(db: None) -> Client:
    """May see and block keys."""
    return browser_of(make_operator("flagship.view_apikey", "flagship.block_apikey"))


def block(client: Client, api_key: ApiKey, reason: str) -> Any:
    """Send the form."""
    return client.post(f"{LIST}{api_key.pk}/block/", {"reason": reason})


def test_key__on_any_page__shows_no_hash(keeper: Client, api_key: ApiKey) -> None:
    # F-01
    pages = keeper.get(LIST).content + keeper.get(f"{LIST}{api_key.pk}/change/").content

    assert api_key.prefix in pages.decode()
    assert api_key.key_hash not in pages.decode()


def test_block__with_a_reason__blocks_once_and_is_audited(keeper: Client, api_key: ApiKey) -> None:
    # D-06
    block(keeper, api_key, "leaked in a log")
    second = block(keeper, api_key, "again")

    api_key.refresh_from_db()
    event = AuditEvent.objects.get(action="api_key.blocked")
    assert api_key.blocked_at is not None
    assert (event.actor, event.data["reason"]) == ("user:ana", "leaked in a log")
    assert "Nothing done" in said(second)


@pytest.mark.parametrize("reason", ["", "  "])
def test_block__without_a_reason__changes_nothing(
    keeper: Client, api_key: ApiKey, reason: str
) -> None:
    # D-06
    block(keeper, api_key, reason)

    api_key.refresh_from_db()
    assert api_key.blocked_at is None


def test_block__by_a_viewer__is_403_and_not_offered(db: None, api_key: ApiKey) -> None:
    # D-06
    viewer = browser_of(make_operator("flagship.view_apikey", name="vic"))

    page = viewer.get(f"{LIST}{api_key.pk}/change/").content.decode()

    assert block(viewer, api_key, "because").status_code == 403
    assert "block-form" not in page
    api_key.refresh_from_db()
    assert api_key.blocked_at is None
