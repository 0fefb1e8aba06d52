"""A caller without an account, and routes that exist only to be called."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from flagship.services.api_keys import SCOPES, issue_api_key
from flagship.services.organizations import create_organization
from tests.clients import ApiCaller


def new_caller(*, scopes: tuple[str, ...] = SCOPES, organization: Any = None) -> ApiCaller:
    """Return a client of a new organization, or of the one given."""
    organization = organization or create_organization(name=f"Test {uuid.uuid4().hex[:8]}")
    api_key, secret = issue_api_key(
        organization_id=organization.id, name="test", scopes=list(scopes)
    )
    return ApiCaller(organization, api_key, secret)


@pytest.fixture
def caller(request: pytest.FixtureRequest) -> ApiCaller:
    """A client with every scope (needs db or live_db)."""
    if "live_db" in request.fixturenames:
        request.getfixturevalue("live_db")
    else:
        request.getfixturevalue("db")
    return new_caller()
