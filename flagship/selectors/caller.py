"""What the edge found out about a request, for the views behind it."""

from __future__ import annotations

from django.http import HttpRequest

from flagship.models.signature import Incident, Use
from flagship.selectors.api_keys import ApiClient
from jobs.errors import Refusal


def client_of(request: HttpRequest) -> ApiClient | None:
    """Return the client that presented a valid key; None for an anonymous request."""
    client: ApiClient | None = getattr(request, "api_client", None)
    return client


def idempotency_key_of(request: HttpRequest) -> str | None:
    """Return the request's well-formed Idempotency-Key, unquoted; None where it has none."""
    key: str | None = getattr(request, "idempotency_key", None)
    return key


def signature_use_of(request: HttpRequest) -> Use | None:
    """Return the use that the request has to take; None where it takes none."""
    use: Use | None = getattr(request, "signature_use", None)
    return use


def signature_incident_of(request: HttpRequest) -> Incident | None:
    """Return what is to be noted of the request's signature; None where it is as it should be."""
    incident: Incident | None = getattr(request, "signature_incident", None)
    return incident


def signature_refusal_of(request: HttpRequest) -> Refusal | None:
    """Return why the request's signature does not let it in; None where nothing speaks against."""
    refusal: Refusal | None = getattr(request, "signature_refusal", None)
    return refusal
