"""What the edge found out about a request, for the views behind it."""

from __future__ import annotations

from django.http import HttpRequest

from flagship.selectors.api_keys import ApiClient


def client_of(request: HttpRequest) -> ApiClient | None:
    """Return the client that presented a valid key; None for an anonymous request."""
    client: ApiClient | None = getattr(request, "api_client", None)
    return client


def idempotency_key_of(request: HttpRequest) -> str | None:
    """Return the request's well-formed Idempotency-Key, unquoted; None where it has none."""
    key: str | None = getattr(request, "idempotency_key", None)
    return key
