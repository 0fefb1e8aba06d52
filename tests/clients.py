"""A small API client over Django's test client, and the organization it speaks for."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import Any

from django.test import Client

from flagship.services.api_keys import SCOPES


@dataclass(slots=True)
class ApiCaller:
    """Sends JSON with an API key, and a fresh Idempotency-Key unless one is given."""

    organization: Any
    api_key: Any
    secret: str
    client: Client = field(default_factory=lambda: Client(raise_request_exception=False))

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = "",
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> Any:
        """Send a request. `key=None` sends no Idempotency-Key, "" a fresh one."""
        sent = {"Authorization": f"Bearer {self.secret}", **(headers or {})}
        if method in {"POST", "PUT", "PATCH"} and key is not None:
            sent["Idempotency-Key"] = key or f"test-{uuid.uuid4().hex}"
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body)
        return self.client.generic(method, path, data, content_type=content_type, headers=sent)

    def get(self, path: str, **options: Any) -> Any:
        """GET."""
        return self.request("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> Any:
        """POST."""
        return self.request("POST", path, body, **options)

    def put(self, path: str, body: Any = None, **options: Any) -> Any:
        """PUT."""
        return self.request("PUT", path, body, **options)

    def patch(self, path: str, body: Any = None, **options: Any) -> Any:
        """PATCH."""
        return self.request("PATCH", path, body, **options)

    def delete(self, path: str, **options: Any) -> Any:
        """DELETE."""
        return self.request("DELETE", path, **options)


def make_client(
    *, scopes: tuple[str, ...] = SCOPES, credit: int = 1000, organization: Any = None
) -> ApiCaller:
    """Make an API key, and unless one is given an organization with `credit` credits."""
    from credits.services import grant_credits, open_account
    from flagship.services.api_keys import issue_api_key
    from flagship.services.organizations import create_organization

    if organization is None:
        organization = create_organization(name=f"Test {uuid.uuid4().hex[:8]}")
        open_account(organization_id=organization.id)
        if credit:
            grant_credits(
                organization_id=organization.id,
                amount_credits=credit,
                reason="test",
                actor="test",
                reference=uuid.uuid4().hex,
            )
    api_key, secret = issue_api_key(
        organization_id=organization.id, name="test", scopes=list(scopes)
    )
    return ApiCaller(organization, api_key, secret)
