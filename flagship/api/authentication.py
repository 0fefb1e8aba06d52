"""From the edge's client to `request.auth`."""

from __future__ import annotations

from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from flagship.errors.access import Forbidden, Unauthenticated
from flagship.selectors.api_keys import ApiClient
from flagship.selectors.caller import client_of

__all__ = ["ApiClient", "ApiKeyAuthentication", "caller_of", "require_scope"]


class ApiKeyAuthentication(BaseAuthentication):
    """Hands on the client that the API key middleware found: `request.auth` is an ApiClient."""

    def authenticate(self, request: Request) -> tuple[None, ApiClient] | None:
        """Return the client; None leaves the request anonymous."""
        client = client_of(request._request)
        return None if client is None else (None, client)

    def authenticate_header(self, request: Request) -> str:
        """Name the scheme in WWW-Authenticate."""
        return 'Bearer realm="flagship"'


def caller_of(request: Request) -> ApiClient:
    """Return the client of a REST framework view behind HasScope."""
    client = request.auth
    if not isinstance(client, ApiClient):
        raise Unauthenticated
    return client


def require_scope(request: HttpRequest, scope: str) -> ApiClient:
    """Return the client of a plain Django view (a stream), if it carries `scope`.

    Raises: Unauthenticated; Forbidden.
    """
    client = client_of(request)
    if client is None:
        raise Unauthenticated
    if scope not in client.scopes:
        raise Forbidden(data={"requiredScope": scope})
    return client
